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
    np.testing.assert_allclose(numpy(outputs["logits"]), o, atol=1e-6)
    np.testing.assert_allclose(numpy(outputs["attention_logits"]), a, atol=1e-6)


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
