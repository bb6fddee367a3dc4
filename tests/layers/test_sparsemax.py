import keras
import numpy as np
import pytest
from keras import ops

import keras_softmaxes as ks


@pytest.mark.parametrize(("units", "scale"), [(2, 1.0), (10, 1.0), (19, 0.5), (91, 0.1)])
def test_the_logits_of_many_classes_are_scaled_down(units, scale):
    features = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    head = ks.layers.Sparsemax(units, kernel_initializer="glorot_uniform")
    outputs = head(features)
    logits = scale * ops.convert_to_numpy(head.logits(features))
    np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-6)
    np.testing.assert_array_equal(outputs["probabilities"], ks.ops.sparsemax(outputs["logits"]))


def test_a_scale_of_ones_own():
    features = np.ones((2, 3), "float32")
    head = ks.layers.Sparsemax(100, scale=2.0, bias_initializer="ones")
    np.testing.assert_array_equal(head(features)["logits"], np.full((2, 100), 2, "float32"))


def test_its_gradient_is_that_of_the_loss():
    head = ks.layers.Sparsemax(3)
    assert isinstance(head.default_loss(), ks.losses.SparsemaxLoss)
    outputs = {"logits": ops.array([[1.0, 0.5, -1.0]]), "probabilities": ops.zeros((1, 3))}
    assert float(head.default_loss()([0], outputs)) == pytest.approx(0.0625)


@pytest.mark.slow
def test_many_classes_are_learned_where_unscaled_logits_collapse():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(200), 8)
    x = (rng.normal(size=(200, 24))[y] + rng.normal(size=(len(y), 24))).astype("float32")

    def accuracy(scale):
        keras.utils.set_random_seed(0)
        hidden = [keras.layers.Dense(64, "relu") for _ in range(3)]
        network = keras.Sequential([keras.Input((24,)), *hidden])
        model = ks.models.Classifier(network, ks.layers.Sparsemax(200, scale))
        model.compile(keras.optimizers.Adam(0.02), metrics=["accuracy"])
        return model.fit(x, y, batch_size=64, epochs=20, verbose=0).history["accuracy"][-1]

    assert accuracy(1.0) < 0.05  # all logits become equal, where the loss is 1/2
    assert accuracy(None) > 0.2
