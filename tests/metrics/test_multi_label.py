import keras
import numpy as np
import pytest
from sklearn import metrics as scikit

from keras_softmaxes.metrics import (
    MeanAveragePrecision,
    MultiLabelF1,
    MultiLabelPrecision,
    MultiLabelRecall,
)

LABELS = np.random.default_rng(0).integers(0, 2, (101, 4))
SCORES = np.random.default_rng(1).uniform(size=(101, 4)).astype("float32")
AVERAGES = {"class": "macro", "overall": "micro"}


KINDS = {
    MultiLabelPrecision: scikit.precision_score,
    MultiLabelRecall: scikit.recall_score,
    MultiLabelF1: scikit.f1_score,
}
EACH_KIND = pytest.mark.parametrize("kind", KINDS)


def measure(metric, labels=LABELS, scores=SCORES):
    metric.update_state(labels, scores)
    return float(metric.result())


@pytest.mark.parametrize("average", AVERAGES)
def test_overall_f1_is_scikit_learns_and_that_of_classes_is_not(average):
    theirs = scikit.f1_score(LABELS, SCORES >= 0.5, average=AVERAGES[average])
    is_theirs = measure(MultiLabelF1(average)) == pytest.approx(theirs, abs=1e-6)
    assert is_theirs == (average == "overall")


@EACH_KIND
def test_without_an_average_each_label_has_its_own(kind):
    metric = kind(average=None)
    metric.update_state(LABELS[:40], SCORES[:40])
    metric.update_state(LABELS[40:], SCORES[40:], np.arange(61))
    weights = np.r_[np.ones(40), np.arange(61)]
    theirs = KINDS[kind](LABELS, SCORES >= 0.5, average=None, sample_weight=weights)
    np.testing.assert_allclose(metric.result(), theirs, atol=1e-6)


@EACH_KIND
def test_missing_labels_have_no_part(kind):
    """Each label is scored on the examples of which it is known, "micro" on all known pairs."""
    known = np.random.default_rng(2).uniform(size=LABELS.shape) < 0.6
    weights = np.random.default_rng(3).integers(0, 4, len(LABELS))
    labels, predicted = np.where(known, LABELS, np.nan), SCORES >= 0.5
    scores = np.where(known | (LABELS == 0), SCORES, np.nan)  # where they are missing, anything

    def theirs(rows, columns):
        pair = LABELS[rows, columns], predicted[rows, columns]
        return KINDS[kind](*pair, sample_weight=weights[rows])

    each = [theirs(np.flatnonzero(rows), label) for label, rows in enumerate(known.T)]
    for average, expected in {
        None: each,
        "macro": np.mean(each),
        "micro": theirs(*np.nonzero(known)),
        "overall": theirs(*np.nonzero(known)),
    }.items():
        metric = kind(average)
        for rows in (slice(30), slice(30, None)):
            metric.update_state(labels[rows], scores[rows], weights[rows])
        np.testing.assert_allclose(metric.result(), expected, atol=1e-6)


def test_a_label_that_is_missing_everywhere_has_0():
    metric = MultiLabelF1(average=None)
    metric.update_state([[1, np.nan], [1, np.nan]], [[0.9, 0.9], [0.9, 0.1]])
    assert np.asarray(metric.result()).tolist() == [1, 0]


def test_a_model_reports_a_number_for_each_label():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Activation("linear")])
    metrics = [MultiLabelF1(None, name="f1"), MeanAveragePrecision(average=None, name="ap")]
    model.compile(loss="binary_crossentropy", metrics=metrics)
    logs = model.evaluate(SCORES, LABELS, verbose=0, return_dict=True)
    theirs = scikit.f1_score(LABELS, SCORES >= 0.5, average=None)
    np.testing.assert_allclose(logs["f1"], theirs, atol=1e-6)
    theirs = scikit.average_precision_score(LABELS, SCORES, average=None)
    np.testing.assert_allclose(logs["ap"], theirs, atol=1e-6)


def test_logits_have_their_own_threshold():
    logits = np.log(SCORES / (1 - SCORES))
    assert measure(MultiLabelF1(threshold=0), scores=logits) == measure(MultiLabelF1())


def test_a_label_that_is_never_predicted_or_never_present_has_0():
    labels, scores = [[1, 0], [1, 0]], [[0.1, 0.9], [0.9, 0.1]]
    assert measure(MultiLabelPrecision(), labels, scores) == 0.5  # 1 and 0
    assert measure(MultiLabelRecall(), labels, scores) == 0.25  # 0.5 and 0
    assert measure(MultiLabelF1(), [[0, 0]], [[0.1, 0.1]]) == 0


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: MultiLabelF1("mean"),
            "average.*'macro', 'micro', 'class', 'overall', or None.*'mean'",
        ),
        (lambda: MultiLabelF1(0), "average.*'macro'.*average=0"),
        (lambda: MultiLabelF1(threshold=None), "threshold.*a finite number.*None"),
        (lambda: MultiLabelF1(threshold=float("nan")), "threshold.*a finite number.*nan"),
        (lambda: measure(MultiLabelF1(), [[0, 2]], [[0.1, 0.2]]), "labels.*2"),
        (lambda: measure(MultiLabelF1(), [0, 1], [0.1, 0.2]), r"y_pred.*\(2,\)"),
    ],
)
def test_bad_arguments_raise(make, match):
    with pytest.raises(ValueError, match=match):
        make()
