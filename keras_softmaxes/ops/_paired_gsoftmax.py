"""Several labels per example, with evidence for and against each (Luo et al., 2019).

Notation, per example and label: y 1 where the label is present, else 0; a+ the evidence that it is
present, a- that it is absent.
"""

from keras import ops

from ..support._arguments import Tensor
from ..support._labels import MISSING, multi_hot_or_missing
from ..support._tensors import read_alike


def paired_cross_entropy(labels: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Cross-entropy of paired evidence.

        - sum_i [ y_i log sigm(a+_i) + (1 - y_i) log sigm(a-_i) ]

    This is Eq. 15, in which a- speaks for absence. Eq. 16 prints 1 - sigm(a-) for sigm(a-), in
    which a- would speak for presence, and which without the Gaussian term is not Eq. 15.

    Args:
        labels: y, (..., labels), of zeros and ones of any type; NaN is a missing label, which adds
            nothing.
        positive: a+, (..., labels).
        negative: a-, (..., labels).

    Returns:
        (...), in nats, in float32 for evidence in half precision.

    Raises:
        ValueError: shapes that differ; fewer than 2 labels; labels that are not 0 or 1. In a graph
            TensorFlow raises InvalidArgumentError for their values; inside XLA or `jax.jit`, where
            nothing can be raised, they give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> zeros = [[0.0, 0.0]]
        >>> ks.ops.paired_cross_entropy([[1, 0]], zeros, zeros).numpy().round(4)  # 2 log 2
        array([1.3863], dtype=float32)

    Reference:
        Luo et al., G-softmax, IEEE TNNLS 2019, Eq. 15 (https://arxiv.org/abs/1904.04317).
    """
    positive, negative = read_alike(positive=positive, negative=negative)
    return paired_cross_entropy_of(multi_hot_or_missing(labels, positive), positive, negative)


def paired_cross_entropy_of(present: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Return `paired_cross_entropy` of labels that `multi_hot_or_missing` has read."""
    # -log sigm(a) = softplus(-a). Labels that could not be read stay NaN.
    evidence = ops.where(present == 0, negative, present * positive)
    return ops.sum(ops.where(present == MISSING, 0, ops.softplus(-evidence)), axis=-1)
