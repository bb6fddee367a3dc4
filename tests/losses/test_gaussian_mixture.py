import numpy as np
import pytest
from keras import ops
from numerics import MODES, value_and_gradients
from scipy.special import logsumexp

from keras_softmaxes.layers import GaussianMixture
from keras_softmaxes.losses import GaussianMixtureLoss

LABELS = np.array([0, 3, 1])
EVIDENCE = np.abs(np.random.default_rng(0).normal(size=(3, 2, 4))).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def per_example(margin=0.3, weight=0.1):
    rows = np.arange(3)
    distances, half = EVIDENCE[:, 0].astype("float64"), EVIDENCE[:, 1].astype("float64")
    likelihood = (distances + half)[rows, LABELS]
    logits = -distances * (1 + margin * np.eye(4)[LABELS]) - half
    return logsumexp(logits, axis=1) - logits[rows, LABELS] + weight * likelihood


@pytest.mark.parametrize(("margin", "weight"), [(0.3, 0.1), (0.0, 1.0), (1.0, 0.0)])
def test_it_is_the_cross_entropy_with_the_margin_and_the_likelihood(margin, weight):
    loss = GaussianMixtureLoss(margin, weight, reduction=None)
    np.testing.assert_allclose(
        numpy(loss(LABELS, EVIDENCE)), per_example(margin, weight), rtol=1e-5
    )


@pytest.mark.parametrize("mode", MODES)
def test_the_compiled_kernel_has_the_closed_form_gradient(mode):
    _, (gradient,) = value_and_gradients(
        lambda e: GaussianMixtureLoss(0.5, 0.2)(LABELS, e), [EVIDENCE], mode
    )
    target = np.eye(4)[LABELS]
    logits = -EVIDENCE[:, 0] * (1 + 0.5 * target) - EVIDENCE[:, 1]
    towards = target - np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    into_distances = (1 + 0.5 * target) * towards + 0.2 * target
    expected = np.stack([into_distances, towards + 0.2 * target], axis=1) / 3
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_without_margin_and_likelihood_it_is_the_likelihood_of_the_probabilities():
    features = np.random.default_rng(1).normal(size=(3, 6)).astype("float32")
    outputs = GaussianMixture(4)(features)
    plain = -np.log(numpy(outputs["probabilities"])[np.arange(3), LABELS]).mean()
    ours = GaussianMixtureLoss(margin=0, likelihood_weight=0)(LABELS, outputs["evidence"])
    assert float(ours) == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "extreme"), [("float32", 1e4), ("float16", 1e3), ("bfloat16", 1e3)]
)
def test_the_loss_of_many_classes_is_finite_at_extremes(mode, dtype, extreme):
    rng = np.random.default_rng(2)
    evidence = rng.choice([-extreme, 0, extreme], size=(40, 2, 300))
    evidence[:, 0] = np.abs(evidence[:, 0])
    labels = rng.integers(0, 300, 40)
    loss = GaussianMixtureLoss(dtype=dtype)
    value, (gradient,) = value_and_gradients(lambda e: loss(labels, e), [evidence], mode, dtype)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 4)])
def test_what_is_not_the_evidence_is_refused(shape):
    with pytest.raises(ValueError, match=r"`y_pred`.*evidence.*GaussianMixture.*Classifier"):
        GaussianMixtureLoss()(LABELS, np.zeros(shape, "float32"))


@pytest.mark.parametrize("argument", ["margin", "likelihood_weight"])
def test_negative_arguments_are_refused(argument):
    with pytest.raises(ValueError, match=f"`{argument}`.*at least 0.*-1"):
        GaussianMixtureLoss(**{argument: -1})
