import json
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from numerics import MODES, execute, finite_differences, value_and_gradients
from scipy.special import softmax
from scipy.stats import norm

import keras_softmaxes as ks

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "gsoftmax.json").read_text())
PARAMETERS = [np.array(GOLDEN[name]) for name in ("logits", "mean", "stddev")]
TARGETS = np.array(GOLDEN["targets"])


def cross_entropy(logits):
    return ops.logsumexp(logits, axis=1) - ops.sum(
        ops.one_hot(TARGETS, 3, dtype=logits.dtype) * logits, 1
    )


@pytest.mark.parametrize("mode", MODES)
def test_golden_values(mode):
    cdf = execute(ks.ops.gaussian_cdf, PARAMETERS, mode)
    np.testing.assert_allclose(cdf, GOLDEN["cdf"], atol=1e-6)

    def logits(*parameters):
        return ks.ops.gsoftmax_logits(*parameters, scale=GOLDEN["scale"])

    ours = execute(logits, PARAMETERS, mode)
    np.testing.assert_allclose(softmax(ours, axis=1), GOLDEN["probabilities"], atol=1e-6)
    losses = execute(lambda *p: cross_entropy(logits(*p)), PARAMETERS, mode)
    assert losses.mean() == pytest.approx(GOLDEN["loss_mean"], abs=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=pytest.mark.tensorflow)]
)
def test_gradients_are_the_papers_with_the_probability_in_its_place(mode, dtype):
    """Eqs. 7, 8 and 11 times lambda (p - y), where Eqs. 9, 10 and 12 print x + lambda Phi."""
    logits, mean, stddev = PARAMETERS
    scale = 0.7

    def objective(*parameters):
        return cross_entropy(ks.ops.gsoftmax_logits(*parameters, scale=scale))

    _, gradients = value_and_gradients(objective, PARAMETERS, mode, dtype)
    p = softmax(logits + scale * norm.cdf(logits, mean, stddev), axis=1)
    residual, density = p - np.eye(3)[TARGETS], norm.pdf(logits, mean, stddev)
    by_mean = -scale * residual * density
    expected = [
        residual * (1 + scale * density),
        by_mean.sum(axis=0),
        (by_mean * (logits - mean) / stddev).sum(axis=0),
    ]
    for ours, theirs in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6 if dtype == "float32" else 1e-12)


@pytest.mark.tensorflow
def test_gradients_agree_with_finite_differences():
    def naive(*parameters):
        return norm.cdf(*parameters).sum()

    _, gradients = value_and_gradients(ks.ops.gaussian_cdf, PARAMETERS, dtype="float64")
    for index, gradient in enumerate(gradients):

        def shifted(array, index=index):
            return naive(*PARAMETERS[:index], array, *PARAMETERS[index + 1 :])

        np.testing.assert_allclose(
            gradient, finite_differences(shifted, PARAMETERS[index]), atol=1e-6
        )


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_scale_0_leaves_the_logits_to_the_bit(dtype):
    logits = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(5, 4)), dtype=dtype)
    ours = ks.ops.gsoftmax_logits(logits, mean=0.3, stddev=0.5, scale=0.0)
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert (ops.convert_to_numpy(ours) == ops.convert_to_numpy(ops.cast(logits, "float32"))).all()
    labels = np.array([0, 1, 2, 3, 0])
    assert float(plain(labels, ours)) == float(plain(labels, ops.cast(logits, "float32")))


@given(
    x=st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=6),
    mean=st.floats(-1e3, 1e3, width=32),
    stddev=st.floats(0.0010000000474974513, 1e4, width=32),
)
def test_it_is_the_normal_distribution_function(x, mean, stddev):
    x = np.sort(np.array([x], "float32"))
    ours = ops.convert_to_numpy(ks.ops.gaussian_cdf(x, mean, stddev)).astype("float64")
    # What float32 keeps of x - mu is that much of sigma.
    rounding = 2.0**-23 * (np.abs(x).max() + abs(mean)) / stddev
    np.testing.assert_allclose(
        ours, norm.cdf(x.astype("float64"), mean, stddev), atol=1e-6 + rounding
    )
    assert (np.diff(ours) >= -1e-6).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "largest"), [("float32", 1e4), ("float16", 6e4), ("bfloat16", 1e38)]
)
def test_far_tails_are_finite(mode, dtype, largest):
    logits = np.array([[largest, -largest, 0.0], [1.0, -1.0, 40.0]])
    stddev = np.array([1e-3, 1.0, 1e3])

    def total(*parameters):
        return ops.mean(ks.ops.gaussian_cdf(*parameters))

    value, gradients = value_and_gradients(total, [logits, np.zeros(3), stddev], mode, dtype)
    assert np.isfinite(value)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    ours = execute(ks.ops.gaussian_cdf, [logits, np.zeros(3), stddev], mode, dtype)
    np.testing.assert_allclose(ours[0], [1, 0, 0.5], atol=1e-6)


def test_infinities_and_nan_pass_through():
    logits = np.array([[np.inf, -np.inf, np.nan]], "float32")
    ours = ops.convert_to_numpy(ks.ops.gaussian_cdf(logits, 0.0, 1.0))
    np.testing.assert_array_equal(ours, [[1, 0, np.nan]])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"stddev": 0.0}, "stddev.*above 0.*0.0"),
        ({"stddev": [1.0, -1.0, 1.0]}, "stddev.*above 0.*-1"),
        ({"mean": [0.0, 1.0]}, r"mean.*\(3,\).*\(2,\)"),
        ({"scale": -1.0}, "scale.*at least 0.*-1"),
        ({"logits": [1.0, 2.0, 3.0]}, r"logits.*\(3,\)"),
    ],
)
def test_bad_arguments_raise(arguments, match):
    defaults = {"logits": [[0.0, 1.0, 2.0]], "mean": 0.0, "stddev": 1.0}
    with pytest.raises(ValueError, match=match):
        ks.ops.gsoftmax_logits(**{**defaults, **arguments})


def test_a_deviation_that_cannot_be_checked_gives_nan():
    ours = execute(
        lambda x, stddev: ks.ops.gaussian_cdf(x, 0.0, stddev),
        [np.zeros((1, 2)), np.array([1.0, -1.0])],
        MODES[-1],
    )
    np.testing.assert_array_equal(ours, [[0.5, np.nan]])
