"""The likelihood of labels under class probabilities."""

import keras
import ml_dtypes
from keras import ops

from keras_softmaxes.ops.checks import Tensor
from keras_softmaxes.ops.labels import at_target, multi_hot, one_hot


def log(probabilities: Tensor) -> Tensor:
    """Return the logarithm, that of the smallest normal number of the type for what is below it."""
    return ops.log(ops.maximum(probabilities, float(_finfo(probabilities).tiny)))


def negative_log_likelihood(labels: Tensor, probabilities: Tensor) -> Tensor:
    """Return -log p_t, t the target.

    A probability that underflowed counts as the smallest normal number of its type (87.3 nats in
    float32), so that the result is finite.

    Args:
        labels: (batch,) or (batch, 1) integers, or (batch, classes) one-hot.
        probabilities: p, (batch, classes).

    Returns:
        (batch,), in nats.
    """
    return -log(at_target(one_hot(labels, probabilities), probabilities))


def labels_negative_log_likelihood(labels: Tensor, probabilities: Tensor) -> Tensor:
    """Return -sum_i [ y_i log p_i + (1 - y_i) log(1 - p_i) ] of any number of labels an example.

    What a label may cost is bounded by what its type tells from certainty: half of its epsilon,
    16.6 nats in float32, whether the label is present or absent.

    Args:
        labels: y, (batch, labels), of zeros and ones.
        probabilities: p, (batch, labels).

    Returns:
        (batch,), in nats.
    """
    present = multi_hot(labels, probabilities)
    likelihood = present * probabilities + (1 - present) * (1 - probabilities)
    smallest = float(_finfo(probabilities).eps) / 2
    return -ops.sum(ops.log(ops.maximum(likelihood, smallest)), axis=-1)


def _finfo(tensor: Tensor) -> ml_dtypes.finfo:
    return ml_dtypes.finfo(keras.backend.standardize_dtype(tensor.dtype))
