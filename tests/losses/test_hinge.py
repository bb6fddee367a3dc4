import keras
import numpy as np
import pytest
from keras import ops
from numerics import MODES, value_and_gradients

from keras_softmaxes.losses import MeanMulticlassHinge
from keras_softmaxes.ops import mean_multiclass_hinge

LABELS = np.array([0, 3, 1])
LOGITS = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def test_reductions_and_weights():
    weights = np.array([2.0, 0.0, 0.5], "float32")
    each = numpy(mean_multiclass_hinge(LABELS, LOGITS))
    expected = {
        "sum_over_batch_size": (weights * each).mean(),
        "sum": (weights * each).sum(),
        "none": weights * each,
    }
    for reduction, value in expected.items():
        loss = MeanMulticlassHinge(reduction=reduction)
        np.testing.assert_allclose(
            numpy(loss(LABELS, LOGITS, sample_weight=weights)), value, rtol=1e-6
        )


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


def test_config_round_trip():
    loss = MeanMulticlassHinge(reduction="sum", name="hinge", dtype="bfloat16")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is MeanMulticlassHinge
    assert again.get_config() == loss.get_config()
    assert (again.reduction, again.name, again.dtype) == ("sum", "hinge", "bfloat16")


def test_logits_of_another_rank_are_refused():
    with pytest.raises(ValueError, match=r"`y_pred`.*\(batch, classes\).*\(3, 4, 1\)"):
        MeanMulticlassHinge()(LABELS, LOGITS[..., None])
