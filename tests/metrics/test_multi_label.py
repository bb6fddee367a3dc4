import numpy as np
import pytest
from sklearn import metrics as scikit

from keras_softmaxes.metrics import MultiLabelF1, MultiLabelPrecision, MultiLabelRecall

LABELS = np.random.default_rng(0).integers(0, 2, (101, 4))
SCORES = np.random.default_rng(1).uniform(size=(101, 4)).astype("float32")
AVERAGES = {"class": "macro", "overall": "micro"}


def measure(metric, labels=LABELS, scores=SCORES):
    metric.update_state(labels, scores)
    return float(metric.result())


@pytest.mark.parametrize("average", AVERAGES)
def test_overall_f1_is_scikit_learns_and_that_of_classes_is_not(average):
    theirs = scikit.f1_score(LABELS, SCORES >= 0.5, average=AVERAGES[average])
    is_theirs = measure(MultiLabelF1(average)) == pytest.approx(theirs, abs=1e-6)
    assert is_theirs == (average == "overall")


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
        (lambda: MultiLabelF1("macro"), "average.*'class', 'overall'.*'macro'"),
        (lambda: MultiLabelF1(threshold=None), "threshold.*a finite number.*None"),
        (lambda: MultiLabelF1(threshold=float("nan")), "threshold.*a finite number.*nan"),
        (lambda: measure(MultiLabelF1(), [[0, 2]], [[0.1, 0.2]]), "labels.*2"),
        (lambda: measure(MultiLabelF1(), [0, 1], [0.1, 0.2]), r"y_pred.*\(2,\)"),
    ],
)
def test_bad_arguments_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
