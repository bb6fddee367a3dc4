import functools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from numerics import MODES, execute, finite_differences, value_and_gradients

import keras_softmaxes as ks
from keras_softmaxes.ops import large_margin_cross_entropy

DIVERGENCES = ["symmetric", "forward", "reverse"]
# What a mode does to the kernel does not depend on the divergence: one is taken in every mode.
MODES_AND_DIVERGENCES = pytest.mark.parametrize(
    ("mode", "divergence"),
    [*((mode, "symmetric") for mode in MODES), (MODES[-1], "forward"), (MODES[-1], "reverse")],
)
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "large_margin.json").read_text())
LABELS = np.array([[0, 4, 2], [1, 1, 3]])
LOGITS = np.random.default_rng(0).normal(size=(2, 3, 5)) * 3


def others(labels, logits):
    """Return the non-target logits, (examples, C - 1), in float64."""
    rows, labels = np.reshape(logits, (-1, np.shape(logits)[-1])), np.ravel(labels)
    return np.array(
        [np.delete(row.astype("float64"), y) for row, y in zip(rows, labels, strict=True)]
    )


def naive_divergence(labels, logits, divergence):
    """By the definitions, from probabilities, in float64."""
    f = others(labels, logits)
    q = np.exp(f - f.max(1, keepdims=True))
    q /= q.sum(1, keepdims=True)
    u = 1 / f.shape[1]
    forward = np.sum(q * np.log(q / u), axis=1)
    reverse = np.sum(u * np.log(u / q), axis=1)
    values = {"symmetric": (forward + reverse) / 2, "forward": forward, "reverse": reverse}
    return values[divergence].reshape(np.shape(labels))


def plain_cross_entropy(labels, logits, bias=0.0, smoothing=0.0):
    target = ops.cast(ops.one_hot(labels, logits.shape[-1]), logits.dtype)
    log_p = ops.log_softmax(logits - bias * target, axis=-1)
    return -ops.sum(((1 - smoothing) * target + smoothing / logits.shape[-1]) * log_p, axis=-1)


@pytest.mark.parametrize("mode", MODES)
def test_golden_values(mode):
    labels, count = np.array(GOLDEN["targets"]), len(GOLDEN["targets"])

    def loss(logits):
        return large_margin_cross_entropy(labels, logits, GOLDEN["weight"])

    logits = np.array(GOLDEN["logits"])
    np.testing.assert_allclose(execute(loss, [logits], mode), GOLDEN["loss"], atol=1e-6)
    _, (gradient,) = value_and_gradients(loss, [logits], mode)
    np.testing.assert_allclose(gradient / count, GOLDEN["d_mean_loss_d_logits"], atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_the_divergence_is_its_definition(divergence, mode):
    values = execute(
        lambda f: ks.ops.large_margin_divergence(LABELS, f, divergence), [LOGITS], mode
    )
    np.testing.assert_allclose(values, naive_divergence(LABELS, LOGITS, divergence), rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_the_bias_is_its_definition(mode):
    values = execute(lambda f: ks.ops.margin_bias(LABELS, f), [LOGITS], mode)
    f = others(LABELS, LOGITS)
    expected = np.log(np.exp(f - f.max(1, keepdims=True)).sum(1)).reshape(LABELS.shape)
    np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize(("bias", "smoothing"), [(0.0, 0.0), (1.0, 0.0), (0.7, 0.2)])
def test_the_closed_form_is_what_autodiff_gives(divergence, bias, smoothing):
    def closed(logits):
        return large_margin_cross_entropy(LABELS, logits, 0.8, divergence, bias, smoothing)

    def plain(logits):
        regulariser = ks.ops.large_margin_divergence(LABELS, logits, divergence)
        return plain_cross_entropy(LABELS, logits, bias, smoothing) + 0.8 * regulariser

    ours, (gradient,) = value_and_gradients(closed, [LOGITS], dtype="float64")
    theirs, (expected,) = value_and_gradients(plain, [LOGITS], dtype="float64")
    assert ours == pytest.approx(theirs, abs=1e-10)
    np.testing.assert_allclose(gradient, expected, atol=1e-10)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "function",
    [
        ks.ops.margin_bias,
        *[lambda y, f, d=d: ks.ops.large_margin_divergence(y, f, d) for d in DIVERGENCES],
        lambda y, f: large_margin_cross_entropy(y, f, 0.8, "symmetric", 1.0, 0.1),
    ],
)
def test_gradients_agree_with_finite_differences(function):
    _, (gradient,) = value_and_gradients(lambda f: function(LABELS, f), [LOGITS], dtype="float64")
    expected = finite_differences(lambda f: float(ops.sum(function(LABELS, f))), LOGITS.copy())
    np.testing.assert_allclose(gradient, expected, atol=1e-8)


@pytest.mark.tensorflow
def test_second_derivatives_agree_with_finite_differences():
    import tensorflow as tf

    direction = np.random.default_rng(1).normal(size=LOGITS.shape)

    def slope(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = tf.reduce_sum(large_margin_cross_entropy(LABELS, logits, 0.8))
        return tf.reduce_sum(tape.gradient(value, logits) * direction)

    _, (curvature,) = value_and_gradients(slope, [LOGITS], dtype="float64")
    compiled = tf.function(slope, autograph=False)
    expected = finite_differences(lambda f: float(compiled(tf.constant(f))), LOGITS.copy())
    np.testing.assert_allclose(curvature, expected, atol=1e-7)


rows = st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=8)


@given(rows, st.sampled_from(DIVERGENCES), st.floats(-30, 30, width=32))
def test_properties_of_the_divergence(row, divergence, change):
    """At least 0, 0 where the others are equal, blind to a shift and to the target's logit."""
    equal, shifted, moved = np.array(row), np.array(row) + change, np.array(row)
    equal[1:] = row[1]
    moved[0] += change
    logits = np.array([row, equal, shifted, moved], "float32")
    values = ks.ops.large_margin_divergence(np.zeros(4, int), logits, divergence)
    value, at_equality, at_shift, at_moved = ops.convert_to_numpy(values)
    rounding = 1e-5 * (1 + np.ptp(row))
    assert value >= -rounding
    assert at_equality == pytest.approx(0, abs=1e-6)
    assert at_shift == pytest.approx(value, abs=rounding)
    assert at_moved == pytest.approx(value, rel=1e-5, abs=1e-7)


@pytest.mark.slow
@given(
    st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=2, max_size=2), st.integers(0, 1)
)
def test_two_classes_have_nothing_to_regularise(row, label):
    for divergence in DIVERGENCES:
        value, (gradient,) = value_and_gradients(
            lambda f: ks.ops.large_margin_divergence([label], f, divergence),  # noqa: B023
            [np.array([row])],
        )
        assert value == 0
        assert not gradient.any()


