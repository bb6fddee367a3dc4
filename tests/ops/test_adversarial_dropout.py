import itertools
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from numerics import MODES, execute

from keras_softmaxes.ops._adversarial_dropout import adversarial_mask

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "adversarial_mask.json").read_text())
UNITS = 8
# A quarter of these is tied or zero.
jacobians = arrays("float32", (3, UNITS), elements=st.integers(-6, 6).map(lambda n: n / 2))
masks = arrays("float32", (3, UNITS), elements=st.sampled_from([0.0, 1.0]))
flips = st.integers(0, UNITS)


def flipped(mask, jacobian, budget, mode="eager"):
    return execute(lambda m, j: adversarial_mask(m, j, budget), [mask, jacobian], mode)


def best_gain(mask, jacobian, count):
    """The largest linearised rise of one example, over all masks with at most so many flips."""
    return max(
        sum((1 - 2 * mask[i]) * jacobian[i] for i in chosen)
        for size in range(count + 1)
        for chosen in itertools.combinations(range(len(mask)), size)
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("budget", GOLDEN["dropped_units"])
def test_golden_values(budget, mode):
    mask, jacobian = np.array([GOLDEN["base_mask"]]), np.array([GOLDEN["jacobian"]])
    (ours,) = flipped(mask, jacobian, float(budget), mode)
    assert np.flatnonzero(ours == 0).tolist() == GOLDEN["dropped_units"][budget]


@given(masks, jacobians, flips)
def test_it_is_the_best_of_all_feasible_masks(mask, jacobian, count):
    ours = flipped(mask, jacobian, count / UNITS)
    gain = ((ours - mask) * jacobian).sum(axis=1)
    expected = [best_gain(m, j, count) for m, j in zip(mask, jacobian, strict=True)]
    np.testing.assert_allclose(gain, expected)


@given(masks, jacobians, st.floats(0, 1))
def test_it_flips_few_entries_and_only_those_that_raise_the_divergence(mask, jacobian, budget):
    ours = flipped(mask, jacobian, budget)
    change = ours - mask
    assert set(np.unique(ours)) <= {0, 1}
    assert (np.abs(change).sum(axis=1) <= np.floor(budget * UNITS + 1e-9)).all()
    assert (change * jacobian >= 0).all()
    assert (change[jacobian == 0] == 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_of_equals_the_first_are_flipped(mode):
    mask, jacobian = np.ones((1, 6)), np.array([[-1, -2, -1, -1, 3, -1]])
    np.testing.assert_array_equal(flipped(mask, jacobian, 0.5, mode), [[0, 0, 0, 1, 1, 1]])


@pytest.mark.parametrize("mode", MODES)
def test_nan_and_infinity(mode):
    mask = np.array([[1, 1, 0, 0]])
    jacobian = np.array([[np.nan, -np.inf, np.nan, 1e-30]])
    np.testing.assert_array_equal(flipped(mask, jacobian, 0.5, mode), [[1, 0, 0, 1]])


def test_no_budget_changes_nothing_and_a_whole_one_makes_the_best_mask():
    jacobian = np.random.default_rng(0).normal(size=(5, 30))
    mask = np.random.default_rng(1).integers(0, 2, size=(5, 30))
    np.testing.assert_array_equal(flipped(mask, jacobian, 0), mask)
    np.testing.assert_array_equal(flipped(mask, jacobian, 1), jacobian > 0)


@pytest.mark.parametrize(
    ("budget", "units", "count"), [(0.29, 100, 29), (0.1, 10, 1), (0.7, 10, 7)]
)
def test_the_budget_is_read_as_it_is_written(budget, units, count):
    """In binary, 0.29 * 100 is below 29."""
    assert (flipped(np.ones((1, units)), -np.ones((1, units)), budget) == 0).sum() == count


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_mask_keeps_its_type(dtype):
    mask = ops.ones((2, 4), dtype=dtype)
    ours = adversarial_mask(mask, ops.array([[-1.0, 1, -3, -2]] * 2), 0.5)
    assert keras.backend.standardize_dtype(ours.dtype) == dtype
    np.testing.assert_array_equal(ops.cast(ours, "float32"), [[1, 1, 0, 0]] * 2)


@pytest.mark.parametrize(
    ("mask", "jacobian", "budget", "message"),
    [
        (
            np.ones((2, 3)),
            np.ones((2, 3)),
            1.5,
            r"`budget`. Expected a number of at least 0 and at most 1. Received: budget=1.5",
        ),
        (np.ones((2, 3)), np.ones((2, 3)), -0.1, "budget=-0.1"),
        (np.ones((2, 3)), np.ones((2, 3)), True, "budget=True"),
        (np.ones((2, 3)), np.ones((2, 3)), float("nan"), "budget=nan"),
        (np.ones((2, 3)), np.ones((2, 4)), 0.5, r"`jacobian`. Expected the shape \(2, 3\)"),
        (np.ones(3), np.ones(3), 0.5, r"`mask`. Expected shape \(batch, units\)"),
    ],
)
def test_bad_input_raises(mask, jacobian, budget, message):
    with pytest.raises(ValueError, match=message):
        adversarial_mask(mask, jacobian, budget)
