import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import expit, softmax

from keras_softmaxes.layers import ClassAttention, DropMax


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("training", [False, True])
def test_probabilities_are_the_softmax_weighted_by_the_attention(features, training):
    head = ClassAttention(4, bias_initializer="random_normal")
    outputs = head(features, training=training)
    o, a = (
        features @ numpy(branch.kernel) + numpy(branch.bias)
        for branch in (head.logits, head.attention)
    )
    weighted = np.exp(o) * expit(a)
    np.testing.assert_allclose(
        numpy(outputs["probabilities"]), weighted / weighted.sum(1, keepdims=True), atol=1e-6
    )
    np.testing.assert_allclose(numpy(outputs["evidence"]), np.stack([o, a], axis=1), atol=1e-6)


def test_full_attention_is_the_plain_softmax(features):
    head = ClassAttention(4)
    head.build((None, 5))
    head.attention.kernel.assign(np.zeros((5, 4)))
    head.attention.bias.assign(np.full(4, 100.0))
    logits = features @ numpy(head.logits.kernel)
    probabilities = numpy(head(features)["probabilities"])
    np.testing.assert_allclose(probabilities, softmax(logits, axis=1), rtol=1e-6)


def test_it_serves_what_dropmax_of_the_same_weights_serves(features):
    head, dropmax = ClassAttention(4), DropMax(4, posterior="prior")
    outputs = dropmax(features)
    head.build((None, 5))
    head.set_weights(dropmax.get_weights()[:4])
    np.testing.assert_array_equal(
        numpy(head(features)["probabilities"]), numpy(outputs["probabilities"])
    )


def test_regularisers_act_on_the_logits_alone(features):
    head = ClassAttention(4, kernel_regularizer=keras.regularizers.L2(1.0))
    head(features)
    (penalty,) = head.losses
    assert float(penalty) == pytest.approx(float((numpy(head.logits.kernel) ** 2).sum()), rel=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_outputs_are_at_least_float32(features, policy):
    if policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX runs in 32 bits by default")
    outputs = ClassAttention(4, dtype=policy)(features)
    expected = "float64" if policy == "float64" else "float32"
    assert {keras.backend.standardize_dtype(t.dtype) for t in outputs.values()} == {expected}


def test_config_round_trip(features):
    head = ClassAttention(4, kernel_initializer="ones", bias_regularizer="l1", name="head")
    again = keras.layers.deserialize(keras.layers.serialize(head))
    assert again.get_config() == head.get_config()
    evidence = [numpy(layer(features)["evidence"]) for layer in (head, again)]
    np.testing.assert_array_equal(*evidence)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"`units`.*at least 2.*units=1"):
        ClassAttention(1)
    with pytest.raises(ValueError, match=r"`features`.*\(batch, features\).*\(2, 3, 4\)"):
        ClassAttention(3)(np.zeros((2, 3, 4), "float32"))
