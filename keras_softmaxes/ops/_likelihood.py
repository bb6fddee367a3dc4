"""The likelihood of labels under class probabilities."""

import math

import keras
import ml_dtypes
from keras import ops

from ..support._arguments import Tensor
from ..support._labels import MISSING, at_target, one_hot_rows
from ._soft_labels import expectation


def log(probabilities: Tensor) -> Tensor:
    """Return the logarithm, that of the smallest normal number of the type for what is below it."""
    return ops.log(ops.maximum(probabilities, float(_finfo(probabilities).tiny)))


def bounded(likelihoods: Tensor) -> Tensor:
    """Return negative log-likelihoods, at most that of the smallest normal number of the type."""
    return ops.minimum(likelihoods, -math.log(float(_finfo(likelihoods).tiny)))


def reweighted(probabilities: Tensor, shift: Tensor) -> Tensor:
    """Return the probabilities that a softmax gives where its logits are shifted.

        p_k exp(s_k) / sum_j p_j exp(s_j)

    Args:
        probabilities: p, (..., classes). What is 0 stays so.
        shift: s of each class, (classes,).

    Returns:
        (..., classes).
    """
    is_there = probabilities > 0
    logits = ops.log(ops.where(is_there, probabilities, 1)) + shift
    return ops.softmax(ops.where(is_there, logits, float("-inf")), axis=-1)


def negative_log_likelihood(labels: Tensor, probabilities: Tensor) -> Tensor:
    """Return -log p_t, t the target.

    A probability that underflowed counts as the smallest normal number of its type (87.3 nats in
    float32), so that the result is finite.

    Args:
        labels: (...) int32, the class of each example, as `class_indices` returns it.
        probabilities: p, (..., classes).

    Returns:
        (...), in nats.
    """
    return -log(at_target(one_hot_rows(labels, probabilities), probabilities))


def expected_negative_log_likelihood(rows: Tensor, probabilities: Tensor) -> Tensor:
    """Return `negative_log_likelihood` of soft labels, the expectation over their classes.

    Args:
        rows: distributions of the classes, (..., classes).
        probabilities: p, (..., classes).

    Returns:
        (...), in nats.
    """
    return expectation(rows, -log(probabilities))


def labels_negative_log_likelihood(labels: Tensor, probabilities: Tensor) -> Tensor:
    """Return -sum_i [ y_i log p_i + (1 - y_i) log(1 - p_i) ] for any number of labels per example.

    The loss of one label is bounded: probabilities are kept half of the type's epsilon away from 0
    and 1, which is 16.6 nats in float32.

    Args:
        labels: y, (..., labels), zeros and ones, as `multi_hot_or_missing` returns them. A missing
            one adds nothing.
        probabilities: p, (..., labels).

    Returns:
        (...), in nats.
    """
    likelihood = labels * probabilities + (1 - labels) * (1 - probabilities)
    smallest = float(_finfo(probabilities).eps) / 2
    likelihood = ops.where(labels == MISSING, 1, likelihood)
    return -ops.sum(ops.log(ops.maximum(likelihood, smallest)), axis=-1)


def _finfo(tensor: Tensor) -> ml_dtypes.finfo:
    return ml_dtypes.finfo(keras.backend.standardize_dtype(tensor.dtype))
