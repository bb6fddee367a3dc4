import keras
import numpy as np
import pytest
from keras import ops
from metric_cases import CASES, measured, naive_margin_bias

import keras_softmaxes as ks

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(10, 4)).astype("float32")
LABELS = RNG.integers(0, 4, 10)


def test_it_takes_labels_of_every_form():
    expected = ops.convert_to_numpy(ks.ops.margin_bias(LABELS, LOGITS)).mean()
    for labels in (LABELS[:, None], np.eye(4)[LABELS]):
        metric = ks.metrics.MarginBias()
        metric.update_state(labels, LOGITS)
        assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_in_a_classifier_it_reads_the_heads_logits(tmp_path):
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, "relu")])
    model = ks.models.Classifier(network, ks.layers.DropMax(4))
    model.compile("sgd", metrics=["accuracy", ks.metrics.MarginBias()])
    model.fit(LOGITS, LABELS, verbose=0)
    biases = ks.ops.margin_bias(LABELS, model(LOGITS)["logits"])
    expected = pytest.approx(ops.convert_to_numpy(biases).mean(), rel=1e-5)
    model.save(tmp_path / "model.keras")
    for each in (model, keras.saving.load_model(tmp_path / "model.keras")):
        measured = each.evaluate(LOGITS, LABELS, verbose=0, return_dict=True)
        assert measured["margin_bias"] == expected


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
