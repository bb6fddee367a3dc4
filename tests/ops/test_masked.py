import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from numerics import MODES, execute

from keras_softmaxes.ops.masked import sampled_classes


def naive(uniform, count):
    """By a stable sort, which keeps the order of equal numbers."""
    rank = uniform.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return np.stack([rank < count - 1, rank < count])


def ours(uniform, count, mode="eager", dtype="float32"):
    def function(numbers):
        return ops.cast(ops.stack(sampled_classes(numbers, count)), "float32")

    return execute(function, [uniform], mode, dtype)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "bits"), [("float32", 23), pytest.param("float64", 52, marks=pytest.mark.tensorflow)]
)
@pytest.mark.parametrize("count", [1, 2, 130, 299, 300])
def test_they_are_the_classes_of_the_smallest_numbers(mode, dtype, bits, count):
    uniform = np.random.default_rng(0).integers(0, 2**bits, size=(20, 300)) / 2**bits
    np.testing.assert_array_equal(ours(uniform, count, mode, dtype), naive(uniform, count))


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 4), st.sampled_from([0, 1, 23])
)
def test_equal_and_neighbouring_numbers_are_told_apart(seed, classes, levels, bits):
    rng = np.random.default_rng(seed)
    uniform = rng.integers(0, min(levels, 2**bits), size=(3, classes)) / 2**bits
    count = int(rng.integers(1, classes + 1))
    np.testing.assert_array_equal(ours(uniform, count), naive(uniform, count))
