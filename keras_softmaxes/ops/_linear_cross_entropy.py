"""Cross-entropy and large margin of linear logits, by tiles of classes.

Notation as in `_large_margin` and `_tiles`. The gradient is that of `_large_margin`, tile by tile.
"""

import math
from typing import Any, NamedTuple

from keras import ops

from ..support._arguments import Tensor
from ..support._labels import class_indices
from ..support._xla import xla_compiled
from ._large_margin import SHARES, Divergence, check_divergence
from ._tiles import (
    Linear,
    Tile,
    flattened,
    fold,
    logits_spec,
    of_classes,
    pull_back,
    read_linear,
    total_of_classes,
)

LOWEST = -1e38  # differences between it and logits are finite in float32


class _NonTarget(NamedTuple):
    """Sums over the non-target classes of an example, each (n,)."""

    largest: Tensor  # f_c*
    total: Tensor  # sum of the exponentials, exp(f_c - f_c*)
    weighted: Tensor  # sum of the exponentials times the deviations f_c - f_c*


def linear_cross_entropy(
    labels: Tensor,
    features: Tensor,
    kernel: Tensor,
    bias: Tensor,
    weight: float = 0.0,
    divergence: Divergence = "symmetric",
    margin: float = 0.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Softmax cross-entropy of linear logits, with the large margin, in little memory.

        large_margin_cross_entropy( labels, h W' + b )

    Value and gradients are those of `keras_softmaxes.ops.large_margin_cross_entropy`. They are
    computed by tiles of classes, in two passes. Memory holds one tile of logits, a few numbers per
    example, and the gradients.

    Args:
        labels: (...) or (..., 1) integers, or (..., C) one-hot, `...` being any shape.
        features: h, (..., d).
        kernel: W, (C, d), one row per class.
        bias: b, (C,).
        weight: lambda of the large margin, at least 0; 0 is the plain cross-entropy.
        divergence: "symmetric", "forward" or "reverse".
        margin: the hard margin, subtracted from the target's logit.
        label_smoothing: share of the uniform distribution in the target, in [0, 1).

    Returns:
        (...), in nats, in float32 for features in half precision.

    Raises:
        ValueError: labels out of range or of neither form; fewer than two classes; shapes that do
            not fit; an unknown divergence.

    Example:
        >>> import keras_softmaxes as ks
        >>> kernel, bias = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, 0.0]
        >>> loss = ks.ops.linear_cross_entropy([0], [[3.0, 1.0]], kernel, bias)
        >>> round(float(loss[0]), 4)
        1.349

    Reference:
        Kobayashi, Large Margin In Softmax Cross-Entropy Loss, BMVC 2019, Eqs. 11-13, 15
        (https://github.com/tk1980/LargeMarginInSoftmax).
    """
    check_divergence(divergence)
    linear = read_linear(features, kernel, bias)
    classes = class_indices(labels, logits_spec(linear))
    numbers = float(weight), divergence, float(margin), float(label_smoothing)
    flat, classes = flattened(linear, classes)
    losses = linear_cross_entropy_of(classes, *flat, *numbers)
    return ops.reshape(losses, ops.shape(linear.features)[:-1])


def linear_cross_entropy_of(
    classes: Tensor, features: Tensor, kernel: Tensor, bias: Tensor, *settings: Any
) -> Tensor:
    """Return `linear_cross_entropy` of labels that were read, (n,), and features (n, d)."""

    @ops.custom_gradient
    def losses_of(features: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        linear = Linear(features, kernel, bias)
        # TensorFlow would make ready to differentiate the loop too, which XLA cannot.
        constant = Linear(*map(ops.stop_gradient, linear))
        losses, target, sums = _losses(classes, constant, *settings)

        def backward(*gradients: Tensor, upstream: Tensor = None) -> tuple[Tensor, ...]:
            upstream = gradients[0] if upstream is None else upstream
            return tuple(_gradient(classes, linear, target, sums, upstream, *settings))

        return losses, backward

    return losses_of(features, kernel, bias)


@xla_compiled
def _losses(
    classes: Tensor,
    linear: Linear,
    weight: float,
    divergence: Divergence,
    margin: float,
    label_smoothing: float,
) -> tuple[Tensor, Tensor, _NonTarget]:
    """Return the losses, the targets' logits less the margin, and the sums."""
    others = linear.kernel.shape[0] - 1
    target = of_classes(classes, linear) - margin
    forward, reverse = (weight * share for share in SHARES[divergence])

    def add(sums: tuple[Tensor, ...], tile: Tile) -> tuple[Tensor, ...]:
        before = _NonTarget(*sums)
        is_other = tile.is_new & (tile.classes != ops.expand_dims(classes, axis=-1))
        logits = ops.maximum(ops.where(is_other, tile.logits, LOWEST), LOWEST)
        top = ops.maximum(before.largest, ops.max(logits, axis=-1))
        shift, deviations = before.largest - top, logits - ops.expand_dims(top, axis=-1)
        exponentials, shrink = ops.exp(deviations), ops.exp(shift)
        total = shrink * before.total + ops.sum(exponentials, axis=-1)
        weighted = before.weighted
        if forward:
            products = ops.sum(exponentials * deviations, axis=-1)
            weighted = shrink * (weighted + shift * before.total) + products
        return top, total, weighted

    zeros = ops.zeros_like(target)
    start = ops.full_like(target, LOWEST), zeros, zeros
    sums = _NonTarget(*fold(add, start, linear))
    log_total = ops.log(sums.total)
    losses = ops.softplus(sums.largest - target + log_total)
    if forward:
        losses += forward * (sums.weighted / sums.total - log_total + math.log(others))
    if reverse or label_smoothing:
        # Logits are linear, so that of their plain mean no tile is needed.
        mean = (total_of_classes(linear) - (target + margin)) / others - sums.largest
        losses += reverse * (log_total - math.log(others) - mean)
        uniform = label_smoothing / (others + 1)
        losses += uniform * others * (target - (sums.largest + mean))
    return losses, target, sums


@xla_compiled
def _gradient(
    classes: Tensor,
    linear: Linear,
    target: Tensor,
    sums: _NonTarget,
    upstream: Tensor,
    weight: float,
    divergence: Divergence,
    margin: float,
    label_smoothing: float,
) -> Linear:
    """Return the gradients for features, kernel and bias; the margin is in the target already."""
    others = linear.kernel.shape[0] - 1
    forward, reverse = (weight * share for share in SHARES[divergence])
    uniform = label_smoothing / (others + 1)
    wrong = ops.sigmoid(sums.largest - target + ops.log(sums.total))
    level = upstream * (wrong + reverse - forward * sums.weighted / sums.total) / sums.total
    slope = upstream * forward / sums.total
    constant = upstream * (reverse / others + uniform)
    at_target = upstream * (uniform * others - wrong)
    columns = [ops.expand_dims(each, axis=-1) for each in (level, slope, constant, at_target)]
    level, slope, constant, at_target = columns

    def gradient_of(tile: Tile) -> Tensor:
        deviations = tile.logits - ops.expand_dims(sums.largest, axis=-1)
        factor = level + slope * deviations if forward else level
        at_others = ops.exp(deviations) * factor - constant
        return ops.where(tile.classes == ops.expand_dims(classes, axis=-1), at_target, at_others)

    return pull_back(gradient_of, linear)
