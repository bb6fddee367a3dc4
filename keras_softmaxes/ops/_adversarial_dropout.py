"""Adversarial dropout masks."""

import math
from fractions import Fraction

from keras import ops

from ..support._arguments import Tensor, alike, check_share, invalid, static_shape


def adversarial_mask(mask: Tensor, jacobian: Tensor, budget: float) -> Tensor:
    """Flip the few entries of dropout masks that raise a divergence the most, to first order.

    Along a mask e the divergence is D(e') ~ D(e) + sum_i (e'_i - e_i) J_i, so that it rises where
    an entry with J_i < 0 is turned off or one with J_i > 0 is turned on. Of these candidates the
    floor(budget * units) with the largest |J_i| are flipped, or all where there are fewer. Among
    equal values the first units win. That is the exact maximum of the linearised divergence over
    all masks with so few flips. An entry with J_i = 0 (or NaN) is never flipped.

    The paper bounds ||e - e'||_2 by budget * units, which its own code, and its appendix, read as
    the number of flips; its Algorithm 1 as printed goes one beyond it.

    Args:
        mask: e, of zeros and ones, (batch, units).
        jacobian: J, (batch, units), h * dD/dh where features h are masked.
        budget: share of the units that may be flipped, in [0, 1], read as the decimal number it is
            written as: 0.29 of 100 units are 29. The paper's is 0.05.

    Returns:
        The masks e', (batch, units), of the type of `mask`.

    Raises:
        ValueError: a budget outside [0, 1], or tensors that are not of one shape (batch, units).

    Example:
        >>> import numpy as np
        >>> mask, jacobian = np.array([[1.0, 1.0, 0.0]]), np.array([[-1.0, 3.0, 2.0]])
        >>> adversarial_mask(mask, jacobian, budget=0.34).numpy()
        array([[1., 1., 1.]])

    Reference:
        Park et al., Adversarial Dropout for Supervised and Semi-supervised Learning, AAAI 2018,
        Algorithm 1 (https://arxiv.org/abs/1707.03631).
    """
    mask, jacobian = ops.convert_to_tensor(mask), ops.convert_to_tensor(jacobian)
    check_share("budget", budget)
    mask, jacobian = alike(mask=mask, jacobian=jacobian)
    shape = static_shape("mask", mask)
    if len(shape) != 2 or shape[1] is None:
        expected = "shape (batch, units) with a known number of units"
        raise invalid("mask", expected, f"a tensor of shape {shape}")
    flips = most_flips(budget, shape[1])
    if flips == 0:
        return mask
    is_candidate = ops.where(mask > 0, jacobian < 0, jacobian > 0)
    gain = ops.where(is_candidate, ops.abs(jacobian), ops.zeros_like(jacobian))
    return ops.where(_largest(gain, flips), 1 - mask, mask)


def most_flips(budget: float, units: int) -> int:
    """Return floor(budget * units), of the decimal number that the budget is written as."""
    return math.floor(Fraction(str(budget)) * units)


def _largest(gain: Tensor, count: int) -> Tensor:
    """Return which entries are among the `count` largest of a row and above 0, the first of equal
    ones.

    Counting the equals takes no scatter, which XLA would run entry by entry.
    """
    least = ops.top_k(gain, count)[0][:, -1:]
    above, equal = gain > least, (gain == least) & (gain > 0)
    left = count - ops.sum(ops.cast(above, "int32"), axis=-1, keepdims=True)
    return above | (equal & (ops.cumsum(ops.cast(equal, "int32"), axis=-1) <= left))
