import functools

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from numerics import MODES, execute, finite_differences, value_and_gradients
from scipy.special import log_softmax

from keras_softmaxes.ops import lsoftmax_cross_entropy, lsoftmax_logits

MARGINS = [1, 2, 3, 4]


def margin_logits(margin, annealing=0.0):
    return lambda features, kernel: lsoftmax_logits(features, kernel, margin, annealing)[1]


def naive(features, kernel, margin, annealing=0.0):
    """The same by the angle, as the paper writes it."""
    norms = np.linalg.norm(features, axis=1)[:, None] * np.linalg.norm(kernel, axis=0)
    angle = np.arccos(features @ kernel / norms)
    k = np.floor(angle * margin / np.pi)
    psi = (-1) ** k * np.cos(margin * angle) - 2 * k
    return (annealing * features @ kernel + norms * psi) / (1 + annealing)


def at_angles(angles, margin, dtype="float32", mode="eager"):
    """Return psi: the margin logits of unit vectors at these angles to a class of norm 1."""
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return execute(margin_logits(margin), [features, np.eye(2)], mode, dtype)[:, 0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("margin", "degrees", "psi"),
    [
        (1, [0, 60, 90, 180], [1, 0.5, 0, -1]),
        (2, [0, 45, 90, 120, 180], [1, 0, -1, -1.5, -3]),
        (3, [0, 30, 60, 90, 120, 150, 180], [1, 0, -1, -2, -3, -4, -5]),
        (4, [0, 22.5, 45, 90, 112.5, 135, 180], [1, 0, -1, -3, -4, -5, -7]),
    ],
)
def test_psi_at_angles_worked_out_by_hand(mode, margin, degrees, psi):
    # Around 0 and 180 degrees no digit is lost, as it would be by arccos.
    values = at_angles(np.deg2rad(degrees), margin, mode=mode)
    np.testing.assert_allclose(values, psi, atol=5e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize("margin", MARGINS)
def test_psi_is_continuous_and_falls_over_all_angles(margin):
    angles = np.linspace(0, np.pi, 20_001)
    psi = at_angles(angles, margin, "float64")
    steps = np.diff(psi)
    assert (steps < 0).all()
    assert steps.min() > -1.001 * margin * (angles[1] - angles[0])  # its slope is at most m
    assert psi[[0, -1]] == pytest.approx([1, 1 - 2 * margin], abs=1e-12)


FEATURES = np.random.default_rng(0).normal(size=(5, 3))
KERNEL = np.random.default_rng(1).normal(size=(3, 4))
ANNEALING = 0.5


@functools.cache
def naive_gradients(margin):
    return [
        finite_differences(lambda x: naive(x, KERNEL, margin, ANNEALING).sum(), FEATURES),
        finite_differences(lambda w: naive(FEATURES, w, margin, ANNEALING).sum(), KERNEL),
    ]


@pytest.mark.tensorflow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("margin", MARGINS)
def test_gradients_agree_with_finite_differences_of_a_naive_version(mode, margin):
    value, gradients = value_and_gradients(
        margin_logits(margin, ANNEALING), [FEATURES, KERNEL], mode, "float64"
    )
    assert value == pytest.approx(naive(FEATURES, KERNEL, margin, ANNEALING).sum(), rel=1e-12)
    for gradient, difference in zip(gradients, naive_gradients(margin), strict=True):
        np.testing.assert_allclose(gradient, difference, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("margin", MARGINS)
def test_the_gradient_of_parallel_and_antiparallel_vectors(mode, margin):
    """There the angle is stationary: the logit is psi ||w|| ||x||, with psi 1 and 1 - 2m."""
    direction = np.array([3.0, -4.0, 12.0]) / 13
    kernel = np.outer(direction, [2.0, -2.0])
    _, (gradient, _) = value_and_gradients(
        lambda x, w: ops.diagonal(margin_logits(margin)(x, w)),
        [7 * np.stack([direction, direction]), kernel],
        mode,
    )
    np.testing.assert_allclose(gradient[0], 2 * direction, atol=1e-5)
    np.testing.assert_allclose(gradient[1], (1 - 2 * margin) * 2 * direction, atol=2e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("margin", MARGINS)
def test_zero_vectors_have_zero_logits_and_finite_gradients(mode, margin):
    features = np.array([[0.0, 0.0, 0.0], [1.0, -2.0, 0.5], [0.0, 1.0, 0.0]])
    kernel = np.array([[0.0, 1.0], [0.0, 0.5], [0.0, -2.0]])
    function = margin_logits(margin)
    logits = execute(function, [features, kernel], mode)
    assert not logits[0].any()
    assert not logits[:, 0].any()
    _, gradients = value_and_gradients(function, [features, kernel], mode)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    # Of a constant right angle only the plain logit has a gradient, and psi holds it if m is odd.
    np.testing.assert_allclose(gradients[0][0], (margin % 2) * kernel[:, 1])


def test_annealing_moves_from_the_plain_logit_to_the_margin():
    rng = np.random.default_rng(1)
    features, kernel = rng.normal(size=(2, 3, 3)).astype("float32")
    plain, margin = lsoftmax_logits(features, kernel, 4)
    np.testing.assert_allclose(ops.convert_to_numpy(plain), features @ kernel, atol=1e-6)
    for annealing in (0.0, 1.0, 1000.0, 1e30):
        expected = plain + (margin - plain) / (1 + annealing)
        moved = margin_logits(4, ops.convert_to_tensor(annealing))(features, kernel)
        np.testing.assert_allclose(
            ops.convert_to_numpy(moved), ops.convert_to_numpy(expected), atol=1e-5
        )


@pytest.mark.parametrize("mode", MODES)
def test_margin_one_is_the_softmax_of_a_layer_without_bias(mode):
    rng = np.random.default_rng(2)
    features, kernel = rng.normal(size=(6, 5)), rng.normal(size=(5, 4))
    features[0], kernel[:, 0] = 0, 0
    labels = np.array([0, 1, 2, 3, 0, 1])

    def ours(x, w):
        return lsoftmax_cross_entropy(labels, *lsoftmax_logits(x, w, margin=1, annealing=0.7))

    def plain(x, w):
        return keras.losses.sparse_categorical_crossentropy(
            labels, ops.matmul(x, w), from_logits=True
        )

    value, gradients = value_and_gradients(ours, [features, kernel], mode)
    expected_value, expected = value_and_gradients(plain, [features, kernel], mode)
    assert value == pytest.approx(expected_value, rel=1e-6)
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "size"), [("float32", 100.0), ("float16", 20.0), ("bfloat16", 20.0)]
)
def test_value_and_gradients_are_finite_at_extremes(mode, dtype, size):
    values = [-size, -1e-4, 0.0, size]
    features = np.stack([axis.ravel() for axis in np.meshgrid(values, values)], axis=1)
    kernel = features.T
    labels = np.arange(16)

    def function(x, w):
        return lsoftmax_cross_entropy(labels, *lsoftmax_logits(x, w, margin=4))

    value, gradients = value_and_gradients(function, [features, kernel], mode, dtype)
    assert all(np.isfinite(each).all() for each in (value, *gradients))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [1e-15, 1e15])
