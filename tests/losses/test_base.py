import numpy as np
import pytest
from keras import ops
from numerics import MODES, execute

import keras_softmaxes as ks

LOSSES = {
    "margin": (ks.losses.LargeMarginCrossentropy, ()),
    "hinge": (ks.losses.MeanMulticlassHinge, ()),
    "dropmax": (ks.losses.DropMaxLoss, (4,)),
    "lsoftmax": (ks.losses.LSoftmaxLoss, (2,)),
    "gaussian mixture": (ks.losses.GaussianMixtureLoss, (2,)),
}
LABELS = np.array([0, 2, 1])
UNREADABLE = {
    "too large": (np.array([0, 3, 1]), "classes from 0 to 2"),
    "negative": (np.array([0, -1, 1]), "classes from 0 to 2"),
    "smoothed": (np.array([[1, 0, 0], [0.25, 0.5, 0.25], [0, 1, 0]], "float32"), "one-hot rows"),
    "two targets": (np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], "float32"), "one-hot rows"),
}


def make_evidence(rows):
    return -np.random.default_rng(0).uniform(size=(3, *rows, 3)).astype("float32")


@pytest.mark.parametrize("name", LOSSES)
def test_label_forms_agree(name):
    loss, rows = LOSSES[name]
    one_hot = np.eye(3, dtype="float32")[LABELS]
    forms = [LABELS, LABELS[:, None], LABELS.astype("uint8"), one_hot, one_hot.astype(int)]
    assert len({float(loss()(form, make_evidence(rows))) for form in forms}) == 1


@pytest.mark.parametrize("name", LOSSES)
def test_reductions_and_weights_act_on_the_whole_loss(name):
    loss, rows = LOSSES[name]
    weights, evidence = np.array([2.0, 0.0, 0.5], "float32"), make_evidence(rows)
    weighted = weights * ops.convert_to_numpy(loss(reduction=None)(LABELS, evidence))
    expected = {"sum_over_batch_size": weighted.mean(), "sum": weighted.sum(), "none": weighted}
    for reduction, value in expected.items():
        result = loss(reduction=reduction)(LABELS, evidence, sample_weight=weights)
        np.testing.assert_allclose(ops.convert_to_numpy(result), value, rtol=1e-5)


@pytest.mark.parametrize("case", UNREADABLE)
@pytest.mark.parametrize("name", LOSSES)
def test_unreadable_labels_are_refused(name, case):
    loss, rows = LOSSES[name]
    labels, message = UNREADABLE[case]
    with pytest.raises(ValueError, match=f"`labels`.*{message}"):
        loss()(labels, make_evidence(rows))


@pytest.mark.parametrize("name", LOSSES)
def test_float_classes_are_refused(name):
    loss, rows = LOSSES[name]
    with pytest.raises(ValueError, match=r"`labels`.*float32 of shape \(3,\)"):
        loss()(LABELS.astype("float32"), make_evidence(rows))


@pytest.mark.parametrize("case", UNREADABLE)
@pytest.mark.parametrize("name", LOSSES)
def test_labels_that_cannot_be_refused_make_nan_of_their_example_alone(name, case):
    loss, rows = LOSSES[name]
    labels, _ = UNREADABLE[case]
    each = loss(reduction=None)
    losses = execute(lambda e: each(labels, e), [make_evidence(rows)], MODES[-1])
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
