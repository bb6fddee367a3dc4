"""What holds of every metric."""

import inspect
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops
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


def test_every_metric_is_here():
    public = {each for each in vars(ks.metrics).values() if inspect.isclass(each)}
    public.remove(
        ks.metrics.TopKAccuracy
    )  # of a head's features: tests/models/test_many_classes.py
    assert public == {type(case.make()) for case in CASES.values()}


@EACH
def test_it_is_restored_from_its_configuration(case):
    metric = case.make(name="ours", dtype="float16")
    config = keras.metrics.serialize(metric)
    again = keras.metrics.deserialize(json.loads(json.dumps(config)))
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()
    assert again.name == "ours"
    data = data_of(case)
    assert measured(again, data) == measured(metric, data)
    assert keras.backend.standardize_dtype(again.result().dtype) == "float16"
    assert measured(again) == pytest.approx(case.naive(*data), abs=5e-3)


@EACH
def test_it_starts_at_0_and_again_after_a_reset(case):
    (labels, scores), metric = data_of(case), case.make()
    assert measured(metric) == 0
    measured(metric, (labels, scores[::-1]))
    metric.reset_state()
    assert measured(metric) == 0
    assert measured(metric, (labels, scores)) == pytest.approx(case.naive(labels, scores), abs=1e-6)


@EACH
def test_batches_do_not_matter_nor_do_empty_ones(case):
    labels, scores = data_of(case)
    expected = pytest.approx(case.naive(labels, scores), abs=1e-6)
    for cuts in ([], [0, 32, 64, 96], [1, 1, 50, ROWS]):
        batches = zip(np.split(labels, cuts), np.split(scores, cuts), strict=True)
        assert measured(case.make(), *batches) == expected


@EACH
@pytest.mark.parametrize(
    "dtype",
    ["float16", "bfloat16", "float32", pytest.param("float64", marks=pytest.mark.tensorflow)],
)
def test_predictions_may_be_of_any_type_also_another_in_each_batch(case, dtype):
    labels, scores = data_of(case)
    given = ops.cast(scores, dtype)
    rounded = ops.convert_to_numpy(ops.cast(given, "float32"))
    expected = pytest.approx(case.naive(labels, rounded), abs=1e-6)
    halves = [(labels[:50], given[:50]), (labels[50:], rounded[50:])]
    assert measured(case.make(), *halves) == expected
    assert measured(case.make(), *halves[::-1]) == expected


@EACH
def test_a_weight_counts_a_row_so_many_times(case):
    labels, scores = data_of(case)
    weights = row_weights()
    plain = pytest.approx(case.naive(labels, scores), abs=1e-6)
    for weight in (None, 2.0, np.float32(0.5), np.array(3)):
        assert measured(case.make(), (labels, scores, weight)) == plain
    repeated = case.naive(*(np.repeat(each, weights, axis=0) for each in (labels, scores)))
    for weight in (weights, weights[:, None], 0.5 * weights):
        ours = measured(case.make(), (labels, scores, weight))
        assert ours == pytest.approx(repeated, abs=1e-6)
    half = ROWS // 2
    batches = [(labels[:half], scores[:half], 2.0), (labels[half:], scores[half:], 0.0)]
    first = case.naive(labels[:half], scores[:half])
    assert measured(case.make(), *batches) == pytest.approx(first, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in CASES if "_of_labels" in name])
def test_labels_that_are_missing_are_as_if_absent(name):
    """Whatever their probability."""
    labels, scores = data_of(CASES[name], rows=100)
    missing = np.random.default_rng(5).uniform(size=labels.shape) < 0.2
    labels = np.where(missing, np.nan, labels)
    expected = CASES[name].naive(labels, scores)
    scores = np.where(missing, np.nan, scores)
    halves = [(labels[:50], scores[:50]), (labels[50:], scores[50:])]
    assert measured(CASES[name].make(), *halves) == pytest.approx(expected, abs=1e-6)


@EACH
def test_weights_of_another_shape_are_refused(case):
    labels, scores = data_of(case)
    for shape in ((ROWS - 1,), (1,), (1, ROWS), (ROWS, CLASSES), (ROWS, 1, 1)):
        with pytest.raises(ValueError, match="`sample_weight`"):
            case.make().update_state(labels, scores, np.ones(shape))


@EACH
def test_before_the_first_example_it_is_0(case):
    metric = case.make()
    assert measured(metric) == 0
    empty = [each[:0] for each in data_of(case)]
    assert measured(metric, empty) == 0


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name)
        for name, case in CASES.items()
        if case.measured == "probabilities"
    ],
)
def test_weights_below_0_are_refused_or_make_the_result_nan(case):
    labels, scores = data_of(case)
    wrong = [np.r_[np.ones(ROWS - 1), weight] for weight in (-1.0, np.inf, np.nan)]
    metric = case.make()
    for weights in wrong:
        with pytest.raises(ValueError, match=r"`sample_weight`.*finite numbers of at least 0"):
            metric.update_state(labels, scores, weights)
        assert measured(metric) == 0
    model = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Activation("linear")])
    model.compile(
        loss="sparse_categorical_crossentropy", weighted_metrics=[metric], jit_compile=True
    )
    for weights in wrong:
        found = model.evaluate(
            scores, labels, sample_weight=weights, batch_size=ROWS, verbose=0, return_dict=True
        )
        assert np.isnan(found[metric.name])


@EACH
def test_rows_of_weight_0_are_as_if_absent_even_with_nan(case):
    labels, scores = data_of(case)
    longer = np.concatenate([labels, labels[:3]]), np.concatenate([scores, scores[:3] * np.nan])
    weights = np.r_[np.ones(ROWS), np.zeros(3)]
    expected = pytest.approx(case.naive(labels, scores), abs=1e-6)
    assert measured(case.make(), (*longer, weights)) == expected
    assert np.isnan(measured(case.make(), longer))


