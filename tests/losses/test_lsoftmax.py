import keras
import numpy as np
import pytest
from numerics import MODES, value_and_gradients
from scipy.special import logsumexp

from keras_softmaxes.layers import LSoftmax
from keras_softmaxes.losses import LSoftmaxLoss

LABELS = np.array([0, 3, 1])
EVIDENCE = np.random.default_rng(0).normal(size=(3, 2, 4)).astype("float32")


@pytest.mark.parametrize("mode", MODES)
def test_the_compiled_kernel_has_the_closed_form_gradient(mode):
    _, (gradient,) = value_and_gradients(lambda e: LSoftmaxLoss()(LABELS, e), [EVIDENCE], mode)
    rows = np.arange(3)
    combined = EVIDENCE[:, 0].copy()
    combined[rows, LABELS] = EVIDENCE[rows, 1, LABELS]
    probabilities = np.exp(combined - logsumexp(combined, axis=1, keepdims=True))
    expected = np.stack([probabilities, np.zeros((3, 4))], axis=1)
    expected[rows, 0, LABELS] = 0
    expected[rows, 1, LABELS] = probabilities[rows, LABELS] - 1
    np.testing.assert_allclose(gradient, expected / 3, atol=1e-6)


def test_margin_one_is_softmax_of_a_dense_layer_without_bias():
    features = np.random.default_rng(1).normal(size=(3, 6)).astype("float32")
    head, dense = LSoftmax(4, margin=1), keras.layers.Dense(4, use_bias=False)
    evidence = head(features)["evidence"]
    dense.build((None, 6))
    dense.kernel.assign(head.kernel)
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, dense(features))
    assert float(LSoftmaxLoss()(LABELS, evidence)) == pytest.approx(float(plain), rel=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "extreme"), [("float32", 1e4), ("float16", 1e3), ("bfloat16", 1e3)]
)
def test_the_loss_of_many_classes_is_finite_at_extremes(mode, dtype, extreme):
    rng = np.random.default_rng(2)
    evidence = rng.choice([-extreme, 0, extreme], size=(40, 2, 300))
    labels = rng.integers(0, 300, 40)
    loss = LSoftmaxLoss(dtype=dtype)
    value, (gradient,) = value_and_gradients(lambda e: loss(labels, e), [evidence], mode, dtype)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 4), (3, 2, 4, 1)])
def test_what_is_not_the_evidence_is_refused(shape):
    with pytest.raises(ValueError, match=r"`y_pred`.*evidence.*LSoftmax.*Classifier"):
        LSoftmaxLoss()(LABELS, np.zeros(shape, "float32"))
