import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from numerics import MODES, execute, finite_differences, value_and_gradients

from keras_softmaxes.ops import mean_multiclass_hinge

LABELS = np.array([0, 3, 1, 2])


def hinge(logits):
    return mean_multiclass_hinge(LABELS, logits)


def naive(logits):
    """The same by a loop over the classes."""
    losses = []
    for row, label in zip(logits, LABELS, strict=True):
        others = [f for index, f in enumerate(row) if index != label]
        losses.append(np.mean([max(0, f - row[label] + 1) for f in others]))
    return np.array(losses)


@pytest.mark.parametrize("mode", MODES)
def test_values_worked_out_by_hand(mode):
    logits = np.array([[2.0, 1.5, 0.0, 1.0], [0.0] * 4, [5.0, 9.0, 8.0, 2.0], [1.0, 2.0, 0.0, 3.0]])
    np.testing.assert_allclose(execute(hinge, [logits], mode), [0.5 / 3, 1, 0, 3], rtol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize("mode", MODES)
def test_gradients_agree_with_finite_differences_of_a_naive_version(mode):
    logits = np.random.default_rng(0).normal(size=(4, 5))
    value, (gradient,) = value_and_gradients(hinge, [logits], mode, "float64")
    assert value == pytest.approx(naive(logits).sum(), rel=1e-12)
    expected = finite_differences(lambda f: naive(f).sum(), logits)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


@given(arrays("float32", (4, 5), elements=st.floats(-8, 8, width=32)), st.floats(-8, 8, width=32))
def test_a_constant_changes_nothing_and_zero_means_a_margin_of_one(logits, constant):
    losses = ops.convert_to_numpy(hinge(logits))
    shifted = ops.convert_to_numpy(hinge(logits + constant))
    np.testing.assert_allclose(losses, shifted, atol=1e-5)
    target = logits[np.arange(4), LABELS]
    others = np.where(np.eye(5)[LABELS], -np.inf, logits).max(axis=1)
    np.testing.assert_array_equal(losses == 0, target - others >= 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "extreme"), [("float32", 1e4), ("float16", 1e3), ("bfloat16", 1e3)]
)
def test_value_and_gradients_are_finite_at_extremes(mode, dtype, extreme):
    logits = np.random.default_rng(1).choice([-extreme, 0.0, extreme], size=(4, 5))
    value, (gradient,) = value_and_gradients(hinge, [logits], mode, dtype)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: mean_multiclass_hinge([0, 1], x[0]),
            r"`logits`.*\(batch, \.\.\., classes\).*\(3,\)",
        ),
        (lambda x: mean_multiclass_hinge([0, 0], x[:, :1]), r"`logits`.*at least 2.*\(2, 1\)"),
        (lambda x: mean_multiclass_hinge([0, 3], x), "`labels`.*from 0 to 2"),
    ],
)
def test_bad_input_raises_with_its_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((2, 3), "float32"))
