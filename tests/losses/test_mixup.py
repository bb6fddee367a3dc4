"""Keras's layers that mix examples, before the losses of classes."""

import keras
import numpy as np
import pytest
from loss_cases import EACH_OF_CLASSES, L, make, numpy, outputs_of
from problems import CLASSES

import keras_softmaxes as ks

MIXING = [keras.layers.MixUp(alpha=0.4, seed=1), keras.layers.CutMix(factor=0.8, seed=1)]


def mixed(layer, classes):
    """Return labels of 16 examples as the layer mixes them, at most two classes a row."""
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(16, 4, 4, 1)).astype("float32")
    rows = np.eye(classes, dtype="float32")[rng.integers(0, classes, 16)]
    return numpy(layer({"images": images, "labels": rows}, training=True)["labels"])


@pytest.mark.thorough
@pytest.mark.tensorflow
@EACH_OF_CLASSES
@pytest.mark.parametrize("layer", MIXING, ids=["MixUp", "CutMix"])
def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses(kind, layer):
    rows = mixed(layer, 3)
    assert (np.sort(rows, axis=1)[:, 1] > 0.01).any()  # some are soft
    outputs = outputs_of(kind, (16,))
    loss = make(kind, reduction="none")
    each = np.stack([numpy(loss(np.full(16, k), outputs)) for k in range(3)], axis=1)
    expected = (rows * each).sum(axis=1)
    if kind is L.SparsemaxLoss:  # the Fenchel-Young loss differs by what no weight changes
        expected -= (1 - (rows**2).sum(axis=1)) / 2
    np.testing.assert_allclose(numpy(loss(rows, outputs)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("head", [ks.layers.DropMax, ks.layers.ClassSampling, ks.layers.LSoftmax])
def test_a_classifier_learns_from_mixtures(problem, head):
    import tensorflow as tf

    x, y = problem
    layer = keras.layers.MixUp(alpha=0.2, seed=1)

    def mix(images, rows):
        batch = layer({"images": images, "labels": rows}, training=True)
        return batch["images"], batch["labels"]

    rows = np.eye(CLASSES, dtype="float32")[y]
    batches = tf.data.Dataset.from_tensor_slices((x[:, None, :, None], rows)).batch(64).map(mix)
    network = keras.Sequential([keras.Input((1, 8, 1)), keras.layers.Flatten()])
    network.add(keras.layers.Dense(32, "relu"))
    model = ks.models.Classifier(network, head(CLASSES))
    model.compile(keras.optimizers.Adam(0.01), metrics=["accuracy"])
    model.fit(batches, epochs=15, shuffle=False, verbose=0)
    likelihood, accuracy = model.evaluate(x[:, None, :, None], rows, verbose=0)
    assert accuracy > 0.75
    assert likelihood < np.log(CLASSES)
