import numpy as np
import pytest
from keras import ops
from numerics import MODES, value_and_gradients

import keras_softmaxes as ks
from keras_softmaxes.ops.dropmax import unstack_evidence

LABELS = np.array([0, 3, 1])


def make_evidence(rows=4):
    evidence = np.random.default_rng(0).normal(size=(3, rows, 4))
    evidence[:, -1] = -np.abs(evidence[:, -1])
    return evidence.astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def per_example(evidence, entropy_weight=1.0):
    terms = ks.ops.dropmax_terms(LABELS, *unstack_evidence(ops.convert_to_tensor(evidence)))
    terms["negative_entropy"] *= entropy_weight
    return numpy(sum(terms.values()))


@pytest.mark.parametrize("rows", [3, 4])
@pytest.mark.parametrize("weight", [1.0, 0.01, 0.0])
def test_it_is_the_sum_of_the_terms(rows, weight):
    evidence = make_evidence(rows)
    loss = ks.losses.DropMaxLoss(entropy_weight=weight, reduction=None)
    np.testing.assert_allclose(
        numpy(loss(LABELS, evidence)), per_example(evidence, weight), rtol=1e-5
    )


@pytest.mark.parametrize("mode", MODES)
def test_the_compiled_kernel_has_the_gradient_of_the_op(mode):
    evidence = make_evidence()
    _, (ours,) = value_and_gradients(lambda e: ks.losses.DropMaxLoss()(LABELS, e), [evidence], mode)
    _, (plain,) = value_and_gradients(
        lambda e: sum(ks.ops.dropmax_terms(LABELS, *unstack_evidence(e)).values()) / 3, [evidence]
    )
    np.testing.assert_allclose(ours, plain, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_labels_stay_exact_in_half_precision(dtype):
    """Keras would cast class 4,099 to 4,100 in float16, and 301 to 302 in bfloat16."""
    evidence = np.zeros((1, 4, 5000), "float32")
    for label in (301, 4099):
        evidence[:, 0] = 0
        evidence[:, 0, label] = 100
        loss = ks.losses.DropMaxLoss(dtype=dtype, reduction=None, entropy_weight=0.0)
        right, wrong = (float(loss(np.array([index]), evidence)[0]) for index in (label, label - 1))
        assert wrong - right == pytest.approx(100, rel=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "extreme"), [("float32", 1e4), ("float16", 1e3), ("bfloat16", 1e3)]
)
def test_the_loss_of_many_classes_is_finite_at_extremes(mode, dtype, extreme):
    rng = np.random.default_rng(1)
    evidence = rng.choice([-extreme, 0, extreme], size=(40, 4, 300))
    evidence[:, 3] = -10 * np.abs(evidence[:, 3])  # the mask's logarithm, temperature 0.1
    labels = rng.integers(0, 300, 40)
    loss = ks.losses.DropMaxLoss(dtype=dtype)
    value, (gradient,) = value_and_gradients(lambda e: loss(labels, e), [evidence], mode, dtype)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_a_plain_tensor_is_refused():
    with pytest.raises(ValueError, match=r"`y_pred`.*evidence.*DropMax.*Classifier.*\(3, 4\)"):
        ks.losses.DropMaxLoss()(LABELS, np.zeros((3, 4), "float32"))


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "a", True, None])
def test_a_bad_entropy_weight_is_refused(weight):
    with pytest.raises(ValueError, match=f"`entropy_weight`.*at least 0.*={weight!r}"):
        ks.losses.DropMaxLoss(entropy_weight=weight)
