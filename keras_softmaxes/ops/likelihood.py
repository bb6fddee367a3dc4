"""The likelihood of labels under class probabilities."""

import keras
import ml_dtypes
from keras import ops

from keras_softmaxes.ops.checks import Tensor
from keras_softmaxes.ops.labels import at_target, multi_hot, one_hot


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
    target = at_target(one_hot(labels, probabilities), probabilities)
    return -_finite_log(target)


def labels_negative_log_likelihood(labels: Tensor, probabilities: Tensor) -> Tensor:
    """Return -sum_i [ y_i log p_i + (1 - y_i) log(1 - p_i) ] of any number of labels an example.

    Probabilities count as in `negative_log_likelihood`.

    Args:
        labels: y, (batch, labels), of zeros and ones.
        probabilities: p, (batch, labels).

    Returns:
        (batch,), in nats.
    """
    present = multi_hot(labels, probabilities)
    likelihood = present * probabilities + (1 - present) * (1 - probabilities)
    return -ops.sum(_finite_log(likelihood), axis=-1)


def _finite_log(probabilities: Tensor) -> Tensor:
    dtype = keras.backend.standardize_dtype(probabilities.dtype)
    return ops.log(ops.maximum(probabilities, float(ml_dtypes.finfo(dtype).tiny)))
