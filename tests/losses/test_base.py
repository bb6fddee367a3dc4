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
UNREADABLE = {
    "too large": np.array([0, 3, 1]),
    "negative": np.array([0, -1, 1]),
    "two targets": np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], "float32"),
}


@pytest.mark.parametrize("case", UNREADABLE)
@pytest.mark.parametrize("name", LOSSES)
def test_labels_that_cannot_be_refused_make_nan_of_their_example_alone(name, case):
    loss, rows = LOSSES[name]
    evidence = -np.random.default_rng(0).uniform(size=(3, *rows, 3))
    losses = execute(lambda e: loss(reduction=None)(UNREADABLE[case], e), [evidence], MODES[-1])
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
