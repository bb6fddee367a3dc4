"""Large margin in softmax cross-entropy (Kobayashi, BMVC 2019): uniform non-target logits.

Notation, per example, y the target among C classes:

    f  logits                          q  softmax of the C - 1 non-target logits
    c* the largest non-target logit    u  their uniform distribution, 1 / (C - 1)

The softmax cross-entropy is softplus(f_c* - f_y + rho) with rho the margin bias, which grows as the
non-target logits become equal. Nothing here subtracts the target's share from a sum over all
classes: once the target dominates, all digits would be lost. Logits are halved before they are
subtracted, so that the difference of any two that the type holds is finite.
"""

import math
from typing import Any, Literal, NamedTuple

from keras import ops

from ..support._arguments import Tensor, check_choice
from ..support._gradient import with_gradient
from ..support._labels import class_indices
from ..support._tensors import largest, read_logits
from ..support._xla import xla_compiled
from ._soft_labels import expectation, margin_cross_entropy, without_one

Divergence = Literal["symmetric", "forward", "reverse"]

# How much of D(q || u) and of D(u || q) each divergence takes.
SHARES = {"symmetric": (0.5, 0.5), "forward": (1.0, 0.0), "reverse": (0.0, 1.0)}


def large_margin_divergence(
    labels: Tensor, logits: Tensor, divergence: Divergence = "symmetric"
) -> Tensor:
    """Divergence of the non-target logits from equality, the regulariser of the large margin.

        symmetric   1/2 D(q || u) + 1/2 D(u || q) = 1/2 ( E_q[f] - mean_{c != y} f )
        forward     D(q || u) = sum_{c != y} q_c log( q_c / u )
        reverse     D(u || q) = sum_{c != y} u log( u / q_c )

    It is at least 0 (but for rounding), is 0 where the non-target logits are equal (so always for
    two classes), and does not change with the target's logit or with a constant added to all. A
    non-target logit of minus infinity makes the symmetric and the reverse divergence infinite.

    Args:
        labels: (...) or (..., 1) integers, or (..., C) one-hot, `...` being any shape.
        logits: f, (..., C).
        divergence: "symmetric" is the paper's; it also tries the other two.

    Returns:
        (...), in nats, in float32 for logits in half precision.

    Raises:
        ValueError: labels out of range or of neither form; fewer than two classes; an unknown
            divergence.

    Example:
        >>> import keras_softmaxes as ks
        >>> equal, unequal = [3.0, 1.0, 1.0], [3.0, 1.0, -1.0]
        >>> ks.ops.large_margin_divergence([0, 0], [equal, unequal]).numpy().round(4)
        array([0.    , 0.3808], dtype=float32)

    Reference:
        Kobayashi, Large Margin In Softmax Cross-Entropy Loss, BMVC 2019, Eqs. 8, 10
        (https://github.com/tk1980/LargeMarginInSoftmax).
    """
    check_divergence(divergence)
    logits = read_logits("logits", logits)
    classes = class_indices(labels, logits)
    return ops.squeeze(_divergence(_non_target(classes, logits), divergence), axis=-1)


def margin_bias(labels: Tensor, logits: Tensor) -> Tensor:
    """Bias of the margin that is implicit in the softmax cross-entropy.

        rho = log sum_{c != y} exp( f_c - f_c* )

    It runs from 0, where one non-target logit is far above the others, to log(C - 1), where all are
    equal.

    Args:
        labels: (...) or (..., 1) integers, or (..., C) one-hot, `...` being any shape.
        logits: f, (..., C).

    Returns:
        (...), in nats, in float32 for logits in half precision.

    Raises:
        ValueError: labels out of range or of neither form; fewer than two classes.

    Example:
        >>> import keras_softmaxes as ks
        >>> ks.ops.margin_bias([0], [[3.0, 1.0, 1.0]]).numpy().round(4)  # log 2
        array([0.6931], dtype=float32)

    Reference:
        Kobayashi, Large Margin In Softmax Cross-Entropy Loss, BMVC 2019, Eq. 7
        (https://github.com/tk1980/LargeMarginInSoftmax).
    """
    logits = read_logits("logits", logits)
    return margin_bias_of(class_indices(labels, logits), logits)


def margin_bias_of(classes: Tensor, logits: Tensor) -> Tensor:
    """Return `margin_bias` of labels that `class_indices` has read."""
    return ops.log(ops.squeeze(_non_target(classes, logits).total, axis=-1))


