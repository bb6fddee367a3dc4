import numpy as np
import pytest
from keras import ops
from numerics import MODES, value_and_gradients

import keras_softmaxes as ks

LABELS = np.array([0, 3, 1])


def make_outputs(posterior="label"):
    rng = np.random.default_rng(0)
    names = ["logits", "retain_logits", "log_mask"]
    names += ["posterior_shift"] if posterior == "label" else []
    outputs = {name: rng.normal(size=(3, 4)).astype("float32") for name in names}
    return {**outputs, "log_mask": -np.abs(outputs["log_mask"])}


def terms(logits, retain_logits, log_mask, posterior_shift=None):
    return ks.ops.dropmax_terms(LABELS, logits, retain_logits, posterior_shift, log_mask)


@pytest.mark.parametrize("posterior", ["label", "prior"])
@pytest.mark.parametrize("weight", [1.0, 0.01, 0.0])
def test_it_is_the_sum_of_the_terms(posterior, weight):
    outputs = make_outputs(posterior)
    loss = ks.losses.DropMaxLoss(entropy_weight=weight, reduction=None)
    expected = terms(**outputs)
    expected["negative_entropy"] *= weight
    np.testing.assert_allclose(
        *(ops.convert_to_numpy(each) for each in (loss(LABELS, outputs), sum(expected.values()))),
        rtol=1e-5,
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("posterior", "weight"), [("label", 1.0), ("label", 0.1), ("prior", 0.1)])
def test_the_compiled_kernel_has_the_gradient_of_the_op(posterior, weight, mode):
    outputs = make_outputs(posterior)

    def differentiated(function, mode="eager"):
        return value_and_gradients(
            lambda *tensors: function(dict(zip(outputs, tensors, strict=True))),
            list(outputs.values()),
            mode,
        )[1]

    def plain_loss(tensors):
        each = terms(**tensors)
        return (sum(each.values()) + (weight - 1) * each["negative_entropy"]) / 3

    ours = differentiated(lambda each: ks.losses.DropMaxLoss(weight)(LABELS, each), mode)
    plain = differentiated(plain_loss)
    np.testing.assert_allclose(ours, plain, atol=1e-6)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "a", True, None])
def test_a_bad_entropy_weight_is_refused(weight):
    with pytest.raises(ValueError, match=f"`entropy_weight`.*at least 0.*={weight!r}"):
        ks.losses.DropMaxLoss(entropy_weight=weight)


@pytest.mark.parametrize("classes", [10, 40])
@pytest.mark.parametrize("form", ["classes", "rows"])
def test_the_non_targets_of_many_classes_count_as_those_of_ten(classes, form):
    rng = np.random.default_rng(0)
    names = ("logits", "retain_logits", "log_mask", "posterior_shift")
    outputs = {name: rng.normal(size=(3, classes)).astype("float32") for name in names}
    outputs["log_mask"] = -np.abs(outputs["log_mask"])
    attention = {"logits": outputs["logits"], "attention_logits": outputs["retain_logits"]}
    labels = LABELS if form == "classes" else 0.5 * (np.eye(classes)[LABELS] + np.eye(classes)[:3])
    weight = min(1, 9 / (classes - 1))
    for loss, tensors in (
        (ks.losses.DropMaxLoss, outputs),
        (lambda **each: ks.losses.AttentionCrossentropy(supervised=True, **each), attention),
    ):
        by_default = float(loss()(labels, tensors))
        assert by_default == float(loss(non_target_weight=weight)(labels, tensors))
        is_papers = by_default == float(loss(non_target_weight=1)(labels, tensors))
        assert is_papers == (classes == 10)


@pytest.mark.parametrize("loss", [ks.losses.DropMaxLoss, ks.losses.AttentionCrossentropy])
@pytest.mark.parametrize("weight", [-1, float("nan"), "a", True])
def test_a_bad_weight_of_the_non_targets_is_refused(loss, weight):
    with pytest.raises(ValueError, match=f"`non_target_weight`.*at least 0.*={weight!r}"):
        loss(non_target_weight=weight)
