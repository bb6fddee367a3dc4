import keras
import numpy as np
import pytest
from keras import ops
from linear_problems import CLASSES, make_linear
from numerics import MODES, value_and_gradients

import keras_softmaxes as ks
from keras_softmaxes.ops._class_sampling import (
    cumulative_frequencies,
    drawn_classes,
    log_uniform,
)

DTYPE = "float64" if keras.backend.backend() == "tensorflow" else "float32"
FREQUENCIES = {
    "uniform": np.ones(CLASSES),
    "log_uniform": log_uniform(CLASSES),
    "given": np.random.default_rng(5).uniform(0.1, 3.0, CLASSES),
}


def draw(frequencies, draws, seed):
    cumulative = cumulative_frequencies(frequencies)
    uniform = np.random.default_rng(seed).uniform(size=draws).astype("float32")
    classes, log_counts = drawn_classes(uniform, cumulative, int(cumulative[-1]))
    return ops.convert_to_numpy(classes), ops.convert_to_numpy(log_counts)


@pytest.mark.parametrize("name", FREQUENCIES)
def test_classes_are_drawn_as_often_as_is_expected(name):
    shares = FREQUENCIES[name] / FREQUENCIES[name].sum()
    counts, repeats = np.zeros(CLASSES), 300
    for seed in range(repeats):
        classes, log_counts = draw(FREQUENCIES[name], 6, seed)
        np.testing.assert_allclose(log_counts, np.log(6 * shares[classes]), atol=1e-5)
        counts += np.bincount(classes, minlength=CLASSES)
    spread = np.sqrt(repeats * np.maximum(6 * shares, 0.25))
    assert (np.abs(counts - repeats * 6 * shares) < 4 * spread).all()


@pytest.mark.parametrize("mode", MODES)
def test_where_each_class_is_drawn_once_it_is_the_cross_entropy(mode):
    labels, tensors = make_linear(7)
    classes, log_counts = draw(FREQUENCIES["uniform"], CLASSES, seed=0)
    np.testing.assert_array_equal(classes, np.arange(CLASSES))
    np.testing.assert_allclose(log_counts, 0, atol=1e-6)
    log_counts = np.zeros(CLASSES)
    ours = value_and_gradients(
        lambda *t: ks.ops.sampled_cross_entropy(labels, *t, classes, log_counts),
        tensors,
        mode,
        DTYPE,
    )
    exact = value_and_gradients(
        lambda *t: ks.ops.linear_cross_entropy(labels, *t), tensors, mode, DTYPE
    )
    tolerance = 1e-10 if DTYPE == "float64" else 2e-6
    assert ours[0] == pytest.approx(exact[0], abs=tolerance, rel=tolerance)
    for one, other in zip(ours[1], exact[1], strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", FREQUENCIES)
def test_the_gradient_is_the_exact_one_on_average(name):
    """What the logarithm of a mean adds falls with the number of draws; here it is 60."""
    labels, tensors = make_linear(5)
    tensors = [tensors[0], 0.5 * tensors[1], 0.1 * tensors[2]]
    _, exact = value_and_gradients(
        lambda *t: ks.ops.linear_cross_entropy(labels, *t), tensors, "eager", "float64"
    )
    found = []
    for seed in range(200):
        drawn = draw(FREQUENCIES[name], 60, seed)
        _, gradients = value_and_gradients(
            lambda *t, drawn=drawn: ks.ops.sampled_cross_entropy(labels, *t, *drawn),
            tensors,
            "eager",
            "float64",
        )
        found.append(np.concatenate([each.ravel() for each in gradients]))
    exact = np.concatenate([each.ravel() for each in exact])
    error = np.std(found, axis=0) / np.sqrt(len(found))
    off = np.abs(np.mean(found, axis=0) - exact) / error
    assert np.median(off) < 1.5
    assert np.mean(off < 3) > 0.9


@pytest.mark.tensorflow
def test_only_rows_that_are_read_have_a_gradient():
    import tensorflow as tf

    labels, (features, kernel, bias) = make_linear(4)
    kernel, bias = tf.Variable(kernel), tf.Variable(bias)
    drawn = [2, 2, 5], [0.0, 0.0, 0.3]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(ks.ops.sampled_cross_entropy(labels, features, kernel, bias, *drawn))
    for gradient in tape.gradient(loss, [kernel, bias]):
        assert isinstance(gradient, tf.IndexedSlices)
        assert set(gradient.indices.numpy()) == {*labels, 2, 5}
