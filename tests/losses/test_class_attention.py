import numpy as np
import pytest
from numerics import MODES, value_and_gradients
from scipy.special import expit, softmax

from keras_softmaxes.losses import AttentionCrossentropy

LABELS = np.array([0, 3, 1])
LOGITS, ATTENTION = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
TARGET = np.eye(4)[LABELS]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("supervised", [False, True])
def test_supervision_adds_the_binary_cross_entropy_of_the_attention(supervised, mode):
    attention = expit(ATTENTION)
    p = softmax(LOGITS + np.log(attention), axis=1)
    value = -np.log((TARGET * p).sum(axis=1)).sum()
    into_attention = (p - TARGET) * (1 - attention)
    if supervised:
        value -= np.log(np.where(TARGET, attention, 1 - attention)).sum()
        into_attention += attention - TARGET
    loss = AttentionCrossentropy(supervised, reduction="sum")
    ours, gradients = value_and_gradients(
        lambda o, a: loss(LABELS, {"logits": o, "attention_logits": a}), [LOGITS, ATTENTION], mode
    )
    assert ours == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(gradients, [p - TARGET, into_attention], atol=1e-6)


def test_bad_arguments_raise():
    with pytest.raises(ValueError, match=r"`supervised`.*True or False.*supervised=0\.5"):
        AttentionCrossentropy(0.5)
