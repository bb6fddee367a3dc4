"""What a few seeds say: means and ratios with 95 % confidence intervals, and paired tests."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95


class Interval(NamedTuple):
    """An estimate between the bounds of its confidence interval, NaN where there are none."""

    estimate: float
    low: float = math.nan
    high: float = math.nan

    def describe(self, digits: int = 2) -> str:
        """Write "estimate [low, high]"."""
        estimate, low, high = (f"{value:.{digits}f}" for value in self)
        return estimate if math.isnan(self.low) else f"{estimate} [{low}, {high}]"

    def plain(self) -> dict[str, float | None]:
        """Return the interval for a JSON file, with None where there is no bound."""
        pairs = self._asdict().items()
        return {name: round(value, 6) if math.isfinite(value) else None for name, value in pairs}


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean and its Student interval; a single value has no bounds."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean)
    half = stats.sem(values) * stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)
    return Interval(mean, float(mean - half), float(mean + half))


def ratio_interval(values: Sequence[float], reference: Sequence[float]) -> Interval:
    """Return mean(values) / mean(reference) and its interval by Fieller's theorem.

    The two are paired, seed by seed. The interval holds each ratio R for which a t-test does not
    reject that values - R * reference has mean zero. There are no bounds for a single pair, and
    where the reference cannot be told from zero.
    """
    top, bottom = np.mean(values), np.mean(reference)
    ratio = float(top / bottom) if bottom else math.nan
    count = len(values)
    if count < 2:
        return Interval(ratio)
    scale = stats.t.ppf((1 + LEVEL) / 2, count - 1) ** 2 / count
    covariance = scale * np.cov(values, reference)
    a = bottom**2 - covariance[1, 1]
    b = top * bottom - covariance[0, 1]
    c = top**2 - covariance[0, 0]
    if a <= 0:
        return Interval(ratio)
    half = math.sqrt(max(b**2 - a * c, 0.0))
    return Interval(ratio, float((b - half) / a), float((b + half) / a))


def p_value(values: Sequence[float], reference: Sequence[float]) -> float:
    """Return the p-value of the paired t-test that the means are equal, NaN for a single pair."""
    differences = np.subtract(values, reference)
    if len(differences) < 2:
        return math.nan
    if np.ptp(differences) == 0:
        return float(differences[0] == 0)
    return float(stats.ttest_rel(values, reference).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that allow for their number, by Holm's step-down procedure.

    Who calls those below 5 % different is wrong about any of them with a probability of at most
    5 %. Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    order = np.argsort(p_values)
    steps = np.arange(len(order), 0, -1) * np.asarray(p_values)[order]
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.tolist()
