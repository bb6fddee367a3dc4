from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np
import pytest
from keras import ops
from numerics import MODES, execute
from scipy.special import expit, logsumexp, softmax

import keras_softmaxes as ks

LABELS = np.array([0, 2, 1])
TARGET = np.eye(3, dtype=bool)[LABELS]


@dataclass
class Case:
    """A loss, its value per example by the formula, its evidence's rows and special arguments."""

    loss: type
    naive: Callable
    rows: tuple = ()
    settings: dict = field(default_factory=dict)

    def evidence(self):
        """No number is above 0, as the logarithm of a mask must be."""
        shape = (3, *self.rows, 3)
        return -3 * np.random.default_rng(1).uniform(size=shape).astype("float32")

    def naive_values(self):
        evidence = self.evidence().astype("float64")
        return self.naive(*evidence.swapaxes(0, 1)) if self.rows else self.naive(evidence)


def cross_entropy(logits):
    return logsumexp(logits, axis=1) - logits[TARGET]


def large_margin(logits):
    q = softmax(logits[~TARGET].reshape(3, 2), axis=1)
    return cross_entropy(logits) + 0.3 * ((q - 1 / 2) * np.log(q)).sum(axis=1) / 2


def hinge(logits):
    violations = np.maximum(0, logits - logits[TARGET][:, None] + 1)
    return violations[~TARGET].reshape(3, 2).mean(axis=1)


def sparsemax(logits):
    falling = -np.sort(-logits, axis=1)
    excess = (falling.cumsum(axis=1) - 1) / np.arange(1, 4)
    threshold = excess[np.arange(3), (falling > excess).sum(axis=1) - 1][:, None]
    squares = np.where(logits > threshold, logits**2 - threshold**2, 0)
    return squares.sum(axis=1) / 2 + 1 / 2 - logits[TARGET]


def dropmax(logits, retain_logits, shift, log_mask):
    rho, posterior = expit(retain_logits), expit(retain_logits + shift)
    kl = posterior * np.log(posterior / rho)
    kl += (1 - posterior) * np.log((1 - posterior) / (1 - rho))
    auxiliary = np.log(np.where(TARGET, expit(shift), 1 - expit(shift)))
    negative_entropy = rho * np.log(rho) + (1 - rho) * np.log(1 - rho)
    terms = np.where(TARGET, -np.log(rho), kl) - auxiliary + negative_entropy
    return masked(logits, log_mask) + terms.sum(axis=1)


def masked(logits, log_mask):
    return cross_entropy(logits + np.where(TARGET, 0, log_mask))


def attention(logits, attention_logits):
    return cross_entropy(logits + np.log(expit(attention_logits)))


def lsoftmax(logits, margin_logits):
    return cross_entropy(np.where(TARGET, margin_logits, logits))


def gaussian_mixture(distances, half_log_determinants):
    enlarged = distances * (1 + 0.3 * TARGET)
    likelihood = (distances + half_log_determinants)[TARGET]
    return cross_entropy(-enlarged - half_log_determinants) + 0.1 * likelihood


LOSSES = {
    "margin": Case(
        ks.losses.LargeMarginCrossentropy,
        large_margin,
        settings={
            "weight": 0.5,
            "divergence": "reverse",
            "bias": 1.0,
            "label_smoothing": 0.1,
            "ignore_class": 255,
        },
    ),
    "hinge": Case(ks.losses.MeanMulticlassHinge, hinge),
    "sparsemax": Case(ks.losses.SparsemaxLoss, sparsemax),
    "dropmax": Case(ks.losses.DropMaxLoss, dropmax, (4,), {"entropy_weight": 0.1}),
    "masked": Case(ks.losses.MaskedCrossentropy, masked, (2,)),
    "attention": Case(ks.losses.AttentionCrossentropy, attention, (2,), {"supervised": True}),
    "lsoftmax": Case(ks.losses.LSoftmaxLoss, lsoftmax, (2,)),
    "gaussian mixture": Case(
        ks.losses.GaussianMixtureLoss,
        gaussian_mixture,
        (2,),
        {"margin": 0.2, "likelihood_weight": 0.5},
    ),
}
UNREADABLE = {
    "too large": (np.array([0, 3, 1]), "classes from 0 to 2"),
    "negative": (np.array([0, -1, 1]), "classes from 0 to 2"),
    "smoothed": (np.array([[1, 0, 0], [0.25, 0.5, 0.25], [0, 1, 0]], "float32"), "one-hot rows"),
    "two targets": (np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], "float32"), "one-hot rows"),
}
EACH_LOSS = pytest.mark.parametrize("case", LOSSES.values(), ids=LOSSES)


