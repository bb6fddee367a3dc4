import copy
import inspect

import keras
import numpy as np
import pytest
from keras import ops
from numerics import MODES, value_and_gradients
from scipy import stats
from scipy.special import expit

import keras_softmaxes as ks
from keras_softmaxes import layers
from keras_softmaxes.layers._random import draw_log_mask, draw_normal, draw_uniform


def draw(logits, temperature=0.1, seed=0):
    generator = keras.random.SeedGenerator(seed)
    log_mask = draw_log_mask(ops.convert_to_tensor(logits), temperature, generator)
    return ops.convert_to_numpy(log_mask)


@pytest.mark.parametrize(("function", "law"), [(draw_uniform, "uniform"), (draw_normal, "norm")])
def test_noise_follows_its_law_and_repeats_by_its_seed(function, law):
    def noise(seed):
        generator = keras.random.SeedGenerator(seed)
        draws = [function((5000, 2), "float32", generator) for _ in range(2)]
        return np.stack([ops.convert_to_numpy(each) for each in draws])

    first = noise(3)
    for each in first:
        assert stats.kstest(each.ravel(), law).pvalue > 1e-3
    assert (first[0] != first[1]).mean() > 0.99
    assert (first != noise(4)).mean() > 0.99
    np.testing.assert_array_equal(first, noise(3))


def test_draws_follow_the_relaxed_bernoulli_distribution():
    """temperature * logit(z) is logistic around the logit (Maddison et al. 2017)."""
    for logit, temperature in ((0.0, 0.5), (1.5, 0.5), (-2.0, 1.0)):
        z = np.exp(draw(np.full((10_000, 2), logit, "float32"), temperature).astype("float64"))
        z = z[(z > 1e-12) & (z < 1 - 1e-6)]  # where float32 still tells z from 1
        noise = temperature * (np.log(z) - np.log1p(-z)) - logit
        low, high = noise.min(), noise.max()
        truncated = stats.logistic.cdf(noise) - stats.logistic.cdf(low)
        truncated /= stats.logistic.cdf(high) - stats.logistic.cdf(low)
        assert stats.kstest(truncated, "uniform").pvalue > 1e-3


def test_a_cold_mask_is_on_with_the_retain_probability():
    for logit in (-2.0, 0.0, 1.0):
        on = (np.exp(draw(np.full((10_000, 2), logit, "float32"))) > 0.5).sum()
        assert stats.binomtest(int(on), 20_000, expit(logit)).pvalue > 1e-3


def test_the_seed_fixes_the_draw_and_the_next_draw_differs():
    zeros = np.zeros((50, 4), "float32")
    np.testing.assert_array_equal(draw(zeros, seed=3), draw(zeros, seed=3))
    generator = keras.random.SeedGenerator(3)
    first, second = (
        ops.convert_to_numpy(draw_log_mask(ops.convert_to_tensor(zeros), 0.1, generator))
        for _ in range(2)
    )
    assert (first != second).mean() > 0.9
    assert (draw(zeros, seed=4) != first).mean() > 0.9


