"""Losses of soft labels: the expectation over each label's distribution of classes.

Notation, per example: p the distribution, f the logits. Whatever loss L(k) an example of class k
has, that of the distribution is sum_k p_k L(k). Nothing here subtracts one large number from
another, so that no digits are lost where one class dominates.
"""

from typing import NamedTuple

from keras import ops

from ..support._arguments import Tensor
from ..support._tensors import largest


def expectation(rows: Tensor, values: Tensor) -> Tensor:
    """Return sum_k p_k v_k, to which a class of probability 0 contributes nothing.

    Args:
        rows: p, (..., classes).
        values: v, (..., classes), infinities among them.

    Returns:
        (...).
    """
    return ops.sum(ops.where(rows == 0, 0, rows * values), axis=-1)


class WithoutOne(NamedTuple):
    """Sums over all classes but one, for each such one; (..., classes) unless said.

    Logits are taken from the largest, or, in the sum without that, from the second largest.
    """

    is_largest: Tensor  # booleans, one in a row
    deviations: Tensor  # f_j - max f
    exponentials: Tensor  # of the deviations
    totals: Tensor  # sum over j != k of the exponentials; 1 where k is the largest
    second: Tensor  # the second largest deviation, (..., 1)
    second_deviations: Tensor  # of the others from the second largest, 0 at the largest
    second_exponentials: Tensor  # of these, 0 at the largest
    second_total: Tensor  # their sum, (..., 1)

    def log_totals(self) -> Tensor:
        """Return log sum_{j != k} exp(f_j) - max f for each class k."""
        return ops.where(
            self.is_largest, self.second + ops.log(self.second_total), ops.log(self.totals)
        )


def without_one(logits: Tensor) -> WithoutOne:
    """Return the sums over all classes but one.

    Args:
        logits: f, (..., classes).
    """
    index = ops.expand_dims(ops.argmax(logits, axis=-1), axis=-1)
    is_largest = ops.arange(logits.shape[-1], dtype="int32") == ops.cast(index, "int32")
    deviations = logits - ops.stop_gradient(largest(logits))
    exponentials = ops.exp(deviations)
    # None of the exponentials that stay is above 1, that of the largest: the rest keeps its digits.
    total = ops.sum(exponentials, axis=-1, keepdims=True)
    second = ops.stop_gradient(largest(ops.where(is_largest, float("-inf"), deviations)))
    second_deviations = ops.where(is_largest, 0, deviations - second)
    second_exponentials = ops.where(is_largest, 0, ops.exp(second_deviations))
    return WithoutOne(
        is_largest,
        deviations,
        exponentials,
        ops.where(is_largest, 1, total - exponentials),
        second,
        second_deviations,
        second_exponentials,
        ops.sum(second_exponentials, axis=-1, keepdims=True),
    )


def margin_cross_entropy(rows: Tensor, logits: Tensor, target_logits: Tensor) -> Tensor:
    """Return the expected cross-entropy of a softmax whose target has a logit of its own.

        sum_k p_k ( -log [ exp(g_k) / ( exp(g_k) + sum_{j != k} exp(f_j) ) ] )

    Args:
        rows: p, (..., classes).
        logits: f, (..., classes), of the classes that are not the target.
        target_logits: g, (..., classes), of each class where it is the target.

    Returns:
        (...), in nats.
    """
    targets = target_logits - ops.stop_gradient(largest(logits))
    return expectation(rows, ops.softplus(without_one(logits).log_totals() - targets))
