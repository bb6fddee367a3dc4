"""The softmax over a masked set of classes."""

import math

import keras
import ml_dtypes
from keras import ops

from ..support._arguments import Tensor
from ..support._labels import at_target, one_hot
from ..support._tensors import how_many, largest, read_alike
from ._soft_labels import expectation

LOG_EPSILON = math.log(1e-20)


def masked_logits(logits: Tensor, log_mask: Tensor) -> Tensor:
    """Logits of the softmax whose class k is weighted by z_k + epsilon.

    Returns o_k + log(z_k + epsilon) with epsilon = 1e-20, computed from log z_k. A class whose
    log-mask is minus infinity keeps the weight epsilon, so that the sum never vanishes.

    Args:
        logits: o, (..., classes).
        log_mask: log z, (..., classes), in [-inf, 0].

    Returns:
        (..., classes).
    """
    log_epsilon = ops.convert_to_tensor(LOG_EPSILON, dtype=log_mask.dtype)
    return logits + ops.logaddexp(log_mask, log_epsilon)


def masked_cross_entropy(labels: Tensor, logits: Tensor, log_mask: Tensor) -> Tensor:
    """Cross-entropy of the softmax over retained classes, the target never dropped.

        -log [ (z_t + eps) exp(o_t) / sum_k (z_k + eps) exp(o_k) ],  z_t := 1,  eps = 1e-20

    Args:
        labels: (...) or (..., 1) integers, or (..., classes) one-hot.
        logits: o, (..., classes).
        log_mask: log z, (..., classes). The target's entry is not read.

    Returns:
        (...), in nats, in float32 for half precision.

    Raises:
        ValueError: labels out of range or neither form; shapes that differ.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> logits = keras.ops.zeros((1, 4))
        >>> log_mask = keras.ops.log([[0.0, 1.0, 1.0, 1.0]])  # the target, class 0, is kept anyway
        >>> float(ks.ops.masked_cross_entropy([0], logits, log_mask)[0])  # log 4
        1.3862943649291992

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, Eq. 3
        (https://arxiv.org/abs/1712.07834).
    """
    logits, log_mask = read_alike(logits=logits, log_mask=log_mask)
    return masked_cross_entropy_of(one_hot(labels, logits), logits, log_mask)


def masked_cross_entropy_of(target: Tensor, logits: Tensor, log_mask: Tensor) -> Tensor:
    """Return `masked_cross_entropy` of a target that was read, as one-hot rows (..., classes).

    The sum over (z_k + eps) exp(o_k) is taken as one over z_k exp(o_k) and one over eps exp(o_k),
    which spares a logarithm for each class.
    """
    retained = ops.logsumexp(logits + ops.where(target == 1, 0, log_mask), axis=-1)
    total = ops.logaddexp(retained, ops.logsumexp(logits, axis=-1) + LOG_EPSILON)
    return total - at_target(target, logits)


def expected_masked_cross_entropy(
    rows: Tensor, logits: Tensor, log_mask: Tensor, with_reserve: Tensor | None = None
) -> Tensor:
    """Return `masked_cross_entropy` of soft labels, the expectation over their classes.

        sum_k p_k ( log [ sum_j (z_j + eps) exp(o_j) + (1 - z_k) exp(o_k) ] - o_k )

    A sum of positive numbers; that of the largest logit is at least eps.

    Args:
        rows: p, (..., classes).
        logits: o, (..., classes).
        log_mask: log z, (..., classes).
        with_reserve: as in `completed_log_mask`, which takes its place where class k is drawn.

    Returns:
        (...), in nats.
    """
    deviations = logits - ops.stop_gradient(largest(logits))
    exponentials = ops.exp(deviations)

    def totals(log_mask: Tensor) -> Tensor:
        mask = ops.exp(log_mask)
        kept = ops.sum((mask + math.exp(LOG_EPSILON)) * exponentials, axis=-1, keepdims=True)
        return kept + (1 - mask) * exponentials

    total = totals(log_mask)
    if with_reserve is not None:
        total = ops.where(log_mask == 0, totals(with_reserve), total)
    return expectation(rows, ops.log(total) - deviations)


def completed_log_mask(target: Tensor, log_mask: Tensor, with_reserve: Tensor) -> Tensor:
    """Log-mask of a fixed number n of classes, the target among them.

    n - 1 classes and one more in reserve are drawn without knowing the target. Where the target is
    not among the n - 1, it is the n-th; where it is, the one in reserve is. Either way the others
    are n - 1 classes drawn uniformly without replacement.

    Args:
        target: one-hot rows, (..., classes).
        log_mask: of the n - 1 classes, 0 or minus infinity, (..., classes).
        with_reserve: of the n classes, (..., classes).

    Returns:
        (..., classes). The target's own entry may be either, and is not to be read.
    """
    is_drawn = at_target(target, log_mask) == 0
    return ops.where(ops.expand_dims(is_drawn, axis=-1), with_reserve, log_mask)


def sampled_classes(uniform: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Which classes are drawn: those of the smallest numbers, and of equal ones the first.

    The numbers are compared with a bound that is halved as often as their type resolves, which in a
    kernel is several times faster than to sort them.

    Args:
        uniform: independent numbers in [0, 1), (..., classes), multiples of the type's epsilon,
            as a backend draws them. Others count as equal where they are less than that apart.
        count: n, from 1 to the number of classes.

    Returns:
        Two (..., classes) tensors of booleans: of n - 1 classes, and of these and one more.
    """
    one = ops.ones_like(uniform[..., :1])

    def halve(_: Tensor, bounds: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        low, high = bounds
        middle = (low + high) / 2
        is_enough = how_many(uniform <= middle, uniform) >= count
        return ops.where(is_enough, low, middle), ops.where(is_enough, middle, high)

    # From a distance of 2, to one below what lies between two uniform numbers.
    halvings = ml_dtypes.finfo(keras.backend.standardize_dtype(uniform.dtype)).nmant + 2
    low, high = ops.fori_loop(0, halvings, halve, (-one, one))
    # Between the bounds is one number, the n-th, and what is equal to it.
    is_below, is_nth = uniform <= low, (uniform > low) & (uniform <= high)
    place = how_many(is_below, uniform) + ops.cumsum(ops.cast(is_nth, uniform.dtype), axis=-1)
    return is_below | (is_nth & (place < count)), is_below | (is_nth & (place <= count))
