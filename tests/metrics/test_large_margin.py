import keras
import numpy as np
import pytest
from keras import ops

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
