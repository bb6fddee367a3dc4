"""Every metric, its value by other means, and data that it measures."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from sklearn import metrics as scikit

import keras_softmaxes as ks

CLASSES = 4
ROWS, BATCH = 97, 32  # the last batch has one row, and one of two replicas none
AVERAGES = {"class": "macro", "overall": "micro", "macro": "macro", "micro": "micro"}


@dataclass(frozen=True)
class Case:
    """A metric, its value by other means, and whether its state has the number of classes.

    It measures scores of several labels, logits or probabilities.
    """

    make: Callable
    naive: Callable
    has_classes: bool = True
    measured: str = "several labels"


def share(function, average):
    """Return a score as scikit-learn averages it; its precision and recall are Eq. 22's."""
    return lambda labels, scores: function(
        labels, scores >= 0.5, average=AVERAGES[average], zero_division=0
    )


def harmonic_mean(average):
    def naive(labels, scores):
        p, r = (share(f, average)(labels, scores) for f in (scikit.precision_score, RECALL))
        return 2 * p * r / (p + r)

    return naive


def naive_average_precision(labels, scores, average="macro"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a label that no example has
        return scikit.average_precision_score(labels, scores, average=average)


def naive_margin_bias(labels, logits):
    """Eq. 7, a row at a time."""
    biases = []
    for row, label in zip(logits.astype("float64"), labels, strict=True):
        others = np.delete(row, label)
        biases.append(np.log(np.exp(others - others.max()).sum()))
    return np.mean(biases)


def naive_brier_score(labels, probabilities):
    probabilities = probabilities.astype("float64")
    return np.mean(np.sum((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2, axis=1))


def naive_brier_score_of_labels(labels, probabilities, multi_label):
    """Where a label is missing there is no example of it."""
    return np.nanmean((probabilities.astype("float64") - labels) ** 2)


def naive_calibration_error(
    labels,
    probabilities,
    norm="l1",
    adaptive=False,
    class_wise=False,
    multi_label=False,
    bins=15,
):
    """A bin at a time; for those of equal weight each row is there once for each bin."""
    if multi_label:
        every = [(probabilities.ravel(), labels.ravel())]
        columns = list(zip(probabilities.T, labels.T, strict=True)) if class_wise else every
        columns = [(c[~np.isnan(hits)], hits[~np.isnan(hits)]) for c, hits in columns]
    elif class_wise:
        columns = [(each, labels == k) for k, each in enumerate(probabilities.T)]
    else:
        columns = [(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)]
    errors = []
    for confidence, hits in columns:
        places = np.minimum((confidence * bins).astype(int), bins - 1)
        hits = hits.astype("float64")
        if adaptive:
            for each in np.unique(confidence):
                hits[confidence == each] = hits[confidence == each].mean()
            order = np.repeat(np.argsort(confidence), bins)
            confidence, hits = confidence[order], hits[order]
            places = np.arange(len(order)) // (len(order) // bins)
        found = [places == each for each in np.unique(places)]
        gaps = np.array([np.abs(np.mean(hits[b] - confidence[b].astype("float64"))) for b in found])
        shares = np.array([np.mean(each) for each in found])
        errors.append(
            {"l1": shares @ gaps, "l2": np.sqrt(shares @ gaps**2), "max": gaps.max()}[norm]
        )
    return np.mean(errors)


def naive_risk_coverage(labels, probabilities, measure="aurc", risk=0.6):
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != labels
    if measure == "augrc":
        area, accuracy = scikit.roc_auc_score(~wrong, confidence), 1 - wrong.mean()
        return (1 - area) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
    answered = confidence >= confidence[:, None]
    risks = np.array([wrong[each].mean() for each in answered])
    return risks.mean() if measure == "aurc" else max(answered.mean(axis=1)[risks <= risk])


def of_probabilities(kind, naive, has_classes=False, **settings):
    """Return the case of a metric of probabilities at some settings."""
    return Case(
        lambda **arguments: kind(**settings, **arguments),
        partial(naive, **settings),
        has_classes,
        "several labels" if settings.get("multi_label") else "probabilities",
    )


def calibration_error(**settings):
    has_classes = settings.get("class_wise", False)
    return of_probabilities(
        ks.metrics.CalibrationError, naive_calibration_error, has_classes, **settings
    )


RECALL = scikit.recall_score
CASES = {
    "margin_bias": Case(ks.metrics.MarginBias, naive_margin_bias, False, "logits"),
    "margin_bias_ignoring": Case(
        lambda **arguments: ks.metrics.MarginBias(ignore_class=255, **arguments),
        naive_margin_bias,
        False,
        "logits",
    ),
    "brier_score": of_probabilities(ks.metrics.BrierScore, naive_brier_score),
    "brier_score_of_labels": of_probabilities(
        ks.metrics.BrierScore, naive_brier_score_of_labels, multi_label=True
    ),
    "calibration_error": calibration_error(),
    "calibration_error_of_labels": calibration_error(multi_label=True),
    "calibration_error_of_labels_class_wise": calibration_error(multi_label=True, class_wise=True),
    "calibration_error_of_labels_adaptive": calibration_error(
        multi_label=True, adaptive=True, bins=5
    ),
    "calibration_error_of_labels_adaptive_class_wise": calibration_error(
        multi_label=True, adaptive=True, class_wise=True, norm="max"
    ),
    "calibration_error_l2_class_wise": calibration_error(norm="l2", class_wise=True, bins=4),
    "calibration_error_max": calibration_error(norm="max"),
    "calibration_error_adaptive": calibration_error(adaptive=True, bins=5),
    "calibration_error_adaptive_class_wise": calibration_error(
        norm="max", adaptive=True, class_wise=True
    ),
    "aurc": of_probabilities(ks.metrics.RiskCoverage, naive_risk_coverage),
    "augrc": of_probabilities(ks.metrics.RiskCoverage, naive_risk_coverage, measure="augrc"),
    "coverage": of_probabilities(
        ks.metrics.RiskCoverage, naive_risk_coverage, measure="coverage", risk=0.6
    ),
    "mean_average_precision": Case(ks.metrics.MeanAveragePrecision, naive_average_precision),
    "mean_average_precision_micro": Case(
        lambda **arguments: ks.metrics.MeanAveragePrecision(average="micro", **arguments),
        partial(naive_average_precision, average="micro"),
    ),
}
for average in AVERAGES:
    for metric, naive in {
        ks.metrics.MultiLabelPrecision: share(scikit.precision_score, average),
        ks.metrics.MultiLabelRecall: share(RECALL, average),
        ks.metrics.MultiLabelF1: (
            harmonic_mean(average)
            if average in ("class", "overall")
            else share(scikit.f1_score, average)
        ),
    }.items():
        CASES[f"{metric.__name__}_{average}"] = Case(
            lambda metric=metric, average=average, **arguments: metric(average, **arguments), naive
        )

EACH = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
EACH_KIND = pytest.mark.parametrize("kind", ["several labels", "logits", "probabilities"])


def make_data(kind="several labels", rows=ROWS, classes=CLASSES):
    """Return labels and predictions, some of which are equal."""
    rng = np.random.default_rng(3)
    if kind == "probabilities":
        counts = rng.integers(0, 6, (rows, classes)) + np.eye(classes)[rng.integers(classes)]
        probabilities = counts / counts.sum(axis=1, keepdims=True)
        return rng.integers(0, classes, rows), probabilities.astype("float32")
    if kind == "several labels":
        labels = rng.integers(0, 2, (rows, classes))
        return labels, (rng.integers(0, 40, (rows, classes)) / 40).astype("float32")
    return rng.integers(0, classes, rows), rng.normal(size=(rows, classes)).astype("float32")


def data_of(case, **arguments):
    return make_data(case.measured, **arguments)


def row_weights():
    return np.random.default_rng(4).integers(0, 3, ROWS)


def measured(metric, *batches):
    for batch in batches:
        metric.update_state(*batch)
    return float(metric.result())
