import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from numerics import MODES, execute, value_and_gradients
from scipy.special import expit, log_softmax, logsumexp

import keras_softmaxes as ks
from keras_softmaxes.ops._class_masking import sampled_classes


def naive(uniform, count):
    """By a stable sort, which keeps the order of equal numbers."""
    rank = uniform.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return np.stack([rank < count - 1, rank < count])


def ours(uniform, count, mode="eager", dtype="float32"):
    def function(numbers):
        return ops.cast(ops.stack(sampled_classes(numbers, count)), "float32")

    return execute(function, [uniform], mode, dtype)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "bits"), [("float32", 23), pytest.param("float64", 52, marks=pytest.mark.tensorflow)]
)
@pytest.mark.parametrize("count", [1, 2, 130, 299, 300])
def test_they_are_the_classes_of_the_smallest_numbers(mode, dtype, bits, count):
    uniform = np.random.default_rng(0).integers(0, 2**bits, size=(20, 300)) / 2**bits
    np.testing.assert_array_equal(ours(uniform, count, mode, dtype), naive(uniform, count))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 5, 30]),
    st.integers(1, 4),
    st.sampled_from([0, 1, 23]),
)
def test_equal_and_neighbouring_numbers_are_told_apart(seed, classes, levels, bits):
    rng = np.random.default_rng(seed)
    uniform = rng.integers(0, min(levels, 2**bits), size=(3, classes)) / 2**bits
    count = int(rng.integers(1, classes + 1))
    np.testing.assert_array_equal(ours(uniform, count), naive(uniform, count))


rows = arrays("float32", (2, 4), elements=st.floats(-8, 8, width=32))


@given(rows, rows, st.integers(0, 3))
def test_the_targets_mask_is_never_read(logits, log_mask, label):
    log_mask = -np.abs(log_mask)
    dropped = log_mask.copy()
    dropped[:, label] = -np.inf
    labels = np.array([label, label])
    ours = ks.ops.masked_cross_entropy(labels, logits, log_mask)
    theirs = ks.ops.masked_cross_entropy(labels, logits, dropped)
    np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))


def test_masked_cross_entropy_is_the_masked_softmax_of_the_paper():
    rng = np.random.default_rng(6)
    logits, mask = rng.normal(size=(4, 5)), rng.uniform(size=(4, 5))
    labels = np.array([0, 1, 2, 3])
    weights = np.where(np.eye(5)[labels], 1, mask) + 1e-20
    expected = logsumexp(logits, b=weights, axis=1) - logits[np.arange(4), labels]
    ours = ks.ops.masked_cross_entropy(
        labels, logits.astype("float32"), np.log(mask).astype("float32")
    )
    np.testing.assert_allclose(ops.convert_to_numpy(ours), expected, rtol=1e-5)


def test_all_classes_retained_is_plain_cross_entropy():
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(size=(6, 5)).astype("float32"), rng.integers(0, 5, 6)
    ours = ks.ops.masked_cross_entropy(labels, logits, np.zeros((6, 5), "float32"))
    expected = -log_softmax(logits.astype("float64"), 1)[np.arange(6), labels]
    np.testing.assert_allclose(ops.convert_to_numpy(ours), expected, rtol=1e-6)


def test_all_classes_dropped_leaves_the_target_certain():
    logits = np.array([[0.0, 3.0, -2.0]], "float32")
    dropped = ks.ops.masked_cross_entropy([0], logits, np.full((1, 3), -np.inf, "float32"))
    np.testing.assert_allclose(ops.convert_to_numpy(dropped), 0, atol=1e-7)


def test_a_class_of_minus_infinity_is_impossible():
    logits = np.array([[0.0, -np.inf, 1.0]], "float32")
    value, (gradient,) = value_and_gradients(
        lambda o: ks.ops.masked_cross_entropy([0], o, np.zeros((1, 3), "float32")), [logits]
    )
    assert value == pytest.approx(np.log(1 + np.e), rel=1e-6)
    np.testing.assert_allclose(gradient, [[-expit(1), 0, expit(1)]], atol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize("mode", MODES)
def test_what_is_left_of_a_dropped_class_has_the_digits_of_its_type(mode):
    """1e-20 exp(46) is about 1: epsilon's own digits count."""
    arrays = [np.array([[0.0, 46.0]]), np.array([[0.0, -np.inf]])]
    ours = execute(lambda o, z: ks.ops.masked_cross_entropy([0], o, z), arrays, mode, "float64")
    np.testing.assert_allclose(ours, np.log1p(1e-20 * np.exp([46.0])), rtol=1e-14)


def test_shapes_that_differ_raise():
    x = np.zeros((2, 3), "float32")
    with pytest.raises(ValueError, match=r"`log_mask`.*\(2, 3\).*\(1, 3\)"):
        ks.ops.masked_cross_entropy([0, 1], x, x[:1])
