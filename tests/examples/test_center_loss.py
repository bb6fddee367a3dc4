import center_loss
import keras
import numpy as np
import pytest
from problems import make_problem

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow


def test_the_loss_is_its_formula():
    rng = np.random.default_rng(0)
    features, centers = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    logits, labels = rng.normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])
    head = center_loss.CenterHead(4)
    head.build((None, 3))
    head.centers.assign(centers)
    outputs = head(features.astype("float32")) | {"logits": logits.astype("float32")}
    got = center_loss.CenterLoss(0.5, reduction=None)(labels, outputs)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    squares = ((features - centers[labels]) ** 2).sum(axis=1)
    expected = -np.log(p[np.arange(5), labels]) + 0.5 * squares / 2
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.slow
def test_centers_reach_their_classes_whatever_the_weight_and_it_is_saved(tmp_path):
    x, y = make_problem()
    network = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, trainable=False)])
    model = ks.models.Classifier(network, center_loss.CenterHead(4))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), center_loss.CenterLoss())
    model.fit(x, y, epochs=20, verbose=0)
    features = np.asarray(network(x))
    means = np.stack([features[y == label].mean(axis=0) for label in range(4)])
    np.testing.assert_allclose(model.head.centers, means, atol=0.5 * np.abs(means).max())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.loss.weight == model.loss.weight == 0.003


def test_features_are_drawn_by_the_weight_and_centers_without_it():
    import tensorflow as tf

    features, labels = tf.Variable([[1.0, 2.0], [3.0, 0.0]]), np.array([0, 1])
    head = center_loss.CenterHead(2)
    head.build((None, 2))
    head.centers.assign([[0.0, 1.0], [1.0, 1.0]])
    with tf.GradientTape() as tape:
        loss = center_loss.CenterLoss(0.25, reduction="sum")(labels, head(features))
    of_features, of_centers = tape.gradient(loss, [features, head.centers.value])
    apart = features - head.centers
    np.testing.assert_allclose(of_features, 0.25 * apart, rtol=1e-6)  # the kernel is zero
    np.testing.assert_allclose(of_centers, -apart, rtol=1e-6)
