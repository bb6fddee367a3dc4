import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numerics import MODES, execute, finite_differences, value_and_gradients
from scipy.optimize import brentq

from keras_softmaxes.ops._sparsemax import sparsemax, sparsemax_loss

INFINITY, NAN = float("inf"), float("nan")
LABELS = np.array([0, 3, 1, 2])
LOGITS = np.random.default_rng(0).normal(size=(4, 5))
ROWS = arrays("float32", (4, 5), elements=st.floats(-4, 4, width=32))


def loss(logits):
    return sparsemax_loss(LABELS, logits)


def threshold(row):
    """The root of its definition, in float64."""
    return brentq(
        lambda tau: np.maximum(row - tau, 0).sum() - 1, row.max() - 1.1, row.max(), xtol=1e-15
    )


def projection(logits):
    return np.stack([np.maximum(row - threshold(row), 0) for row in logits.astype("float64")])


def paper_loss(logits):
    """The formula of the paper, in float64."""
    losses = []
    for row, label in zip(logits.astype("float64"), LABELS, strict=True):
        tau = threshold(row)
        support = row[row > tau]
        losses.append(-row[label] + (support**2 - tau**2).sum() / 2 + 1 / 2)
    return np.array(losses)


def rows_of_all_kinds(classes):
    rng = np.random.default_rng(0)
    crowd = rng.uniform(0, 1e-3, size=classes) - 0.95
    barely_in = np.full(classes, 0.9 / classes - 1)
    crowd[classes // 2] = barely_in[classes // 2] = 0
    rows = [
        rng.normal(size=classes),
        rng.normal(size=classes) * 1e4,
        rng.normal(size=classes) * 1e-3,
        rng.exponential(size=classes) * -1e-4,
        np.full(classes, 7.0),
        crowd,
        barely_in,
    ]
    return np.array(rows, "float32")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("classes", [2, 10, 1000, 10_000])
def test_an_independent_solver_finds_the_same_projection(classes, mode):
    logits = rows_of_all_kinds(classes)
    probabilities = execute(sparsemax, [logits], mode)
    np.testing.assert_allclose(probabilities, projection(logits), atol=1e-7)
    # XLA adds the terms of a sum one by one.
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=4e-7 + 2e-9 * classes)


