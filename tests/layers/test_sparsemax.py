import keras
import numpy as np
import pytest
from keras import ops

import keras_softmaxes as ks


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize(("units", "temperature"), [(2, 1), (10, 1), (19, 2), (91, 10)])
def test_the_temperature_grows_with_the_classes(units, temperature):
    features = random(4, 6)
    head = ks.layers.Sparsemax(units, kernel_initializer="glorot_uniform")
    outputs = head(features)
    logits = ops.convert_to_numpy(head.logits(features)) / temperature
    np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-6)
    np.testing.assert_array_equal(outputs["probabilities"], ks.ops.sparsemax(outputs["logits"]))


def test_a_temperature_of_ones_own():
    head = ks.layers.Sparsemax(100, temperature=0.5, bias_initializer="ones")
    logits = head(np.ones((2, 3), "float32"))["logits"]
    np.testing.assert_array_equal(logits, np.full((2, 100), 2, "float32"))


def test_its_loss_is_that_of_sparsemax():
    head = ks.layers.Sparsemax(3)
    assert isinstance(head.default_loss(), ks.losses.SparsemaxLoss)
    outputs = {"logits": ops.array([[1.0, 0.5, -1.0]]), "probabilities": ops.zeros((1, 3))}
    assert float(head.default_loss()([0], outputs)) == pytest.approx(0.0625)


@pytest.mark.slow
def test_many_classes_are_learned_where_the_papers_temperature_fails():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(200), 8)
    x = (rng.normal(size=(200, 24))[y] + 0.3 * rng.normal(size=(len(y), 24))).astype("float32")

    def accuracy(temperature):
        keras.utils.set_random_seed(0)
        hidden = [keras.layers.Dense(64, "relu") for _ in range(2)]
        network = keras.Sequential([keras.Input((24,)), *hidden])
        model = ks.models.Classifier(network, ks.layers.Sparsemax(200, temperature))
        model.compile(keras.optimizers.Adam(0.03), metrics=["accuracy"])
        return model.fit(x, y, batch_size=64, epochs=20, verbose=0).history["accuracy"][-1]

    assert accuracy(1.0) < 0.3  # all logits become equal, where the loss is 1/2
    assert accuracy(None) > 0.8
