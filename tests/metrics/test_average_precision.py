import keras
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from keras_softmaxes.metrics import MeanAveragePrecision

LABELS = np.random.default_rng(0).integers(0, 2, (101, 4))
SCORES = np.random.default_rng(1).uniform(size=(101, 4)).astype("float32")


def test_more_examples_than_there_is_room_for_raise():
    metric = MeanAveragePrecision(capacity=100)
    metric.update_state(LABELS[:60], SCORES[:60])
    before = float(metric.result())
    with pytest.raises(ValueError, match=r"capacity.*room.*100.*101"):
        metric.update_state(LABELS[60:], SCORES[60:])
    assert float(metric.result()) == before
    metric.update_state(LABELS[60:100], SCORES[60:100])
    with pytest.raises(ValueError, match=r"capacity.*batch of 101.*100"):
        MeanAveragePrecision(capacity=100).update_state(LABELS, SCORES)


@pytest.mark.parametrize("jit_compile", [pytest.param(False, marks=pytest.mark.tensorflow), True])
def test_in_a_graph_too_or_make_the_result_nan(jit_compile):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Activation("linear")])
    metric = MeanAveragePrecision(capacity=100, name="precision")
    model.compile(loss="binary_crossentropy", metrics=[metric], jit_compile=jit_compile)

    def measure():
        return model.evaluate(SCORES, LABELS, batch_size=32, verbose=0, return_dict=True)

    if jit_compile:
        assert np.isnan(measure()["precision"])
    else:
        import tensorflow as tf

        with pytest.raises(tf.errors.InvalidArgumentError, match="capacity"):
            measure()


@pytest.mark.parametrize("capacity", [0, 2.0, True])
def test_bad_arguments_raise(capacity):
    with pytest.raises(ValueError, match=f"`capacity`.*at least 1.*capacity={capacity}"):
        MeanAveragePrecision(capacity)


def test_labels_that_are_not_there_or_not_raise():
    with pytest.raises(ValueError, match=r"`labels`.*0 to 2"):
        MeanAveragePrecision().update_state([[0, 2]], [[0.1, 0.2]])


@pytest.mark.parametrize("average", [None, "macro", "micro"])
def test_missing_labels_have_no_part(average):
    """Each label is ranked among the examples of which it is known, "micro" all known pairs."""
    known = np.random.default_rng(2).uniform(size=LABELS.shape) < 0.6
    weights = np.random.default_rng(3).integers(1, 4, len(LABELS))
    labels = np.where(known, LABELS, np.nan)
    scores = np.where(known | (LABELS == 0), SCORES, np.nan)  # where they are missing, anything

    def theirs(rows, columns):
        pair = LABELS[rows, columns], SCORES[rows, columns]
        return average_precision_score(*pair, sample_weight=weights[rows])

    expected = [theirs(np.flatnonzero(rows), label) for label, rows in enumerate(known.T)]
    if average:
        expected = theirs(*np.nonzero(known)) if average == "micro" else np.mean(expected)
    metric = MeanAveragePrecision(capacity=200, average=average)
    for rows in (slice(30), slice(30, None)):
        metric.update_state(labels[rows], scores[rows], weights[rows])
    np.testing.assert_allclose(metric.result(), expected, atol=1e-6)


def test_another_average_raises():
    with pytest.raises(ValueError, match=r"`average`.*'macro', 'micro', or None.*'overall'"):
        MeanAveragePrecision(average="overall")


def test_labels_that_were_ranked_wrong_in_a_narrower_batch_raise():
    metric = MeanAveragePrecision(capacity=10)
    metric.update_state([[1, 0, 1]], [[0.9, 0.1, 0.9]])
    with pytest.raises(ValueError, match=r"`y_pred`.*\(batch, 3\).*\(2, 2\)"):
        metric.update_state([[1, 0], [0, 1]], [[0.1, 0.9], [0.9, 0.1]])