@functools.cache
def naive_slopes(divergence):
    """Finite differences of the divergence by each logit, of which the target's has no part."""
    return np.stack(
        [
            finite_differences(lambda f, y=y: float(naive_divergence(y, f, divergence)), row)
            for row, y in zip(LOGITS.reshape(6, 5), LABELS.ravel(), strict=True)
        ]
    )


@MODES_AND_DIVERGENCES
def test_it_is_exact_where_the_target_dominates(mode, divergence):
    labels = np.stack([LABELS.ravel()] * 2)
    logits = np.stack([LOGITS.reshape(6, 5)] * 2)
    leads = np.array([[60.0], [1e4]])
    np.put_along_axis(logits, labels[..., None], (logits.max() + leads)[..., None], axis=2)
    exact = naive_divergence(LABELS.ravel(), LOGITS, divergence)
    slopes = naive_slopes(divergence)

    def both(f, g):  # the cross-entropy is below 1e-20 here
        regulariser = ks.ops.large_margin_divergence(labels, f, divergence)
        return ops.stack([regulariser, large_margin_cross_entropy(labels, g, 1.0, divergence)])

    values = execute(both, [logits, logits], mode)
    np.testing.assert_allclose(values, np.broadcast_to(exact, (2, 2, 6)), rtol=1e-5)
    _, gradients = value_and_gradients(both, [logits, logits], mode)
    for gradient in gradients:
        expected = np.broadcast_to(slopes, (2, 6, 5))
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-8)


@MODES_AND_DIVERGENCES
def test_nothing_that_the_type_holds_gives_nan(mode, divergence):
    largest = float(np.finfo("float32").max)
    rng = np.random.default_rng(0)
    logits = rng.choice([-largest, -1e4, 0, 1e-30, 1e4, largest], size=(200, 6)).astype("float32")
    labels = rng.integers(0, 6, 200)

    def loss(f):
        return large_margin_cross_entropy(labels, f, 1.0, divergence, 1.0, 0.1)

    losses = execute(loss, [logits], mode)
    assert not np.isnan(losses).any()
    assert np.isfinite(losses[np.abs(logits).max(1) < largest]).all()
    _, (gradient,) = value_and_gradients(loss, [logits], mode)
    assert np.isfinite(gradient).all()


def test_nan_logits_stay_nan():
    logits = np.zeros((3, 4), "float32")
    logits[0, 0] = logits[1, 2] = np.nan
    losses = ops.convert_to_numpy(large_margin_cross_entropy([0, 0, 0], logits))
    np.testing.assert_array_equal(np.isnan(losses), [True, True, False])


@pytest.mark.parametrize(
    ("labels", "logits", "message"),
    [
        ([0], [[1.0]], r"`logits`.*at least 2.*\(1, 1\)"),
        ([0], [1.0, 2.0], r"`logits`.*\(batch, \.\.\., classes\).*\(2,\)"),
        ([3], [[1.0, 2.0, 3.0]], "`labels`.*classes from 0 to 2"),
        ([-1], [[1.0, 2.0, 3.0]], "`labels`.*classes from 0 to 2"),
        ([0, 1], [[1.0, 2.0, 3.0]], r"`labels`.*\(2,\)"),
    ],
)
@pytest.mark.parametrize("function", [ks.ops.large_margin_divergence, ks.ops.margin_bias])
def test_bad_input_raises(function, labels, logits, message):
    with pytest.raises(ValueError, match=message):
        function(labels, np.array(logits, "float32"))


def test_numbers_of_numpy_are_numbers():
    expected = large_margin_cross_entropy(LABELS, LOGITS, 0.3, "symmetric", 0.5, 0.1)
    numbers = [np.float64(number) for number in (0.3, 0.5, 0.1)]
    ours = large_margin_cross_entropy(LABELS, LOGITS, numbers[0], "symmetric", *numbers[1:])
    np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(expected))


def test_an_unknown_divergence_raises():
    with pytest.raises(ValueError, match=r"`divergence`.*'symmetric', 'forward', 'reverse'.*'kl'"):
        ks.ops.large_margin_divergence([0], [[1.0, 2.0]], "kl")
