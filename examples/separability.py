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
    """Return Eqs. 18 to 20 of each class against the others, by the names of `MEASURES`.

    For one label an example; `label_measures` is for several. They are NaN where a model has
    diverged, or gives a class one number throughout.
    """
    if not np.isfinite([mean, stddev]).all() or not np.all(stddev > 0):
        return {name: np.full(len(mean), np.nan) for name in MEASURES}
    values = (
        ks.ops.compactness(stddev),
        ks.ops.separability(mean, stddev),
        ks.ops.separability_ratio(mean, stddev),
    )
    return dict(zip(MEASURES, map(keras.ops.convert_to_numpy, values), strict=True))


def label_measures(
    present: tuple[np.ndarray, np.ndarray], absent: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return Eqs. 18 to 20 of each label against its own absence, by the names of `MEASURES`.

    Where an example may have several labels, the paper tells "cow" from "non-cow" (section V,
    Figs. 4 and 8): the two Gaussians that a label is measured by are of the same number, with the
    label and without it, m = 2 in Eq. 19. Another label's number says nothing of that.

    Args:
        present: mean and deviation of each label's number where the label is, (labels,) each.
        absent: the same where it is not.
    """
    pairs = zip(*present, *absent, strict=True)
    each = [measures(np.array([m, other]), np.array([s, t])) for m, s, other, t in pairs]
    return {name: np.array([label[name][0] for label in each]) for name in MEASURES}


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