@EACH
def test_another_number_of_classes_is_refused_by_name_or_counts(case):
    first, second = data_of(case), data_of(case, rows=20, classes=CLASSES - 1)
    metric = case.make()
    value = measured(metric, first)
    if case.has_classes:
        with pytest.raises(ValueError, match=r"`y_pred`.*\(batch, 4\).*first batch.*\(20, 3\)"):
            metric.update_state(*second)
        assert measured(metric) == value
    else:  # a label that is missing, a class of probability 0, or of a logit that is far below
        absent = {"several labels": 0.5, "probabilities": 0, "logits": -np.inf}[case.measured]
        labels, wider = second[0], np.insert(second[1], CLASSES - 1, absent, axis=1)
        if case.measured == "several labels":
            labels = np.insert(labels.astype("float64"), CLASSES - 1, np.nan, axis=1)
        both = [np.concatenate(each) for each in zip(first, (labels, wider), strict=True)]
        assert measured(metric, second) == pytest.approx(case.naive(*both), abs=1e-6)


@EACH
def test_predictions_without_an_axis_of_classes_are_refused(case):
    labels, scores = data_of(case)
    for wrong in (scores[:, 0], scores[:, :1]):
        with pytest.raises(ValueError, match=r"`y_pred`.*at least 2 classes"):
            case.make().update_state(labels, wrong)


def make_model(kind, **arguments):
    """Return a model whose predictions are its inputs, with all metrics, weighted and not."""
    cases = {name: case for name, case in CASES.items() if case.measured == kind}
    model = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Activation("linear")])
    model.compile(
        loss="binary_crossentropy"
        if kind == "several labels"
        else "sparse_categorical_crossentropy",
        metrics=[case.make(name=name) for name, case in cases.items()],
        weighted_metrics=[case.make(name=f"weighted_{name}") for name, case in cases.items()],
        **arguments,
    )
    return model


def check_model(model, kind, batch=BATCH):
    labels, scores = make_data(kind)
    weights = row_weights()
    ours = model.evaluate(
        scores, labels, sample_weight=weights, batch_size=batch, verbose=0, return_dict=True
    )
    repeated = [np.repeat(each, weights, axis=0) for each in (labels, scores)]
    expected = {"loss": ours["loss"]}
    for name, case in CASES.items():
        if case.measured == kind:
            expected[name] = case.naive(labels, scores)
            expected[f"weighted_{name}"] = case.naive(*repeated)
    assert ours == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@EACH_KIND
@pytest.mark.parametrize("way", ["run_eagerly", "jit_compile"])
def test_a_model_measures_it_eagerly_and_compiled(kind, way):
    # Each size is compiled anew, which takes long for all but the metrics of logits.
    batch = ROWS if way == "jit_compile" and kind != "logits" else BATCH
    check_model(make_model(kind, **{way: True}), kind, batch)


@pytest.mark.slow
@EACH_KIND
def test_a_saved_model_has_it_still_in_a_graph(kind, tmp_path):
    make_model(kind).save(tmp_path / "model.keras")
    check_model(keras.saving.load_model(tmp_path / "model.keras"), kind)


@pytest.mark.tensorflow
@EACH_KIND
def test_two_replicas_are_as_good_as_one(kind, two_replicas):
    with two_replicas.scope():
        model = make_model(kind)
    check_model(model, kind)


def test_the_margins_bias_ignores_pixels_under_row_weights():
    """Also where every row has as many pixels as there are rows."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(5, 5, 3)).astype("float32"), rng.integers(0, 3, (5, 5))
    weights = rng.uniform(size=5)
    bias, ignoring = ks.metrics.MarginBias, CASES["margin_bias_ignoring"].make
    expected = naive_margin_bias(labels.ravel(), logits.reshape(25, 3))
    assert measured(bias(), (labels, logits)) == pytest.approx(expected, rel=1e-6)
    of_rows = [naive_margin_bias(*row) for row in zip(labels, logits, strict=True)]
    expected = pytest.approx(np.average(of_rows, weights=weights), rel=1e-6)
    assert measured(bias(), (labels, logits, weights)) == expected
    assert measured(ignoring(), (labels, logits, weights)) == expected
    assert measured(ignoring(), (labels[:4], logits[:4], weights[:4])) == pytest.approx(
        np.average(of_rows[:4], weights=weights[:4]), rel=1e-6
    )


@pytest.mark.parametrize("ignored", [255, -1, 2])
def test_what_the_margins_bias_ignores_may_be_nan(ignored):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(5, 6, 3)).astype("float32"), rng.integers(0, 2, (5, 6))
    counted = rng.uniform(size=(5, 6)) > 0.3
    weights = rng.uniform(size=5)
    labels[~counted], logits[~counted] = ignored, np.nan
    metric = ks.metrics.MarginBias(ignore_class=ignored)
    biases = [
        naive_margin_bias([y], row[None])
        for y, row in zip(labels[counted], logits[counted], strict=True)
    ]
    of_pixels = np.broadcast_to(weights[:, None], (5, 6))[counted]
    expected = np.average(biases, weights=of_pixels)
    assert measured(metric, (labels, logits, weights)) == pytest.approx(expected, rel=1e-6)
    metric.reset_state()
    assert measured(metric, (np.full_like(labels, ignored), logits)) == 0


@pytest.mark.parametrize("ignored", ["a", 1.5, True])
def test_an_ignored_class_is_an_integer(ignored):
    with pytest.raises(ValueError, match=r"`ignore_class`\. Expected an integer"):
        ks.metrics.MarginBias(ignore_class=ignored)
