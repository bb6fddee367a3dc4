import keras
import numpy as np
import pytest
from keras import ops

import keras_softmaxes as ks

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(10, 4)).astype("float32")
LABELS = RNG.integers(0, 4, 10)


def each():
    return ops.convert_to_numpy(ks.ops.margin_bias(LABELS, LOGITS))


def test_it_is_the_mean_over_all_batches():
    metric = ks.metrics.MarginBias()
    for rows in (slice(0, 7), slice(7, 10)):
        metric.update_state(LABELS[rows], LOGITS[rows])
    assert float(metric.result()) == pytest.approx(each().mean(), rel=1e-6)
    metric.reset_state()
    metric.update_state(LABELS[:1], LOGITS[:1])
    assert float(metric.result()) == pytest.approx(each()[0], rel=1e-6)


def test_sample_weights():
    weights = np.arange(10, dtype="float32")
    metric = ks.metrics.MarginBias()
    metric.update_state(LABELS, LOGITS, weights)
    assert float(metric.result()) == pytest.approx(np.average(each(), weights=weights), rel=1e-6)


def test_it_follows_fit_and_evaluate():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile("sgd", ks.losses.LargeMarginCrossentropy(), metrics=[ks.metrics.MarginBias()])
    model.fit(LOGITS, LABELS, verbose=0, shuffle=False)
    measured = model.evaluate(LOGITS, LABELS, verbose=0, return_dict=True)["margin_bias"]
    expected = ops.convert_to_numpy(ks.ops.margin_bias(LABELS, model(LOGITS))).mean()
    assert measured == pytest.approx(expected, rel=1e-5)


def test_config_round_trip():
    metric = ks.metrics.MarginBias(name="rho", dtype="float32")
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(again) is ks.metrics.MarginBias
    assert again.get_config() == metric.get_config()


def test_ignored_examples_do_not_count():
    weights = np.arange(10, dtype="float32")
    for ignored in (2, 255):
        counted = np.arange(10) % 3 > 0
        labels = np.where(counted, np.where(LABELS == 2, 1, LABELS), ignored)
        metric = ks.metrics.MarginBias(ignore_class=ignored)
        metric.update_state(labels, LOGITS, weights)
        values = ops.convert_to_numpy(ks.ops.margin_bias(labels[counted], LOGITS[counted]))
        expected = np.average(values, weights=weights[counted])
        assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    assert metric.get_config()["ignore_class"] == 255