@pytest.mark.slow
@given(ROWS, st.floats(-8, 8, width=32))
def test_no_corner_of_the_simplex_is_in_the_direction_of_the_logits(logits, constant):
    """That is what makes a point of a convex set the nearest: (z - p) . (q - p) <= 0."""
    probabilities = execute(sparsemax, [logits])
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    residual = logits - probabilities
    assert (residual.max(axis=1) <= (residual * probabilities).sum(axis=1) + 1e-5).all()
    shifted = execute(sparsemax, [logits + constant])
    np.testing.assert_allclose(shifted, probabilities, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("classes", [5, 1000])
def test_the_gradient_is_what_the_support_holds_above_its_mean(classes, mode):
    rng = np.random.default_rng(1)
    logits, upstream = rng.normal(size=(2, 4, classes)).astype("float32")
    value = execute(sparsemax, [logits], mode)
    _, (gradient,) = value_and_gradients(lambda z: upstream * sparsemax(z), [logits], mode)
    support = value > 0
    assert not gradient[~support].any()
    for row, of_row, v in zip(gradient, support, upstream, strict=True):
        np.testing.assert_allclose(row[of_row], v[of_row] - v[of_row].mean(), atol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize("mode", MODES)
def test_gradients_agree_with_finite_differences(mode):
    upstream = np.random.default_rng(1).normal(size=LOGITS.shape)
    for ours, naive in (
        (lambda z: upstream * sparsemax(z), lambda z: upstream * projection(z)),
        (loss, paper_loss),
    ):
        value, (gradient,) = value_and_gradients(ours, [LOGITS], mode, "float64")
        assert value == pytest.approx(naive(LOGITS).sum(), rel=1e-12)
        expected = finite_differences(lambda z, naive=naive: naive(z).sum(), LOGITS)
        np.testing.assert_allclose(gradient, expected, atol=1e-7)


@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_second_derivatives_of_the_loss_are_those_of_the_projection(jit_compile):
    import tensorflow as tf

    upstream = np.random.default_rng(1).normal(size=LOGITS.shape)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def second(logits):
        with tf.GradientTape() as outer:
            outer.watch(logits)
            with tf.GradientTape() as inner:
                inner.watch(logits)
                value = loss(logits)
            slope = upstream * inner.gradient(value, logits)
        return outer.gradient(slope, logits)

    expected = finite_differences(lambda z: (upstream * projection(z)).sum(), LOGITS)
    np.testing.assert_allclose(second(tf.constant(LOGITS)), expected, atol=1e-7)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("constant", [0, 1e4])
def test_the_loss_is_that_of_the_paper_and_its_gradient_the_error(constant, mode):
    logits = (LOGITS + constant).astype("float32")
    each = execute(loss, [logits], mode)
    np.testing.assert_allclose(each, paper_loss(logits - logits.max()), atol=1e-6)
    _, (gradient,) = value_and_gradients(loss, [logits], mode)
    expected = projection(logits) - np.eye(5)[LABELS]
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


@given(ROWS)
def test_the_loss_is_0_where_the_target_leads_by_1(logits):
    losses = execute(loss, [logits])
    target = logits[np.arange(4), LABELS]
    lead = target - np.where(np.eye(5)[LABELS], -np.inf, logits).max(axis=1)
    assert (losses >= 0).all()
    assert (losses[lead >= 1] == 0).all()
    assert (losses[lead < 0.99] > 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_for_two_classes_it_is_the_huber_loss_of_the_lead(mode):
    lead = np.linspace(-3, 3, 25)
    logits = np.stack([lead + 2, np.full_like(lead, 2)], axis=1)
    losses = execute(lambda z: sparsemax_loss(np.zeros(25, int), z), [logits], mode)
    expected = np.where(lead <= -1, -lead, np.where(lead >= 1, 0, (lead - 1) ** 2 / 4))
    np.testing.assert_allclose(losses, expected, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "extreme"), [("float32", 1e4), ("float16", 1e3), ("bfloat16", 1e3)]
)
def test_value_and_gradients_are_finite_at_extremes(mode, dtype, extreme):
    logits = np.random.default_rng(1).choice([-extreme, 0.0, extreme], size=(4, 5))
    for function in (loss, sparsemax):
        value, (gradient,) = value_and_gradients(function, [logits], mode, dtype)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("mode", MODES)
def test_nan_stays_in_its_row_and_infinite_logits_give_the_limit_or_nan(mode):
    cases = [  # logits, their sparsemax, their loss
        ([1, 0.5, -1], [0.75, 0.25, 0], 0.0625),
        ([0, 0.5, -INFINITY], [0.25, 0.75, 0], 0.5625),
        ([-INFINITY, 0.5, 0], [0, 0.75, 0.25], INFINITY),
        ([0, -3e38, 3e38], [0, 0, 1], 3e38),
        ([NAN, 0, 1], [NAN] * 3, NAN),
        ([0, NAN, 5], [NAN] * 3, NAN),
        ([0, 5, NAN], [NAN] * 3, NAN),
        ([INFINITY, 0, 0], [NAN] * 3, NAN),
        ([INFINITY, INFINITY, 0], [NAN] * 3, NAN),
        ([-INFINITY] * 3, [NAN] * 3, NAN),
    ]
    logits, probabilities, losses = map(np.array, zip(*cases, strict=True))
    labels, upstream = np.zeros(len(cases), int), np.array([1.0, -2, 0], "float32")
    ours = execute(sparsemax, [logits], mode)
    np.testing.assert_allclose(ours, probabilities, atol=1e-6)
    of_loss = execute(lambda z: sparsemax_loss(labels, z), [logits], mode)
    np.testing.assert_allclose(of_loss, losses, rtol=1e-6)
    for function in (lambda z: sparsemax_loss(labels, z), lambda z: upstream * sparsemax(z)):
        _, (gradient,) = value_and_gradients(function, [logits], mode)
        np.testing.assert_array_equal(np.isnan(gradient), np.isnan(probabilities))


def test_labels_that_cannot_be_checked_make_nan_of_their_example_alone():
    labels = np.array([0, 5, 1, -1])
    _, (gradient,) = value_and_gradients(lambda z: sparsemax_loss(labels, z), [LOGITS], MODES[-1])
    np.testing.assert_array_equal(np.isnan(gradient).all(axis=1), [False, True, False, True])
    assert np.isfinite(gradient[[0, 2]]).all()


@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_size_of_the_batch_may_be_unknown(jit_compile):
    import tensorflow as tf

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, 10))],
    )
    def compute(labels, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = sparsemax_loss(labels, logits)
        return sparsemax(logits), tape.gradient(value, logits)

    for batch in (3, 1):
        logits = np.random.default_rng(batch).normal(size=(batch, 10)).astype("float32")
        labels = np.arange(batch, dtype="int32")
        probabilities, gradient = compute(labels, logits)
        np.testing.assert_allclose(gradient, probabilities - np.eye(10)[labels], atol=1e-7)
        np.testing.assert_allclose(probabilities, execute(sparsemax, [logits]), atol=1e-7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: sparsemax(x[0]), r"`logits`.*\(batch, \.\.\., classes\).*\(3,\)"),
        (lambda x: sparsemax(x[:, :1]), r"`logits`.*at least 2.*\(2, 1\)"),
        (lambda x: sparsemax_loss([0, 1], x[0]), r"`logits`.*\(batch, \.\.\., classes\).*\(3,\)"),
        (lambda x: sparsemax_loss([0, 3], x), "`labels`.*from 0 to 2"),
        (lambda x: sparsemax_loss([0.0, 1.5], x), "`labels`.*whole numbers"),
    ],
)
def test_bad_input_raises_with_its_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((2, 3), "float32"))
