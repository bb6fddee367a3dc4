"""The Brier score."""

from keras import ops

from ..support._arguments import Tensor
from ..support._labels import class_indices, one_hot_rows
from ..support._tensors import read_probabilities


def brier_score(labels: Tensor, probabilities: Tensor) -> Tensor:
    """Brier score of each example, the squared distance of its probabilities from its label.

        sum_k ( p_k - [k = y] )^2,   from 0 to 2

    It is lowest in expectation for the true probabilities, as the likelihood is, and unlike that it
    is bounded. That of two classes is twice the score of the one probability.

    Args:
        labels: y, (...) or (..., 1) integers, or (..., classes) one-hot.
        probabilities: p, (..., classes).

    Returns:
        (...).

    Raises:
        ValueError: labels out of range or of neither form; rows that are no probabilities of two
            classes or more. In a graph TensorFlow raises InvalidArgumentError for values; inside
            XLA or `jax.jit` they give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> ks.ops.brier_score([0], [[0.5, 0.5, 0.0]]).numpy()
        array([0.5], dtype=float32)

    Reference:
        Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review
        1950, Eq. 2.
    """
    probabilities = read_probabilities("probabilities", probabilities)
    return brier_score_of(class_indices(labels, probabilities), probabilities)


def brier_score_of(classes: Tensor, probabilities: Tensor) -> Tensor:
    """Return `brier_score` of classes and probabilities that were read."""
    return ops.sum(ops.square(probabilities - one_hot_rows(classes, probabilities)), axis=-1)
