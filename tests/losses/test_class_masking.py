import numpy as np
import pytest
from numerics import MODES, value_and_gradients
from scipy.special import softmax

from keras_softmaxes.losses import MaskedCrossentropy

LABELS = np.array([0, 3, 1])
LOGITS = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
KEPT = np.array([[0, 1, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0]], bool)
RESERVE = KEPT | np.array([[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], bool)
# The target of the first two examples was not drawn; that of the third was, so its reserve enters.
IN_SAMPLING = np.array([[1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 0, 1]], bool)
IN_DROPOUT = np.array([[1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 0, 0]], bool)


def log_mask(kept):
    return np.where(kept, 0, -np.inf).astype("float32")


MASKS = {
    "dropout": ({"log_mask": log_mask(KEPT)}, IN_DROPOUT),
    "sampling": (
        {"log_mask": log_mask(KEPT), "reserve_log_mask": log_mask(RESERVE)},
        IN_SAMPLING,
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float32", 1e-6), pytest.param("float64", 1e-12, marks=pytest.mark.tensorflow)],
)
@pytest.mark.parametrize("case", MASKS)
def test_the_softmax_runs_over_the_target_and_the_classes_that_stay(case, dtype, tolerance, mode):
    masks, entering = MASKS[case]
    loss = MaskedCrossentropy(reduction="sum", dtype=dtype)
    p = softmax(np.where(entering, LOGITS.astype("float64"), -np.inf), axis=1)
    value, (gradient,) = value_and_gradients(
        lambda o: loss(LABELS, {"logits": o, **masks}), [LOGITS], mode, dtype
    )
    assert value == pytest.approx(-np.log(p[np.arange(3), LABELS]).sum(), rel=10 * tolerance)
    np.testing.assert_allclose(gradient, p - np.eye(4)[LABELS], atol=tolerance)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "extreme"), [("float32", 1e4), ("float16", 1e3), ("bfloat16", 1e3)]
)
@pytest.mark.parametrize("names", [["log_mask"], ["log_mask", "reserve_log_mask"]])
def test_masks_of_nothing_leave_the_loss_of_many_classes_finite(names, mode, dtype, extreme):
    rng = np.random.default_rng(2)
    logits = rng.choice([-extreme, 0, extreme], size=(40, 300))
    masks = {name: rng.choice([0, -np.inf], size=(40, 300)) for name in names}
    labels = rng.integers(0, 300, 40)
    loss = MaskedCrossentropy(dtype=dtype)
    value, (gradient,) = value_and_gradients(
        lambda o: loss(labels, {"logits": o, **masks}), [logits], mode, dtype
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
