import keras
import numpy as np
import pytest

from keras_softmaxes.metrics import MeanAveragePrecision

LABELS = np.random.default_rng(0).integers(0, 2, (101, 4))
SCORES = np.random.default_rng(1).uniform(size=(101, 4)).astype("float32")


def test_more_examples_than_there_is_room_for_are_refused():
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
def test_bad_arguments_are_refused(capacity):
    with pytest.raises(ValueError, match=f"`capacity`.*at least 1.*capacity={capacity}"):
        MeanAveragePrecision(capacity)


def test_labels_that_are_not_there_or_not_are_refused():
    with pytest.raises(ValueError, match=r"`labels`.*0 to 2"):
        MeanAveragePrecision().update_state([[0, 2]], [[0.1, 0.2]])
