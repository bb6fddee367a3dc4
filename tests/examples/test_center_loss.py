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
    distances = head(features.astype("float32"))["distances"]
    loss = center_loss.CenterLoss(0.5, reduction=None)
    got = loss(labels, {"logits": logits.astype("float32"), "distances": distances})
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    squares = ((features - centers[labels]) ** 2).sum(axis=1)
    expected = -np.log(p[np.arange(5), labels]) + 0.5 * squares / 2
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.slow
def test_it_draws_features_to_their_centers_and_is_saved(tmp_path):
    x, y = make_problem()
    spread = []
    for weight in (0.0, 1.0):
        keras.utils.set_random_seed(0)
        network = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
        model = ks.models.Classifier(network, center_loss.CenterHead(4))
        model.compile(keras.optimizers.Adam(0.05), center_loss.CenterLoss(weight))
        model.fit(x, y, epochs=20, verbose=0)
        features = np.asarray(model.network(x))
        own = [features[y == label] for label in range(4)]
        within = np.mean([np.var(each, axis=0).sum() for each in own if len(each)])
        spread.append(within / np.var(features, axis=0).sum())
    assert spread[1] < spread[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.loss.weight == 1.0
