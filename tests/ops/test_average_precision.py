import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import MODES, execute
from sklearn.metrics import average_precision_score

import keras_softmaxes as ks


def scikit_learn(labels, scores, weights=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a label that no example has
        return average_precision_score(labels, scores, average=None, sample_weight=weights)


def ours(labels, scores, weights, mode="eager"):
    return execute(ks.ops.average_precision, [labels, scores, weights], mode)


@pytest.mark.parametrize("mode", MODES)
def test_it_is_scikit_learns(mode):
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, size=(200, 5)), rng.normal(size=(200, 5)).astype("float32")
    expected = scikit_learn(labels, scores)
    np.testing.assert_allclose(ours(labels, scores, np.ones(200), mode), expected, atol=1e-6)
    weights = rng.integers(0, 3, size=200)
    expected = scikit_learn(labels, scores, weights)
    np.testing.assert_allclose(ours(labels, scores, weights, mode), expected, atol=1e-6)


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.sampled_from([1, 2, 3, 8, 9, 30]),
    levels=st.integers(1, 5),
)
def test_ties_are_scikit_learns_and_labels_without_examples_too(seed, count, levels):
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(0, 2, size=(count, 3)), rng.integers(0, levels, size=(count, 3))
    np.testing.assert_allclose(
        ours(labels, scores, np.ones(count)), scikit_learn(labels, scores), atol=1e-6
    )


def test_a_rising_function_of_the_scores_changes_nothing():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, size=(50, 3)), rng.integers(0, 9, size=(50, 3))
    once, again = (ours(labels, s, np.ones(50)) for s in (scores, np.exp(scores / 4.0)))
    np.testing.assert_array_equal(once, again)


def test_nan_makes_its_label_nan():
    scores = np.array([[0.1, np.nan], [0.2, 0.3]])
    result = ours(np.array([[1, 0], [0, 1]]), scores, np.ones(2))
    np.testing.assert_allclose(result, [0.5, np.nan])


def test_weights_may_differ_between_the_labels_of_an_example():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, size=(60, 3)), rng.normal(size=(60, 3))
    weights = rng.integers(0, 3, size=(60, 3))
    each = zip(labels.T, scores.T, weights.T, strict=True)
    expected = [average_precision_score(y, s, sample_weight=w) for y, s, w in each]
    np.testing.assert_allclose(ours(labels, scores, weights), expected, atol=1e-6)