def large_margin_cross_entropy(
    labels: Tensor,
    logits: Tensor,
    weight: float = 0.3,
    divergence: Divergence = "symmetric",
    bias: float = 0.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Softmax cross-entropy with the large-margin regulariser, its gradient in closed form.

        sum_k t_k log( 1 / p_k ) + weight * R,     p = softmax(f - bias * onehot(y)),
        t = (1 - label_smoothing) * onehot(y) + label_smoothing / C

    with R = `large_margin_divergence`. Value and gradient come from one fused pass: with
    s = 1 - p_y and a, b the shares of D(q || u) and D(u || q) in R,

        d/df_c = q_c ( s + weight * ( a (f_c - E_q[f]) + b ) ) - weight * b / (C - 1)
                 - label_smoothing / C                                            for c != y,
        d/df_y = -s + label_smoothing * (C - 1) / C.

    Second derivatives are those of the closed form, in reverse mode. The numbers are not checked
    here, but by `keras_softmaxes.losses.LargeMarginCrossentropy`.

    Args:
        labels: (...) or (..., 1) integers, or (..., C) one-hot, `...` being any shape.
        logits: f, (..., C).
        weight: lambda, at least 0. The paper uses 0.3.
        divergence: "symmetric", "forward" or "reverse".
        bias: the hard margin, subtracted from the target's logit. The paper uses 1 in Eq. 15.
        label_smoothing: share of the uniform distribution in the target, in [0, 1).

    Returns:
        (...), in nats, in float32 for logits in half precision.

    Raises:
        ValueError: labels out of range or of neither form; fewer than two classes; an unknown
            divergence.

    Example:
        >>> import keras_softmaxes as ks
        >>> loss = ks.ops.large_margin_cross_entropy([0], [[3.0, 1.0, -1.0]])
        >>> round(float(loss[0]), 4)
        0.2572

    Reference:
        Kobayashi, Large Margin In Softmax Cross-Entropy Loss, BMVC 2019, Eqs. 11-13, 15
        (https://github.com/tk1980/LargeMarginInSoftmax).
    """
    check_divergence(divergence)
    logits = read_logits("logits", logits)
    numbers = float(weight), divergence, float(bias), float(label_smoothing)
    return large_margin_cross_entropy_of(class_indices(labels, logits), logits, *numbers)


def large_margin_cross_entropy_of(classes: Tensor, logits: Tensor, *settings: Any) -> Tensor:
    """Return `large_margin_cross_entropy` of labels that `class_indices` has read."""

    def losses_and_gradient(logits: Tensor) -> tuple[Tensor, tuple[Tensor]]:
        losses, gradient = _losses_and_gradient(classes, logits, *settings)
        return losses, (gradient,)

    return with_gradient(losses_and_gradient)(logits)


def expected_large_margin_divergence(
    rows: Tensor, logits: Tensor, divergence: Divergence = "symmetric"
) -> Tensor:
    """Return `large_margin_divergence` of soft labels, the expectation over their classes.

    It is linear in the label p. With the largest logit apart, from which the others are taken,

        E_q[f] of label k     ( sum_j e_j d_j - e_k d_k ) / ( sum_j e_j - e_k ),  e_j = exp(d_j)
        mean of all labels    sum_j (1 - p_j) d_j / (C - 1)

    Args:
        rows: p, (..., C).
        logits: f, (..., C).
        divergence: as for `large_margin_divergence`.

    Returns:
        (...), in nats.
    """
    without = without_one(logits)
    others = logits.shape[-1] - 1
    shares = ops.where(without.is_largest, 0, rows)  # of the labels that are not the largest logit
    share = expectation(ops.cast(without.is_largest, rows.dtype), rows)
    weighted = without.exponentials * without.deviations
    rest = ops.sum(weighted, axis=-1, keepdims=True) - weighted
    second = ops.sum(without.second_exponentials * without.second_deviations, axis=-1)
    second_total = ops.squeeze(without.second_total, axis=-1)
    second_mean = ops.sum(without.second_deviations, axis=-1) / others
    expected = expectation(shares, rest / without.totals) + share * second / second_total
    kept = ops.sum(shares, axis=-1, keepdims=True) - shares
    mean = ops.sum(kept * without.deviations, axis=-1) / others + share * second_mean
    if divergence == "symmetric":  # the logarithms of the other two cancel
        return 0.5 * (expected - mean)
    log_share = expectation(shares, ops.log(without.totals)) + share * ops.log(second_total)
    log_share -= math.log(others)
    return expected - log_share if divergence == "forward" else log_share - mean


def expected_large_margin_cross_entropy(
    rows: Tensor,
    logits: Tensor,
    weight: float,
    divergence: Divergence,
    bias: float,
    label_smoothing: float,
) -> Tensor:
    """Return `large_margin_cross_entropy` of soft labels, the expectation over their classes.

    Args:
        rows: p, (..., C).
        logits: f, (..., C).
        weight: as for `large_margin_cross_entropy`.
        divergence: likewise.
        bias: likewise.
        label_smoothing: likewise.

    Returns:
        (...), in nats.
    """
    classes = logits.shape[-1]
    losses = margin_cross_entropy(rows, logits, logits - bias)
    if label_smoothing:
        deviations = logits - ops.stop_gradient(largest(logits))
        ahead = ops.sum((classes * rows - 1) * deviations, axis=-1) - (classes - 1) * bias
        losses += label_smoothing / classes * ahead
    if weight:  # where it is 0, an infinite divergence must not make NaN of the losses
        losses += weight * expected_large_margin_divergence(rows, logits, divergence)
    return losses


def check_divergence(divergence: Divergence) -> Divergence:
    """Return `divergence`; raise ValueError unless it is the name of one."""
    return check_choice("divergence", divergence, SHARES)


class _NonTarget(NamedTuple):
    """What is known of the non-target classes, (..., 1) unless said; logits are halved."""

    classes: Tensor  # (..., C), True at the non-target classes
    exponentials: Tensor  # (..., C), exp(f_c - f_c*), 0 at the target
    weighted: Tensor  # (..., C), the exponentials times the deviations (f_c - f_c*) / 2
    largest: Tensor  # f_c* / 2
    total: Tensor  # sum of the exponentials
    expected: Tensor  # E_q of the deviations
    mean: Tensor  # their plain mean


def _non_target(labels: Tensor, logits: Tensor) -> _NonTarget:
    others = logits.shape[-1] - 1
    labels = ops.reshape(labels, (*ops.shape(logits)[:-1], 1))  # which nothing can broadcast
    classes = ops.arange(others + 1, dtype="int32") != labels
    halved = ops.where(classes, 0.5 * logits, float("-inf"))
    # A label that could not be read, where nothing can raise, makes everything NaN.
    top = ops.where(labels < 0, float("nan"), largest(halved))
    deviations = ops.where(classes, halved - top, 0)
    exponentials = ops.exp(2 * (halved - top))
    weighted = ops.where(exponentials > 0, exponentials * deviations, 0)
    total = ops.sum(exponentials, axis=-1, keepdims=True)
    expected = ops.sum(weighted, axis=-1, keepdims=True) / total
    mean = ops.sum(deviations, axis=-1, keepdims=True) / others
    return _NonTarget(classes, exponentials, weighted, top, total, expected, mean)


def _divergence(non_target: _NonTarget, divergence: Divergence) -> Tensor:
    """Return the divergence, (..., 1)."""
    if divergence == "symmetric":  # the logarithms of the other two cancel
        return non_target.expected - non_target.mean
    log_share = ops.log(non_target.total / (non_target.classes.shape[-1] - 1))
    if divergence == "forward":
        return 2 * non_target.expected - log_share
    return log_share - 2 * non_target.mean


@xla_compiled
def _losses_and_gradient(
    labels: Tensor,
    logits: Tensor,
    weight: float,
    divergence: Divergence,
    bias: float,
    label_smoothing: float,
) -> tuple[Tensor, Tensor]:
    """Return `large_margin_cross_entropy`, (...), and its gradient, (..., C)."""
    classes = logits.shape[-1]
    non_target = _non_target(labels, logits)
    index = ops.expand_dims(ops.maximum(labels, 0), axis=-1)
    target = 0.5 * (ops.take_along_axis(logits, index, axis=-1) - bias)
    margin = non_target.largest - target + 0.5 * ops.log(non_target.total)
    halved = _half_softplus(margin)
    uniform = label_smoothing / classes
    if label_smoothing:
        halved += uniform * (classes - 1) * (target - (non_target.largest + non_target.mean))
    losses = 2 * halved
    if weight:  # where it is 0, an infinite divergence must not make NaN of the losses
        losses += weight * _divergence(non_target, divergence)

    forward, reverse = (weight * share for share in SHARES[divergence])
    wrong = ops.sigmoid(2 * margin)  # 1 - p_y
    level = (wrong + reverse - 2 * forward * non_target.expected) / non_target.total
    slope = 2 * forward / non_target.total
    gradient = ops.where(
        non_target.classes,
        level * non_target.exponentials
        + slope * non_target.weighted
        - (reverse / (classes - 1) + uniform),
        uniform * (classes - 1) - wrong,
    )
    return ops.squeeze(losses, axis=-1), gradient


def _half_softplus(halved: Tensor) -> Tensor:
    """Return softplus(x) / 2 of x / 2."""
    return ops.maximum(halved, 0) + 0.5 * ops.log1p(ops.exp(-2 * ops.abs(halved)))
