import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from keras_softmaxes.layers import GaussianMixture


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def test_it_starts_from_the_identity_covariance(features):
    head = GaussianMixture(4)
    outputs = head(features)
    expected = ((features[:, None] - numpy(head.means)) ** 2).sum(axis=2) / 2
    np.testing.assert_allclose(numpy(outputs["distances"]), expected, rtol=1e-5)
    assert not numpy(outputs["half_log_determinants"]).any()


def test_distances_and_probabilities_of_learned_variances(features):
    head = GaussianMixture(4)
    head.build((None, 5))
    log_variances = np.random.default_rng(1).normal(size=(4, 5)).astype("float32")
    head.log_variances.assign(log_variances)
    outputs = {name: numpy(each) for name, each in head(features, training=True).items()}
    squares = (features[:, None] - numpy(head.means)) ** 2
    distances = (squares / np.exp(log_variances)).sum(axis=2) / 2
    half = np.broadcast_to(log_variances.sum(axis=1) / 2, (6, 4))
    np.testing.assert_allclose(outputs["distances"], distances, rtol=1e-4)
    np.testing.assert_allclose(outputs["half_log_determinants"], half, rtol=1e-4)
    np.testing.assert_allclose(outputs["logits"], -distances - half, rtol=1e-4)
    probabilities = softmax(-distances - half, axis=1)
    np.testing.assert_allclose(outputs["probabilities"], probabilities, atol=1e-5)


def test_the_covariance_may_stay_the_identity(features):
    for learn in (True, False):
        head = GaussianMixture(4, learn_covariance=learn)
        head(features)
        names = [weight.name for weight in head.trainable_weights]
        assert names == (["means", "log_variances"] if learn else ["means"])


def test_the_regulariser_acts_on_the_means(features):
    head = GaussianMixture(4, mean_regularizer=keras.regularizers.L2(1.0))
    head(features)
    (penalty,) = head.losses
    assert float(penalty) == pytest.approx(float((numpy(head.means) ** 2).sum()), rel=1e-5)


def test_mixed_precision_rounds_the_features_alone(features):
    head = GaussianMixture(4, dtype="mixed_float16")
    distances = numpy(head(features)["distances"])
    rounded = features.astype("float16").astype("float32")
    expected = ((rounded[:, None] - numpy(head.means)) ** 2).sum(axis=2) / 2
    np.testing.assert_allclose(distances, expected, rtol=1e-5)


def test_a_learn_covariance_that_is_no_boolean_raises():
    with pytest.raises(ValueError, match=r"`learn_covariance`.*True or False.*learn_covariance=1"):
        GaussianMixture(3, learn_covariance=1)