@pytest.mark.parametrize("mode", MODES)
def test_draw_and_gradient_are_finite_at_extremes(mode):
    generator = keras.random.SeedGenerator(0)
    logits = np.array([[-1e4, -1e3, -17.0, 0.0, 17.0, 1e3, 1e4]] * 100)
    if keras.backend.backend() == "jax":
        pytest.skip("a seed generator's state does not pass through jax.grad; fit covers it")
    value, (gradient,) = value_and_gradients(
        lambda a: draw_log_mask(a, 0.1, generator), [logits], mode
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    # log sigm(x / temperature) has the slope 1 / temperature on the far left and 0 on the right.
    np.testing.assert_allclose(gradient[:, 0], 10, rtol=1e-5)
    np.testing.assert_allclose(gradient[:, -1], 0, atol=1e-6)


@pytest.mark.tensorflow
def test_the_draw_is_tfps_relaxed_bernoulli_before_its_sigmoid():
    import tensorflow as tf
    import tensorflow_probability as tfp

    logits = np.random.default_rng(0).normal(size=(30, 5)).astype("float32")
    state = tf.cast(keras.random.SeedGenerator(7).next(), tf.int32)
    seed = tf.random.experimental.stateless_fold_in(state, 0)
    for temperature in (0.1, 0.7):
        theirs = tfp.distributions.RelaxedBernoulli(temperature, logits=logits).sample(seed=seed)
        np.testing.assert_allclose(np.exp(draw(logits, temperature, 7)), theirs, rtol=1e-3)


@pytest.mark.tensorflow
@pytest.mark.parametrize("function", [draw_log_mask, draw_uniform, draw_normal])
def test_replicas_draw_differently_and_repeat_under_the_seed(function, two_replicas):
    import tensorflow as tf

    def drawn(generator):
        if function is draw_log_mask:
            return draw_log_mask(tf.zeros((20, 4)), 0.1, generator)
        return function((20, 4), "float32", generator)

    def draws():
        with two_replicas.scope():
            generator = keras.random.SeedGenerator(5)

        def replica():
            return drawn(generator)

        step = tf.function(lambda: two_replicas.run(replica), autograph=False)
        return [
            value.numpy()
            for _ in range(2)
            for value in two_replicas.experimental_local_results(step())
        ]

    first = draws()
    for index, one in enumerate(first):
        assert all((one != other).mean() > 0.9 for other in first[:index])
    for one, again in zip(first, draws(), strict=True):
        np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(first[0], drawn(keras.random.SeedGenerator(5)))


# Each layer that draws, of features of six numbers.
SEEDED = {
    "adversarial_dropout": lambda: layers.AdversarialDropout(0.5, 0.5),
    "class_dropout": lambda: layers.ClassDropout(4),
    "class_sampling": lambda: layers.ClassSampling(4, 0.5),
    "dropmax": lambda: layers.DropMax(4),
    "many_classes": lambda: layers.ManyClasses(40, sampled=8),
    "weight_noise": lambda: layers.WeightNoise(keras.layers.Dense(4), 0.5),
}


def seeded_model(name):
    inputs, layer = keras.Input((6,)), SEEDED[name]()
    if isinstance(layer, layers.Head):
        network = keras.Model(inputs, keras.layers.Identity()(inputs))
        return ks.models.Classifier(network, layer)
    return keras.Model(inputs, layer(inputs))


def drawn_by(model, steps=2):
    """Return all numbers that training passes return."""
    passes = [keras.tree.flatten(model(np.ones((5, 6)), training=True)) for _ in range(steps)]
    return np.concatenate([np.ravel(each) for outputs in passes for each in outputs])


def test_every_layer_that_draws_is_here():
    kinds = [each for each in vars(layers).values() if isinstance(each, type)]
    seeded = {each for each in kinds if "seed" in inspect.signature(each).parameters}
    assert seeded == {type(make()) for make in SEEDED.values()}


@pytest.mark.parametrize("through", ["model", "weights", "copy"])
@pytest.mark.parametrize("name", SEEDED)
def test_what_is_drawn_next_is_saved_with_the_weights(name, through, tmp_path):
    model = seeded_model(name)
    first = drawn_by(model)
    if through == "model":
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
    elif through == "weights":
        model.save_weights(tmp_path / "model.weights.h5")
        again = seeded_model(name)
        again.load_weights(tmp_path / "model.weights.h5")
    else:
        again = copy.deepcopy(model)
    expected = drawn_by(model)
    assert (expected != first).any()
    np.testing.assert_array_equal(drawn_by(again), expected)


@pytest.mark.tensorflow
def test_what_is_drawn_next_is_saved_with_the_weights_of_replicas(tmp_path, two_replicas):
    with two_replicas.scope():
        models = [seeded_model("dropmax") for _ in range(2)]

    def steps(model):
        outputs = two_replicas.run(lambda: model(np.ones((5, 6), "float32"), training=True))
        return [each.numpy() for each in outputs["log_mask"].values]

    steps(models[0])
    models[0].save_weights(tmp_path / "model.weights.h5")
    models[1].load_weights(tmp_path / "model.weights.h5")
    ours, theirs = map(steps, models)
    np.testing.assert_array_equal(ours, theirs)
    assert (ours[0] != ours[1]).any()


def test_weights_of_a_network_that_drew_nothing_leave_the_generator_as_it_is(tmp_path):
    def network(dropout):
        return keras.Sequential([keras.Input((6,)), keras.layers.Dense(5), dropout])

    plain = network(keras.layers.Dropout(0.5))
    plain.save_weights(tmp_path / "plain.weights.h5")
    model = network(layers.AdversarialDropout(0.5, 0.5, seed=3, name="cut"))
    with pytest.warns(UserWarning, match="no seed generator for `cut`"):
        model.load_weights(tmp_path / "plain.weights.h5")
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    state = ops.convert_to_numpy(model.layers[-1].seed_generator.state)
    assert state.tolist() == [3, 0]
