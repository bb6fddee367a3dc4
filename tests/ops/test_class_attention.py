import numpy as np
import pytest
from keras import ops
from numerics import MODES, finite_differences, value_and_gradients
from scipy.special import expit, softmax

import keras_softmaxes as ks
from keras_softmaxes.ops._class_attention import expected_attention_terms

LABELS = np.array([0, 3, 2])
LOGITS, ATTENTION = np.random.default_rng(0).normal(size=(2, 3, 4)) * 2
TARGET = np.eye(4)[LABELS]


def naive(term, logits=LOGITS, attention_logits=ATTENTION):
    """By probabilities, summed over the examples."""
    attention = expit(attention_logits)
    if term == "supervision":
        return -np.log(np.where(TARGET, attention, 1 - attention)).sum()
    weighted = np.exp(logits) * attention
    return -np.log((TARGET * weighted).sum(1) / weighted.sum(1)).sum()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("term", ["cross_entropy", "supervision"])
def test_terms_and_gradients_are_their_definitions(term, mode):
    value, gradients = value_and_gradients(
        lambda o, a: ks.ops.attention_terms(LABELS, o, a)[term], [LOGITS, ATTENTION], mode
    )
    assert value == pytest.approx(naive(term), rel=1e-5)
    attention, p = expit(ATTENTION), softmax(LOGITS + np.log(expit(ATTENTION)), axis=1)
    expected = {
        "cross_entropy": [p - TARGET, (p - TARGET) * (1 - attention)],
        "supervision": [np.zeros((3, 4)), attention - TARGET],
    }
    for gradient, closed in zip(gradients, expected[term], strict=True):
        np.testing.assert_allclose(gradient, closed, atol=1e-6)


def test_non_targets_are_weighted_in_the_supervision():
    attention = expit(ATTENTION)
    terms = -np.log(np.where(TARGET, attention, 1 - attention))
    expected = (np.where(TARGET, 1, 0.25) * terms).sum(1)
    inputs = [ops.convert_to_tensor(each) for each in (LOGITS, ATTENTION)]
    for supervision in (
        ks.ops.attention_terms(LABELS, *inputs, non_target_weight=0.25)["supervision"],
        expected_attention_terms(ops.convert_to_tensor(TARGET), *inputs, non_target_weight=0.25)[
            "supervision"
        ],
    ):
        np.testing.assert_allclose(ops.convert_to_numpy(supervision), expected, rtol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize("term", ["cross_entropy", "supervision"])
def test_gradients_agree_with_finite_differences_in_float64(term):
    _, gradients = value_and_gradients(
        lambda o, a: ks.ops.attention_terms(LABELS, o, a)[term],
        [LOGITS, ATTENTION],
        dtype="float64",
    )
    expected = [
        finite_differences(lambda o: naive(term, o, ATTENTION), LOGITS.copy()),
        finite_differences(lambda a: naive(term, LOGITS, a), ATTENTION.copy()),
    ]
    for gradient, difference in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, difference, atol=1e-8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "extreme"), [("float32", 1e4), ("float16", 1e3), ("bfloat16", 1e3)]
)
def test_terms_and_gradients_are_finite_at_extremes(mode, dtype, extreme):
    rng = np.random.default_rng(1)
    logits, attention = rng.choice([-extreme, 0, extreme], size=(2, 50, 6))
    labels = rng.integers(0, 6, 50)
    for term in ("cross_entropy", "supervision"):
        value, gradients = value_and_gradients(
            lambda o, a: ks.ops.attention_terms(labels, o, a)[term] / 50,  # noqa: B023
            [logits, attention],
            mode,
            dtype,
        )
        assert np.isfinite([value, *np.ravel(gradients)]).all()


def test_shapes_that_differ_raise():
    with pytest.raises(ValueError, match=r"`attention_logits`.*\(3, 4\).*\(3, 3\)"):
        ks.ops.attention_terms(LABELS, LOGITS, ATTENTION[:, :3])
