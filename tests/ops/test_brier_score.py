import numpy as np
import pytest
from numerics import MODES, execute
from sklearn.metrics import brier_score_loss

import keras_softmaxes as ks


@pytest.mark.parametrize("mode", MODES)
def test_its_mean_is_scikit_learns(mode):
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, 4, 100), rng.dirichlet(np.ones(4), 100)
    ours = execute(lambda p: ks.ops.brier_score(labels, p), [probabilities], mode)
    theirs = brier_score_loss(labels, probabilities, labels=range(4), scale_by_half=False)
    assert ours.mean() == pytest.approx(theirs, abs=1e-6)


def test_it_goes_from_0_to_2():
    scores = ks.ops.brier_score([0, 1, 1], [[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]])
    np.testing.assert_allclose(scores, [0, 2, 0.5])


@pytest.mark.parametrize("rows", [[[1.0, 2.0]], [[-0.1, 1.1]], [[0.0, 0.0]], [[0.6, 0.5]]])
def test_what_is_no_distribution_raises(rows):
    with pytest.raises(ValueError, match=r"`probabilities`.*sum to 1"):
        ks.ops.brier_score([0], rows)


def test_nan_is_its_examples_alone():
    scores = ks.ops.brier_score([0, 0], [[np.nan, 0.5], [1.0, 0.0]])
    np.testing.assert_allclose(scores, [np.nan, 0])
