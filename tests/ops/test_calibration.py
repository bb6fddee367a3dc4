import keras
import numpy as np
import pytest
from numerics import MODES, execute
from sklearn.calibration import calibration_curve

import keras_softmaxes as ks

NAMES = ("weight", "confidence", "accuracy")


def make_data(rows=200):
    rng = np.random.default_rng(0)
    return rng.integers(0, 2, rows), rng.dirichlet(np.ones(2), rows).astype("float32")


def found(labels, probabilities, weights, mode="eager", **settings):
    def apply(p, w):
        bins = ks.ops.reliability(labels, p, w, **settings)
        return keras.ops.stack([bins[name] for name in NAMES])

    return dict(zip(NAMES, execute(apply, [probabilities, weights], mode), strict=True))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_the_bins_are_scikit_learns(mode, strategy):
    """Of two classes, the second one's: ten bins of equal width, or of twenty examples each."""
    labels, probabilities = make_data()
    bins = found(
        labels,
        probabilities,
        np.ones(200),
        mode,
        bins=10,
        adaptive=strategy == "quantile",
        class_wise=True,
    )
    accuracy, confidence = calibration_curve(
        labels, probabilities[:, 1], n_bins=10, strategy=strategy
    )
    np.testing.assert_allclose(bins["accuracy"][1], accuracy, atol=1e-6)
    np.testing.assert_allclose(bins["confidence"][1], confidence, atol=1e-6)


@pytest.mark.parametrize("adaptive", [False, True])
def test_all_weight_is_in_the_bins(adaptive):
    labels, probabilities = make_data()
    weights = np.random.default_rng(1).integers(0, 3, 200)
    bins = found(labels, probabilities, weights, bins=7, adaptive=adaptive)
    assert bins["weight"].sum() == pytest.approx(weights.sum(), rel=1e-5)
    mean = np.average(probabilities.max(axis=1), weights=weights)
    assert bins["weight"] @ bins["confidence"] / weights.sum() == pytest.approx(mean, rel=1e-5)


def test_equal_confidences_are_shared_evenly_between_bins_of_equal_weight():
    probabilities = np.tile(np.float32([0.8, 0.2]), (4, 1))
    bins = found(np.array([0, 1, 0, 0]), probabilities, np.ones(4), bins=3, adaptive=True)
    np.testing.assert_allclose(bins["weight"], 4 / 3, rtol=1e-6)
    np.testing.assert_allclose(bins["accuracy"], 0.75, rtol=1e-5)
    np.testing.assert_allclose(bins["confidence"], 0.8, rtol=1e-5)


def test_certainty_is_in_the_last_bin():
    bins = found(np.array([0]), np.float32([[1, 0]]), np.ones(1), bins=15)
    np.testing.assert_array_equal(bins["weight"], np.eye(15)[14])
