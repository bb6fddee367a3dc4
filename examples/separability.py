"""How compact and separable classes are, and whether that goes with average precision."""

from collections.abc import Mapping

import keras
import numpy as np
from scipy import stats

import keras_softmaxes as ks

MEASURES = ("compactness", "separability", "ratio")


def class_gaussians(logits: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the deviation of each class's logit over the examples of the class.

    Args:
        logits: (examples, classes).
        present: (examples, classes), of zeros and ones.

    Returns:
        Two arrays of shape (classes,).
    """
    own = [column[is_own == 1] for column, is_own in zip(logits.T, present.T, strict=True)]
    return np.array([each.mean() for each in own]), np.array([each.std() for each in own])


def measures(mean: np.ndarray, stddev: np.ndarray) -> dict[str, np.ndarray]:
    """Return Eqs. 18 to 20 of each class, by the names of `MEASURES`."""
    values = (
        ks.ops.compactness(stddev),
        ks.ops.separability(mean, stddev),
        ks.ops.separability_ratio(mean, stddev),
    )
    return dict(zip(MEASURES, map(keras.ops.convert_to_numpy, values), strict=True))


def significance(precision: np.ndarray, baseline: np.ndarray) -> float:
    """Return the p-value of a paired t-test of the classes' average precisions (Table V)."""
    return float(stats.ttest_rel(precision, baseline).pvalue)


def correlation(
    by_method: Mapping[str, np.ndarray], precision: Mapping[str, np.ndarray]
) -> tuple[int, float, float]:
    """Correlate a measure with average precision across methods, as Table VI does.

    Args:
        by_method: for each method the measure of each class.
        precision: for each method the average precision of each class.

    Returns:
        The class whose measure is the largest on average, and for that class Pearson's coefficient
        over the methods and its p-value.
    """
    values = np.stack([by_method[method] for method in by_method])
    chosen = int(values.mean(axis=0).argmax())
    precisions = [precision[method][chosen] for method in by_method]
    result = stats.pearsonr(values[:, chosen], precisions)
    return chosen, float(result.statistic), float(result.pvalue)