def test_norms_neither_overflow_nor_vanish(mode, size):
    features, kernel = size * np.array([[3.0, 4.0]]), np.array([[0.0, 1.0], [1.0, 0.0]]) / size
    logits = execute(margin_logits(2), [features, kernel], mode)
    cosines = np.array([[0.8, 0.6]])
    np.testing.assert_allclose(logits, 5 * (2 * cosines**2 - 1), rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_vectors_that_vanish_have_finite_gradients(mode):
    sizes = np.array([1, 1e-5, 1e-9, 1e-18, 1e-19, 1e-20, 1e-30, 1e-40])[:, None, None]
    features = (sizes * np.array([[3.0, 4.0], [0.0, 1.0]])).reshape(-1, 2)
    kernel = (sizes * np.array([[0.0, 1.0], [1.0, 0.0]])).reshape(-1, 2).T
    norms = np.linalg.norm(features, axis=1)[:, None] * np.linalg.norm(kernel, axis=0)
    logits = execute(margin_logits(4), [features, kernel], mode)
    assert (np.abs(logits) <= 7 * norms * (1 + 1e-5) + np.finfo("float32").tiny).all()
    _, gradients = value_and_gradients(margin_logits(4), [features, kernel], mode)
    assert all((np.abs(gradient) <= 100).all() for gradient in gradients)


components = arrays("float32", (2, 3), elements=st.floats(-4, 4, width=16))


@given(components, components, st.sampled_from(MARGINS), st.sampled_from([0.25, 2.0, 8.0]))
def test_the_margin_only_lowers_a_logit_and_scales_with_the_norms(features, kernel, margin, scale):
    kernel = kernel.T
    plain, lowered = (ops.convert_to_numpy(t) for t in lsoftmax_logits(features, kernel, margin))
    assert (lowered <= plain + 1e-3).all()
    scaled = ops.convert_to_numpy(margin_logits(margin)(scale * features, kernel))
    np.testing.assert_allclose(scaled, scale * lowered, atol=1e-2)


def test_only_the_targets_logit_is_replaced():
    rng = np.random.default_rng(3)
    logits, margined = rng.normal(size=(2, 4, 5))
    labels = np.array([4, 0, 2, 1])
    rows = np.arange(4)
    combined = logits.copy()
    combined[rows, labels] = margined[rows, labels]
    expected = -log_softmax(combined, axis=1)[rows, labels]
    margined[combined != margined] = np.inf
    logits[rows, labels] = np.nan
    ours = execute(
        lambda f, g: lsoftmax_cross_entropy(labels, f, g), [logits, margined], dtype="float32"
    )
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, w: lsoftmax_logits(x, w, 5), "`margin`.*from 1 to 4.*margin=5"),
        (lambda x, w: lsoftmax_logits(x, w, 0), "`margin`.*at least 1.*margin=0"),
        (lambda x, w: lsoftmax_logits(x, w, 2.0), "`margin`.*integer.*margin=2.0"),
        (lambda x, w: lsoftmax_logits(x, w, True), "`margin`.*integer.*margin=True"),
        (lambda x, w: lsoftmax_logits(x[:, :2], w), r"`features`.*\(batch, \.\.\., 3\).*\(4, 2\)"),
        (lambda x, w: lsoftmax_logits(x[0], w), r"`features`.*\(batch, \.\.\., 3\).*\(3,\)"),
        (lambda x, w: lsoftmax_logits(x, w[:, :1]), r"`kernel`.*at least 2.*\(3, 1\)"),
        (lambda x, w: lsoftmax_cross_entropy([0] * 4, x, x[:, :2]), r"`margin_logits`.*\(4, 2\)"),
        (lambda x, w: lsoftmax_cross_entropy([3] * 4, x, x), "`labels`.*from 0 to 2"),
    ],
)
def test_bad_input_raises_with_its_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((4, 3), "float32"), np.ones((3, 5), "float32"))
