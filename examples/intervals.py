"""What a few seeds say: means and ratios with 95 % confidence intervals."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and its Student interval; the bounds are NaN for a single value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = stats.sem(values) * stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)
    return mean, mean - half, mean + half


def ratio_interval(
    values: Sequence[float], reference: Sequence[float]
) -> tuple[float, float, float]:
    """Return mean(values) / mean(reference) and its interval by Fieller's theorem.

    The two are paired, seed by seed. The interval holds each ratio R for which a t-test does not
    reject that values - R * reference has mean zero. The bounds are NaN for a single pair, and
    where the reference cannot be told from zero.
    """
    top, bottom = np.mean(values), np.mean(reference)
    ratio = float(top / bottom) if bottom else math.nan
    count = len(values)
    if count < 2:
        return ratio, math.nan, math.nan
    scale = stats.t.ppf((1 + LEVEL) / 2, count - 1) ** 2 / count
    covariance = scale * np.cov(values, reference)
    a = bottom**2 - covariance[1, 1]
    b = top * bottom - covariance[0, 1]
    c = top**2 - covariance[0, 0]
    if a <= 0:
        return ratio, math.nan, math.nan
    half = math.sqrt(max(b**2 - a * c, 0.0)) / a
    return ratio, float(b / a - half), float(b / a + half)


def describe(interval: tuple[float, float, float], digits: int = 2) -> str:
    """Write "mean [low, high]"."""
    mean, low, high = (f"{value:.{digits}f}" for value in interval)
    return f"{mean} [{low}, {high}]" if math.isfinite(interval[1]) else mean
