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
    distances, half_log_determinants = np.moveaxis(numpy(head(features)["evidence"]), 1, 0)
    expected = ((features[:, None] - numpy(head.means)) ** 2).sum(axis=2) / 2
    np.testing.assert_allclose(distances, expected, rtol=1e-5)
    assert not half_log_determinants.any()


def test_evidence_and_probabilities_of_learned_variances(features):
    head = GaussianMixture(4)
    head.build((None, 5))
    log_variances = np.random.default_rng(1).normal(size=(4, 5)).astype("float32")
    head.log_variances.assign(log_variances)
    outputs = head(features, training=True)
    squares = (features[:, None] - numpy(head.means)) ** 2
    distances = (squares / np.exp(log_variances)).sum(axis=2) / 2
    half = np.broadcast_to(log_variances.sum(axis=1) / 2, (6, 4))
    np.testing.assert_allclose(
        numpy(outputs["evidence"]), np.stack([distances, half], axis=1), rtol=1e-4
    )
    np.testing.assert_allclose(
        numpy(outputs["probabilities"]), softmax(-distances - half, axis=1), atol=1e-5
    )


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


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
def test_outputs_are_at_least_float32(features, policy):
    if policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX runs in 32 bits by default")
    outputs = GaussianMixture(4, dtype=policy)(features)
    expected = "float64" if policy == "float64" else "float32"
    assert {keras.backend.standardize_dtype(t.dtype) for t in outputs.values()} == {expected}


def test_mixed_precision_rounds_the_features_alone(features):
    head = GaussianMixture(4, dtype="mixed_float16")
    distances = numpy(head(features)["evidence"])[:, 0]
    rounded = features.astype("float16").astype("float32")
    expected = ((rounded[:, None] - numpy(head.means)) ** 2).sum(axis=2) / 2
    np.testing.assert_allclose(distances, expected, rtol=1e-5)


def test_config_round_trip(features):
    head = GaussianMixture(
        4, learn_covariance=False, mean_initializer="ones", mean_regularizer="l2", name="head"
    )
    again = keras.layers.deserialize(keras.layers.serialize(head))
    assert again.get_config() == head.get_config()
    evidence = [numpy(layer(features)["evidence"]) for layer in (head, again)]
    np.testing.assert_array_equal(*evidence)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"`units`.*at least 2.*units=1"):
        GaussianMixture(1)
    with pytest.raises(ValueError, match=r"`features`.*\(batch, features\).*\(2, 3, 4\)"):
        GaussianMixture(3)(np.zeros((2, 3, 4), "float32"))
