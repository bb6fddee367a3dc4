import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import MODES, execute
from sklearn.metrics import roc_auc_score

import keras_softmaxes as ks


def areas(wrong, confidence, weights, mode="eager"):
    def apply(*tensors):
        curve = ks.ops.risk_coverage(*tensors)
        return curve["aurc"], curve["augrc"]

    aurc, augrc = (
        execute(lambda *t, part=part: apply(*t)[part], [wrong, confidence, weights], mode)
        for part in (0, 1)
    )
    return float(aurc), float(augrc)


def naive_aurc(wrong, confidence, weights):
    """The mean of the risk at the confidence of each."""
    risks = [np.average(wrong, weights=weights * (confidence >= each)) for each in confidence]
    return np.average(risks, weights=weights)


def naive_augrc(wrong, confidence, weights):
    accuracy = 1 - np.average(wrong, weights=weights)
    area = roc_auc_score(1 - wrong, confidence, sample_weight=weights)
    return (1 - area) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2


@pytest.mark.parametrize("mode", MODES)
def test_without_ties_it_is_the_mean_of_the_running_error(mode):
    rng = np.random.default_rng(0)
    wrong, confidence = rng.integers(0, 2, 50), rng.permutation(50)
    running = np.cumsum(wrong[np.argsort(-confidence)]) / np.arange(1, 51)
    assert areas(wrong, confidence, np.ones(50), mode)[0] == pytest.approx(running.mean(), abs=1e-6)


@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(1, 30))
def test_areas_are_those_of_the_definition_also_with_ties_and_weights(seed, levels):
    rng = np.random.default_rng(seed)
    wrong, confidence = np.arange(30) % 2, rng.integers(0, levels, 30)
    weights = rng.uniform(0.1, 2, 30)
    aurc, augrc = areas(wrong, confidence, weights)
    assert aurc == pytest.approx(naive_aurc(wrong, confidence, weights), abs=1e-5)
    assert augrc == pytest.approx(naive_augrc(wrong, confidence, weights), abs=1e-5)


def test_the_best_order_has_its_errors_last():
    wrong = np.array([0, 0, 0, 1])
    best, worst = (areas(wrong, each, np.ones(4)) for each in ([4, 3, 2, 1], [1, 2, 3, 4]))
    assert best == pytest.approx((1 / 16, 1 / 32))
    assert worst == pytest.approx(((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, 7 / 32))


def test_shapes_that_differ_raise():
    for arguments in (([0], [1, 2], [1, 1]), ([0, 1], [[1, 2]], [1, 1]), ([0, 1], [1, 2], [1])):
        with pytest.raises(ValueError, match=r"`(wrong|confidence|weights)`"):
            ks.ops.risk_coverage(*arguments)
