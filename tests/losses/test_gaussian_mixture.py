import numpy as np
import pytest
from keras import ops
from numerics import MODES, value_and_gradients
from scipy.special import logsumexp, softmax

from keras_softmaxes.layers import GaussianMixture
from keras_softmaxes.losses import GaussianMixtureLoss

LABELS = np.array([0, 3, 1])
DISTANCES, HALF = np.abs(np.random.default_rng(0).normal(size=(2, 3, 4))).astype("float32")
OUTPUTS = {"distances": DISTANCES, "half_log_determinants": HALF}


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def per_example(margin=0.3, weight=0.1):
    rows = np.arange(3)
    distances, half = DISTANCES.astype("float64"), HALF.astype("float64")
    likelihood = (distances + half)[rows, LABELS]
    logits = -distances * (1 + margin * np.eye(4)[LABELS]) - half
    return logsumexp(logits, axis=1) - logits[rows, LABELS] + weight * likelihood


@pytest.mark.parametrize(("margin", "weight"), [(0.3, 0.1), (0.0, 1.0), (1.0, 0.0)])
def test_it_is_the_cross_entropy_with_the_margin_and_the_likelihood(margin, weight):
    loss = GaussianMixtureLoss(margin, weight, reduction=None)
    np.testing.assert_allclose(numpy(loss(LABELS, OUTPUTS)), per_example(margin, weight), rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_the_compiled_kernel_has_the_closed_form_gradient(mode):
    loss = GaussianMixtureLoss(0.5, 0.2)
    _, gradients = value_and_gradients(
        lambda *tensors: loss(LABELS, dict(zip(OUTPUTS, tensors, strict=True))),
        [DISTANCES, HALF],
        mode,
    )
    target = np.eye(4)[LABELS]
    towards = target - softmax(-DISTANCES * (1 + 0.5 * target) - HALF, axis=1)
    into_distances = (1 + 0.5 * target) * towards + 0.2 * target
    expected = np.stack([into_distances, towards + 0.2 * target]) / 3
    np.testing.assert_allclose(gradients, expected, atol=1e-6)


def test_without_margin_and_likelihood_it_is_the_likelihood_of_the_probabilities():
    features = np.random.default_rng(1).normal(size=(3, 6)).astype("float32")
    outputs = GaussianMixture(4)(features)
    plain = -np.log(numpy(outputs["probabilities"])[np.arange(3), LABELS]).mean()
    ours = GaussianMixtureLoss(margin=0, likelihood_weight=0)(LABELS, outputs)
    assert float(numpy(ours)) == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize(("classes", "size"), [(10, 1), (11, 0.9), (91, 0.1)])
def test_the_authors_weights_fall_with_the_number_of_classes_unless_they_are_given(classes, size):
    rng = np.random.default_rng(0)
    outputs = {
        "distances": rng.uniform(1, 3, size=(3, classes)).astype("float32"),
        "half_log_determinants": rng.normal(size=(3, classes)).astype("float32"),
    }
    by_default, given = (
        float(loss([0, 4, 9], outputs))
        for loss in (GaussianMixtureLoss(), GaussianMixtureLoss(0.3 * size, 0.1 * size))
    )
    assert by_default == pytest.approx(given, rel=1e-6)
    assert float(GaussianMixtureLoss(0.3, 0.1)([0, 4, 9], outputs)) >= by_default


@pytest.mark.parametrize("argument", ["margin", "likelihood_weight"])
def test_negative_arguments_raise(argument):
    with pytest.raises(ValueError, match=f"`{argument}`.*at least 0.*-1"):
        GaussianMixtureLoss(**{argument: -1})
