"""Classes that a whole batch shares, drawn in proportion to frequencies.

Frequencies are integers w_c that sum to T, about 2^30. The expected count of a class among n draws
is then n w_c / T exactly. The draws are stratified: one falls into each of n equal parts of the
cumulative frequencies. If all frequencies are equal and n is the number of classes, each class is
drawn once.
"""

import math
from collections.abc import Sequence

import numpy as np
from keras import ops

from ..support._arguments import Tensor

TOTAL = 2**30


def log_uniform(classes: int) -> np.ndarray:
    """Return log(1 + 1/(c + 1)) for each class c, from the most frequent to the rarest."""
    return np.log1p(1 / np.arange(1, classes + 1))


def cumulative_frequencies(frequencies: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return w_0 + ... + w_c for each class c, (C,) int32; the last is T.

    Args:
        frequencies: numbers above 0, (C,). The smallest counts as at least 2^-30 of the sum.
    """
    shares = np.asarray(frequencies, "float64")
    weights = np.maximum(1, np.floor(TOTAL * (shares / shares.sum())))
    return np.cumsum(weights).astype("int32")


def drawn_classes(uniform: Tensor, cumulative: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Return classes and the logarithms of their expected counts.

    Args:
        uniform: numbers in [0, 1), one for each draw, (n,) float32.
        cumulative: what `cumulative_frequencies` returned, (C,) int32.
        total: T, the last of them.

    Returns:
        The classes, (n,) int32, with repetitions, and log(n w_c / T), (n,).
    """
    draws = uniform.shape[0]
    bounds = np.arange(draws + 1) * total // draws
    first, sizes = bounds[:-1].astype("int32"), np.diff(bounds)
    offsets = ops.cast(uniform * sizes.astype("float32"), "int32")
    places = first + ops.minimum(offsets, (sizes - 1).astype("int32"))
    classes = _class_at(places, cumulative)
    before = ops.where(classes == 0, 0, ops.take(cumulative, ops.maximum(classes - 1, 0)))
    weights = ops.cast(ops.take(cumulative, classes) - before, uniform.dtype)
    return classes, ops.log(weights * (draws / total))


def _class_at(places: Tensor, cumulative: Tensor) -> Tensor:
    """Return the first class whose cumulative frequency is above each place, by bisection."""
    low, high = ops.zeros_like(places), ops.full_like(places, cumulative.shape[0] - 1)
    for _ in range(math.ceil(math.log2(cumulative.shape[0]))):
        middle = (low + high) // 2
        is_above = ops.take(cumulative, middle) > places
        low, high = ops.where(is_above, low, middle + 1), ops.where(is_above, middle, high)
    return low
