"""The likelihood of labels under class probabilities."""

import keras
import ml_dtypes
from keras import ops

from keras_softmaxes.ops.checks import Tensor
from keras_softmaxes.ops.labels import at_target, one_hot


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
    smallest = float(ml_dtypes.finfo(keras.backend.standardize_dtype(probabilities.dtype)).tiny)
    target = at_target(one_hot(labels, probabilities), probabilities)
    return -ops.log(ops.maximum(target, smallest))
