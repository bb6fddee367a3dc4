import keras
import numpy as np
import pytest
from keras import ops
from linear_problems import CLASSES, FEATURES, make_linear
from linear_problems import small_tiles as small_tiles
from numerics import MODES, finite_differences, value_and_gradients

import keras_softmaxes as ks

pytestmark = pytest.mark.usefixtures("small_tiles")
DTYPE = "float64" if keras.backend.backend() == "tensorflow" else "float32"
TOLERANCE = 1e-10 if DTYPE == "float64" else 5e-6
SETTINGS = [
    (0.0, "symmetric", 0.0, 0.0),
    (0.3, "symmetric", 1.0, 0.1),
    (0.3, "forward", 0.0, 0.2),
    (0.5, "reverse", 0.0, 0.0),
]


def logits_of(features, kernel, bias):
    return ops.matmul(features, ops.transpose(kernel)) + bias


def both(labels, tensors, settings, mode, weights, dtype=DTYPE):
    """Return value and gradients by tiles, and those of the dense loss."""
    weights = ops.convert_to_tensor(weights, keras.backend.result_type(dtype, "float32"))
    return [
        value_and_gradients(lambda *t, f=function: weights * f(*t), tensors, mode, dtype)
        for function in (
            lambda *t: ks.ops.linear_cross_entropy(labels, *t, *settings),
            lambda *t: ks.ops.large_margin_cross_entropy(labels, logits_of(*t), *settings),
        )
    ]


def check_equal(ours, theirs, tolerance=TOLERANCE):
    assert ours[0] == pytest.approx(theirs[0], abs=tolerance, rel=tolerance)
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("mode", MODES)
def test_values_and_gradients_are_those_of_all_logits(settings, mode):
    labels, tensors = make_linear(7)
    weights = np.random.default_rng(1).normal(size=7)
    check_equal(*both(labels, tensors, settings, mode, weights))


@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (3, 4), (5, 8), (0, 9)])
def test_any_number_of_rows_and_classes_is_taken(rows, classes):
    labels, tensors = make_linear(rows, classes)
    check_equal(*both(labels, tensors, SETTINGS[1], MODES[0], np.ones(rows)))


@pytest.mark.tensorflow
def test_gradients_are_finite_differences():
    labels, tensors = make_linear(4)
    _, gradients = both(labels, tensors, SETTINGS[1], "eager", np.ones(4))[0]
    for place, gradient in enumerate(gradients):

        def value(array, place=place):
            moved = [*tensors[:place], array, *tensors[place + 1 :]]
            return float(ops.sum(ks.ops.linear_cross_entropy(labels, *moved, *SETTINGS[1])))

        np.testing.assert_allclose(gradient, finite_differences(value, tensors[place]), atol=1e-8)


def test_half_precision_is_summed_in_float32():
    labels, (features, kernel, bias) = make_linear(6)
    half = ops.cast(features, "bfloat16"), ops.cast(kernel, "bfloat16"), bias.astype("float32")
    rounded = [ops.convert_to_numpy(ops.cast(each, "float32")) for each in half]
    loss = ks.ops.linear_cross_entropy(labels, *half)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    np.testing.assert_allclose(loss, ks.ops.linear_cross_entropy(labels, *rounded), rtol=1e-6)
    tensors = [np.asarray(each, "float64") for each in rounded]
    (value, slopes), (expected, dense) = both(
        labels, tensors, SETTINGS[0], MODES[0], np.ones(6), "bfloat16"
    )
    assert value == pytest.approx(expected, rel=1e-2)
    for slope, other in zip(slopes, dense, strict=True):
        np.testing.assert_allclose(slope, other, atol=3e-2)


def test_logits_of_1e4_have_finite_losses_and_gradients():
    labels, (features, kernel, bias) = make_linear(6)
    tensors = [1e2 * np.sign(features), 1e2 * np.sign(kernel), bias]
    value, gradients = both(labels, tensors, SETTINGS[1], MODES[-1], np.ones(6), "float32")[0]
    assert np.isfinite(value)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_examples_of_any_shape_and_one_hot_labels_are_rows():
    labels, (features, kernel, bias) = make_linear(6)
    flat = ops.convert_to_numpy(ks.ops.linear_cross_entropy(labels, features, kernel, bias))
    shaped = features.reshape(2, 3, FEATURES)
    rows = np.eye(CLASSES)[labels].reshape(2, 3, CLASSES)
    for form in (labels.reshape(2, 3), labels.reshape(2, 3, 1), rows):
        ours = ops.convert_to_numpy(ks.ops.linear_cross_entropy(form, shaped, kernel, bias))
        np.testing.assert_allclose(ours.ravel(), flat, rtol=1e-6)
        assert ours.shape == (2, 3)


@pytest.mark.parametrize(
    ("place", "shape", "argument"),
    [(0, (5, FEATURES + 1), "features"), (1, (1, FEATURES), "kernel"), (2, (CLASSES - 1,), "bias")],
)
def test_shapes_that_do_not_fit_raise(place, shape, argument):
    labels, tensors = make_linear(5)
    tensors[place] = np.ones(shape)
    with pytest.raises(ValueError, match=f"`{argument}`"):
        ks.ops.linear_cross_entropy(labels, *tensors)


def test_the_first_classes_and_the_rank_of_the_target_are_those_of_all_logits():
    labels, tensors = make_linear(9)
    logits = ops.convert_to_numpy(logits_of(*tensors))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for k in (1, 5, CLASSES):
        classes, probabilities = map(ops.convert_to_numpy, ks.ops.linear_top_k(*tensors, k=k))
        np.testing.assert_array_equal(classes, np.argsort(-logits, axis=1)[:, :k])
        np.testing.assert_allclose(probabilities, -np.sort(-shares, axis=1)[:, :k], rtol=1e-5)
    ranks = ops.convert_to_numpy(ks.ops.linear_ranks(labels, *tensors))
    expected = (logits > logits[np.arange(9), labels][:, None]).sum(axis=1)
    np.testing.assert_array_equal(ranks, expected)


def test_of_equal_logits_the_first_class_is_first():
    labels, (features, kernel, bias) = make_linear(9)
    equal = features, 0 * kernel, 0 * bias
    np.testing.assert_array_equal(ks.ops.linear_ranks(labels, *equal), labels)
    classes, probabilities = ks.ops.linear_top_k(*equal, k=CLASSES)
    np.testing.assert_array_equal(classes, np.tile(np.arange(CLASSES), (9, 1)))
    np.testing.assert_allclose(probabilities, 1 / CLASSES, rtol=1e-6)