@EACH_LOSS
def test_label_forms_agree(case):
    one_hot = np.eye(3, dtype="float32")[LABELS]
    forms = [LABELS, LABELS[:, None], LABELS.astype("uint8"), one_hot, one_hot.astype(int)]
    assert len({float(case.loss()(form, case.evidence())) for form in forms}) == 1


@EACH_LOSS
def test_reductions_and_weights_act_on_the_whole_loss(case):
    weights, each = np.array([2.0, 0.0, 0.5], "float32"), case.naive_values()
    weighted = weights * each
    expected = {"sum_over_batch_size": weighted.mean(), "sum": weighted.sum(), "none": weighted}
    results = {
        how: case.loss(reduction=how)(LABELS, case.evidence(), sample_weight=weights)
        for how in expected
    }
    expected["unweighted"] = each
    results["unweighted"] = case.loss(reduction=None)(LABELS, case.evidence())
    for how, result in results.items():
        ours = ops.convert_to_numpy(result)
        np.testing.assert_allclose(ours, expected[how], rtol=1e-6, atol=2e-7, err_msg=how)


@EACH_LOSS
def test_config_round_trip(case):
    settings = {**case.settings, "reduction": "sum", "name": "head_loss", "dtype": "bfloat16"}
    loss = case.loss(**settings)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is case.loss
    assert again.get_config() == loss.get_config() == settings
    assert {argument: getattr(again, argument) for argument in settings} == settings
    assert case.loss().get_config()["dtype"] is None


@pytest.mark.parametrize("fault", UNREADABLE)
@EACH_LOSS
def test_unreadable_labels_are_refused(case, fault):
    labels, message = UNREADABLE[fault]
    with pytest.raises(ValueError, match=f"`labels`.*{message}"):
        case.loss()(labels, case.evidence())


@EACH_LOSS
def test_float_classes_are_refused(case):
    with pytest.raises(ValueError, match=r"`labels`.*float32 of shape \(3,\)"):
        case.loss()(LABELS.astype("float32"), case.evidence())


@pytest.mark.parametrize("fault", UNREADABLE)
@EACH_LOSS
def test_labels_that_cannot_be_refused_make_nan_of_their_example_alone(case, fault):
    labels, _ = UNREADABLE[fault]
    each = case.loss(reduction=None)
    losses = execute(lambda e: each(labels, e), [case.evidence()], MODES[-1])
    np.testing.assert_array_equal(np.isnan(losses), [False, True, False])


HALF_PRECISION = {
    "mean_multiclass_hinge": lambda f: ks.ops.mean_multiclass_hinge([0, 1], f),
    "large_margin_divergence": lambda f: ks.ops.large_margin_divergence([0, 1], f),
    "lsoftmax_cross_entropy": lambda f: ks.ops.lsoftmax_cross_entropy([0, 1], f, f),
    "lsoftmax_logits": lambda f: ks.ops.lsoftmax_logits(f, ops.transpose(f))[1],
    "gaussian_distances": lambda f: ks.ops.gaussian_distances(f, f, f)[0],
    "gaussian_mixture_terms": lambda f: ks.ops.gaussian_mixture_terms([0, 1], f, f)["likelihood"],
}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("op", HALF_PRECISION)
def test_ops_compute_half_precision_in_float32(op, dtype):
    values = np.random.default_rng(0).normal(size=(2, 3))
    half = ops.convert_to_tensor(values, dtype=dtype)
    result = HALF_PRECISION[op](half)
    expected = HALF_PRECISION[op](ops.cast(half, "float32"))
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(*(ops.convert_to_numpy(each) for each in (result, expected)))
