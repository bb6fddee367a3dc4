import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import MODES, execute

import keras_softmaxes as ks


def kl(mean, stddev, i, j):
    """Eq. 18."""
    squares = stddev[i] ** 2 + (mean[i] - mean[j]) ** 2
    return np.log(stddev[j] / stddev[i]) + squares / (2 * stddev[j] ** 2) - 0.5


def naive_separability(mean, stddev):
    """Eq. 19."""
    classes = range(len(mean))
    sums = [
        sum(kl(mean, stddev, i, j) + kl(mean, stddev, j, i) for j in classes if j != i)
        for i in classes
    ]
    return np.array(sums) / (2 * (len(mean) - 1))


@pytest.mark.parametrize("mode", MODES)
def test_they_are_the_papers_formulas(mode):
    rng = np.random.default_rng(0)
    mean, stddev = rng.normal(size=7), rng.uniform(0.2, 3, size=7)
    expected = naive_separability(mean, stddev)
    ours = execute(ks.ops.separability, [mean, stddev], mode)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    np.testing.assert_allclose(execute(ks.ops.compactness, [stddev], mode), 1 / stddev, rtol=1e-6)
    ratio = execute(ks.ops.separability_ratio, [mean, stddev], mode)
    np.testing.assert_allclose(ratio, expected / stddev, rtol=1e-5)


@given(
    mean=st.lists(st.floats(-100, 100), min_size=2, max_size=5),
    stddev=st.floats(0.01, 100),
    shift=st.floats(-10, 10),
    factor=st.floats(0.1, 10),
)
def test_it_is_positive_and_unchanged_by_shifts_and_factors(mean, stddev, shift, factor):
    mean = np.array(mean)
    stddev = stddev * np.linspace(1, 2, len(mean))
    ours = execute(ks.ops.separability, [mean, stddev])
    assert (ours > 0).all()
    moved = execute(ks.ops.separability, [factor * (mean + shift), factor * stddev])
    # float32 keeps 1e-7 of the means, of which their differences may be small.
    slack = 1e-5 * (1 + (np.abs(mean).max() + 10) / stddev.min()) ** 2
    np.testing.assert_allclose(moved, ours, rtol=1e-4, atol=slack)


def test_equal_gaussians_are_not_separable_exactly():
    np.testing.assert_array_equal(execute(ks.ops.separability, [[0.3] * 4, [0.7] * 4]), np.zeros(4))


@pytest.mark.parametrize(
    ("mean", "stddev", "match"),
    [
        ([0.0, 1.0], [1.0, 0.0], "stddev.*above 0.*0.0"),
        ([0.0, 1.0], [1.0, 1.0, 1.0], r"stddev.*\(2,\).*\(3,\)"),
        ([0.0], [1.0], "at least 2 classes"),
        ([[0.0, 1.0]], [[1.0, 1.0]], r"stddev.*\(classes,\).*\(1, 2\)"),
    ],
)
def test_bad_arguments_raise(mean, stddev, match):
    with pytest.raises(ValueError, match=match):
        ks.ops.separability(mean, stddev)
