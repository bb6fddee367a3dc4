import numpy as np
import pytest
from numerics import MODES, value_and_gradients

from keras_softmaxes.losses import MeanMulticlassHinge

LABELS = np.array([0, 3, 1])
LOGITS = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


@pytest.mark.parametrize("mode", MODES)
def test_the_compiled_kernel_counts_the_violations(mode):
    """Each logit that violates the margin has 1 / (C - 1), and the target minus their sum."""
    loss = MeanMulticlassHinge(reduction="sum")
    _, (gradient,) = value_and_gradients(lambda f: loss(LABELS, f), [LOGITS], mode)
    target = np.eye(4)[LABELS]
    violations = (1 - target) * (LOGITS[np.arange(3), LABELS][:, None] < LOGITS + 1)
    expected = (violations - target * violations.sum(axis=1, keepdims=True)) / 3
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_it_is_computed_in_float32_at_least(dtype):
    logits = np.zeros((1, 5000), "float32")
    logits[0, 4099] = 10
    loss = MeanMulticlassHinge(dtype=dtype)
    assert float(loss(np.array([4099]), logits)) == 0
    assert float(loss(np.array([4098]), logits)) == pytest.approx(1 + 10 / 4999, rel=1e-6)
