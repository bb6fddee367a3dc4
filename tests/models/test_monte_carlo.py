import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import expit, softmax

import keras_softmaxes as ks


@pytest.fixture
def model():
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    return ks.models.Classifier(
        inputs, ks.layers.DropMax(4, bias_initializer="random_normal")(hidden)
    )


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(7, 3)).astype("float32")


def test_mean_and_deviation_are_those_of_binary_masks(x):
    """With a cold mask the expectation is a sum over all subsets of the classes."""
    inputs = keras.Input((3,))
    model = ks.models.Classifier(inputs, ks.layers.DropMax(3, temperature=1e-3)(inputs))
    logits, retain_logits = ops.convert_to_numpy(model(x)["evidence"]).swapaxes(0, 1)[:2]
    mean, square = np.zeros((2, 7, 3))
    for mask in np.ndindex(2, 2, 2):
        mask = np.array(mask)
        weight = np.where(mask, expit(retain_logits), expit(-retain_logits)).prod(1, keepdims=True)
        probabilities = softmax(logits + np.log(mask + 1e-20), axis=1)
        mean += weight * probabilities
        square += weight * probabilities**2
    samples, copies = 40, 100  # each copy of an example draws masks of its own
    result = ks.models.monte_carlo(model, np.repeat(x, copies, axis=0), samples, batch_size=700)
    means, stddevs = (result[key].reshape(7, copies, 3) for key in ("mean", "stddev"))
    deviation = np.sqrt(square - mean**2)
    tolerance = 5 * deviation / np.sqrt(samples * copies) + 1e-3
    assert (np.abs(means.mean(axis=1) - mean) < tolerance).all()
    squares = (means**2 + stddevs**2).mean(axis=1)
    np.testing.assert_allclose(np.sqrt(squares - mean**2), deviation, atol=0.02)


def test_statistics_are_numpys_over_the_same_draws(model, x):
    result = ks.models.monte_carlo(model, x, samples=5, seed=3)
    generator = keras.random.SeedGenerator(3)
    evidence = model(x)["evidence"]
    draws = [model.layers[-1].sample_probabilities(evidence, generator) for _ in range(5)]
    draws = np.stack([ops.convert_to_numpy(draw) for draw in draws])
    np.testing.assert_allclose(result["mean"], draws.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(result["stddev"], draws.std(axis=0), atol=1e-6)


def test_the_seed_fixes_the_draws(model, x):
    def mean(seed=None):
        return ks.models.monte_carlo(model, x, 10, batch_size=4, seed=seed)["mean"]

    np.testing.assert_array_equal(mean(1), mean(1))
    assert (mean(1) != mean(2)).any()
    keras.utils.set_random_seed(1)
    first = mean()
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(mean(), first)


def test_every_example_comes_back_whatever_the_batches(model, x):
    """Retain probabilities of 0 and 1 leave nothing to chance."""
    head = model.layers[-1]
    head.retain.kernel.assign(np.zeros((8, 4)))
    head.retain.bias.assign([1e4, -1e4, 1e4, 1e4])
    expected = model.predict(x, verbose=0)
    assert (expected[:, 1] == 0).all()
    for batch_size in (2, 7, 100):
        result = ks.models.monte_carlo(model, x, 2, batch_size)
        np.testing.assert_allclose(result["mean"], expected, atol=1e-6)
        np.testing.assert_allclose(result["stddev"], 0, atol=1e-6)


@pytest.mark.tensorflow
def test_memory_does_not_grow_with_the_samples(x):
    """No tensor of the loop outlives its draw."""
    import gc

    import tensorflow as tf

    inputs = keras.Input((3,))
    model = ks.models.Classifier(inputs, ks.layers.DropMax(4)(inputs))
    counts = []
    for samples in (10, 100):
        ks.models.monte_carlo(model, x, samples, seed=0)
        gc.collect()
        counts.append(sum(isinstance(o, tf.Tensor) for o in gc.get_objects()))
    assert counts[1] <= counts[0] + 5


def test_the_head_of_a_nested_model_is_found(model, x):
    inputs = keras.Input((3,))
    outer = ks.models.Classifier(inputs, model(inputs))
    inner, nested = (ks.models.monte_carlo(m, x, 3, seed=1)["mean"] for m in (model, outer))
    np.testing.assert_array_equal(inner, nested)


@pytest.mark.tensorflow
def test_it_runs_in_the_scope_of_a_strategy(model, x, two_replicas):
    with two_replicas.scope():
        result = ks.models.monte_carlo(model, x, 3, seed=1)
    np.testing.assert_array_equal(
        result["mean"], ks.models.monte_carlo(model, x, 3, seed=1)["mean"]
    )


@pytest.mark.parametrize("argument", ["samples", "batch_size"])
@pytest.mark.parametrize("value", [0, 2.0, True, "3", None])
def test_what_is_not_a_count_is_refused(model, x, argument, value):
    arguments = {"samples": 1, argument: value}
    with pytest.raises(ValueError, match=f"`{argument}`.*integer of at least 1.*={value!r}"):
        ks.models.monte_carlo(model, x, **arguments)


def test_any_model_with_one_head_will_do(model, x):
    plain = keras.Model(model.inputs[0], model.output)
    ours, theirs = (ks.models.monte_carlo(m, x, 3, seed=1)["mean"] for m in (plain, model))
    np.testing.assert_array_equal(ours, theirs)


def test_a_dataset_is_refused(model, x):
    import tensorflow as tf

    with pytest.raises(ValueError, match=r"`x`.*structure of arrays.*BatchDataset"):
        ks.models.monte_carlo(model, tf.data.Dataset.from_tensor_slices(x).batch(2), 3)


@pytest.mark.parametrize("arrays", [[], [np.zeros(())], [np.zeros((4, 3)), np.zeros((6, 3))]])
def test_inputs_must_be_arrays_of_one_length(model, arrays):
    with pytest.raises(ValueError, match=r"`x`.*arrays"):
        ks.models.monte_carlo(model, arrays, 3)


def test_no_examples_are_refused(model, x):
    with pytest.raises(ValueError, match=r"`len\(x\)`.*at least 1.*=0"):
        ks.models.monte_carlo(model, x[:0], 3)


def test_a_model_without_a_stochastic_head_is_refused(x):
    inputs = keras.Input((3,))
    plain = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    with pytest.raises(ValueError, match=r"`model`.*one stochastic head.*layers and nested models"):
        ks.models.monte_carlo(plain, x, 1)
