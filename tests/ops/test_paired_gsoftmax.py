import numpy as np
import pytest
from numerics import MODES, execute, finite_differences, value_and_gradients
from scipy.special import log_expit

import keras_softmaxes as ks

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, size=(5, 4))
EVIDENCE = [RNG.normal(scale=2, size=(5, 4)) for _ in range(2)]


def naive(positive, negative):
    """Eq. 15."""
    return -np.where(LABELS == 1, log_expit(positive), log_expit(negative)).sum(axis=1)


def ours(*evidence):
    return ks.ops.paired_cross_entropy(LABELS, *evidence)


@pytest.mark.parametrize("mode", MODES)
def test_it_is_the_papers_formula(mode):
    np.testing.assert_allclose(execute(ours, EVIDENCE, mode), naive(*EVIDENCE), rtol=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("mode", MODES)
def test_gradients_agree_with_finite_differences(mode):
    _, gradients = value_and_gradients(ours, EVIDENCE, mode, "float64")
    positive, negative = EVIDENCE
    expected = [
        finite_differences(lambda array: naive(array, negative).sum(), positive),
        finite_differences(lambda array: naive(positive, array).sum(), negative),
    ]
    for gradient, theirs in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, theirs, atol=1e-6)


def test_opposite_evidence_is_binary_cross_entropy():
    logits = EVIDENCE[0]
    binary = -(LABELS * log_expit(logits) + (1 - LABELS) * log_expit(-logits)).sum(axis=1)
    np.testing.assert_allclose(execute(ours, [logits, -logits]), binary, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "largest"), [("float32", 1e4), ("float16", 1e4), ("bfloat16", 1e4)]
)
def test_it_is_finite_at_extremes(mode, dtype, largest):
    extremes = [largest * np.sign(evidence) for evidence in EVIDENCE]
    value, gradients = value_and_gradients(ours, extremes, mode, dtype)
    assert np.isfinite(value)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_infinite_evidence_that_is_not_asked_for_does_not_matter():
    losses = ks.ops.paired_cross_entropy(
        [[0, 1]], np.array([[-np.inf, 1.0]], "float32"), np.array([[3.0, -np.inf]], "float32")
    )
    expected = -log_expit(3.0) - log_expit(1.0)
    assert float(losses[0]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ([[0, 2], [1, 1]], "labels.*a 1 for each label.*2"),
        ([[0.5, 1.0], [0.0, 1.0]], "labels.*a 1 for each label"),
        ([0, 1], r"labels.*\(2, 2\).*\(2,\)"),
    ],
)
def test_other_labels_raise(labels, match):
    with pytest.raises(ValueError, match=match):
        ks.ops.paired_cross_entropy(np.array(labels), np.zeros((2, 2)), np.zeros((2, 2)))


def test_labels_that_cannot_be_checked_give_nan():
    labels = np.array([[0.0, 1.0], [0.5, 1.0]])
    losses = execute(
        lambda y: ks.ops.paired_cross_entropy(y, np.zeros((2, 2)), np.zeros((2, 2))),
        [labels],
        MODES[-1],
    )
    np.testing.assert_allclose(losses, [2 * np.log(2), np.nan], rtol=1e-6)
