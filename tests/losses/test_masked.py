import numpy as np
import pytest
from keras import ops
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


EVIDENCE = {
    "dropout": (np.stack([LOGITS, log_mask(KEPT)], axis=1), IN_DROPOUT),
    "sampling": (np.stack([LOGITS, log_mask(KEPT), log_mask(RESERVE)], axis=1), IN_SAMPLING),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float32", 1e-6), pytest.param("float64", 1e-12, marks=pytest.mark.tensorflow)],
)
@pytest.mark.parametrize("case", EVIDENCE)
def test_the_softmax_runs_over_the_target_and_the_classes_that_stay(case, dtype, tolerance, mode):
    evidence, entering = EVIDENCE[case]
    loss = MaskedCrossentropy(reduction="sum", dtype=dtype)
    p = softmax(np.where(entering, LOGITS.astype("float64"), -np.inf), axis=1)
    value, (gradient,) = value_and_gradients(lambda e: loss(LABELS, e), [evidence], mode, dtype)
    assert value == pytest.approx(-np.log(p[np.arange(3), LABELS]).sum(), rel=10 * tolerance)
    np.testing.assert_allclose(gradient[:, 0], p - np.eye(4)[LABELS], atol=tolerance)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "extreme"), [("float32", 1e4), ("float16", 1e3), ("bfloat16", 1e3)]
)
@pytest.mark.parametrize("rows", [2, 3])
def test_the_loss_of_many_classes_is_finite_at_extremes(rows, mode, dtype, extreme):
    rng = np.random.default_rng(2)
    logits = rng.choice([-extreme, 0, extreme], size=(40, 1, 300))
    masks = rng.choice([0, -np.inf], size=(40, rows - 1, 300))
    evidence, labels = np.concatenate([logits, masks], axis=1), rng.integers(0, 300, 40)
    loss = MaskedCrossentropy(dtype=dtype)
    value, (gradient,) = value_and_gradients(lambda e: loss(labels, e), [evidence], mode, dtype)
    assert np.isfinite(value)
    assert np.isfinite(gradient[:, 0]).all()


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 4), (3, 2, 4, 1)])
def test_what_is_not_the_evidence_is_refused(shape):
    with pytest.raises(
        ValueError, match=r"`y_pred`.*evidence.*ClassDropout.*ClassSampling.*2 or 3"
    ):
        MaskedCrossentropy()(LABELS, ops.zeros(shape))
