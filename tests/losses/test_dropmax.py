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
def test_a_bad_entropy_weight_raises(weight):
    with pytest.raises(ValueError, match=f"`entropy_weight`.*at least 0.*={weight!r}"):
        ks.losses.DropMaxLoss(entropy_weight=weight)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [28, 40])
@pytest.mark.parametrize("form", ["classes", "rows"])
def test_the_non_targets_of_many_classes_count_as_those_of_28(classes, form):
    rng = np.random.default_rng(0)
    names = ("logits", "retain_logits", "log_mask", "posterior_shift")
    outputs = {name: rng.normal(size=(3, classes)).astype("float32") for name in names}
    outputs["log_mask"] = -np.abs(outputs["log_mask"])
    attention = {"logits": outputs["logits"], "attention_logits": outputs["retain_logits"]}
    labels = LABELS if form == "classes" else 0.5 * (np.eye(classes)[LABELS] + np.eye(classes)[:3])
    for loss, tensors in (
        (ks.losses.DropMaxLoss, outputs),
        (lambda **each: ks.losses.AttentionCrossentropy(supervised=True, **each), attention),
    ):
        by_default = float(loss()(labels, tensors))
        assert by_default == float(loss(non_targets=27)(labels, tensors))
        assert by_default != float(loss(non_targets=26)(labels, tensors))
        is_papers = by_default == float(loss(non_targets=None)(labels, tensors))
        assert is_papers == (classes == 28)


@pytest.mark.slow
def test_its_gradient_at_features_that_tell_nothing_does_not_grow_with_the_classes():
    """All branches look at such features alike, and push them the same way."""

    def push(classes, **arguments):
        zeros = ops.zeros((1, classes))

        def function(features):
            branch = ops.matmul(features, ops.full((2, classes), 0.1))
            outputs = {"logits": zeros, "retain_logits": branch, "log_mask": zeros}
            outputs["posterior_shift"] = 0.5 * branch
            return ks.losses.DropMaxLoss(**arguments)([0], outputs)

        _, (gradient,) = value_and_gradients(function, [[[1.0, 2.0]]])
        return np.abs(gradient).sum()

    for classes in (100, 1_000):
        assert push(classes) == pytest.approx(push(28), rel=1e-3)
        assert push(classes, non_targets=None) > classes / 56 * push(28)


@pytest.mark.parametrize("loss", [ks.losses.DropMaxLoss, ks.losses.AttentionCrossentropy])
@pytest.mark.parametrize("number", [0, -1, float("nan"), "a", True])
def test_a_bad_number_of_non_targets_raises(loss, number):
    with pytest.raises(ValueError, match=f"`non_targets`.*above 0.*={number!r}"):
        loss(non_targets=number)
