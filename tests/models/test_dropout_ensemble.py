import itertools

import keras
import numpy as np
import pytest
from keras import layers

import keras_softmaxes as ks


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


@pytest.fixture
def regression():
    """Softmax regression whose inputs are dropped, of 2^4 networks."""
    last = layers.Dense(3, activation="softmax", bias_initializer="random_normal")
    return keras.Sequential([keras.Input((4,)), layers.Dropout(0.5), last])


def every_network(model, x):
    kernel, bias = (weight.astype("float64") for weight in model.get_weights())
    masks = np.array(list(itertools.product([0, 2], repeat=4)))
    return np.array([softmax((mask * x) @ kernel + bias) for mask in masks])


def test_weight_scaling_is_the_geometric_mean_of_softmax_regression(regression, x):
    geometric = softmax(np.log(every_network(regression, x)).mean(axis=0))
    ours = ks.models.dropout_ensemble(regression, x, "weight_scaling")
    np.testing.assert_allclose(ours["mean"], geometric, atol=1e-6)
    np.testing.assert_array_equal(ours["stddev"], 0)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["arithmetic", "geometric"])
def test_sampled_means_approach_those_over_all_networks(regression, x, rule):
    every = every_network(regression, x)
    means = {"arithmetic": every.mean(axis=0), "geometric": softmax(np.log(every).mean(axis=0))}
    result = ks.models.dropout_ensemble(regression, x, rule, samples=3000)
    ours = result["mean"]
    error = 5 * every.std(axis=0).max() / 3000**0.5
    np.testing.assert_allclose(ours, means[rule], atol=error)
    np.testing.assert_allclose(result["stddev"], every.std(axis=0), atol=error)
    assert np.abs(means["arithmetic"] - means["geometric"]).max() > 2 * error
    np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-5)


def test_other_layers_predict_as_at_inference_and_keep_their_state(x):
    inputs = keras.Input((4,))
    hidden = layers.BatchNormalization()(layers.Dense(8)(inputs))
    hidden = ks.layers.AdversarialDropout(0.0)(hidden)  # draws, and drops nothing
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
    before = model.get_weights()
    ours = ks.models.dropout_ensemble(model, 100 + x, samples=3, batch_size=4)["mean"]
    np.testing.assert_allclose(ours, model.predict(100 + x, verbose=0), atol=1e-6)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_draws_repeat_under_the_global_seed(x):
    def predict():
        keras.utils.set_random_seed(3)
        sequence = [keras.Input((4,)), layers.Dropout(0.5), layers.Dense(3, activation="softmax")]
        return ks.models.dropout_ensemble(keras.Sequential(sequence), x, samples=2)["mean"]

    np.testing.assert_array_equal(predict(), predict())


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dropout, self.softmax = layers.Dropout(0.5), layers.Dense(3, activation="softmax")

    def call(self, x, training=None):
        return self.softmax(self.dropout(x, training=training))


def test_a_subclassed_model_raises(x):
    """The calls of its dropout are not known."""
    model = Subclassed()
    model(x)
    with pytest.raises(ValueError, match=r"`model`.*functional or sequential"):
        ks.models.dropout_ensemble(model, x)


def test_bad_arguments_raise(regression, x):
    with pytest.raises(ValueError, match=r"`rule`\. Expected one of arithmetic, geometric"):
        ks.models.dropout_ensemble(regression, x, "harmonic")
    with pytest.raises(ValueError, match="`samples`"):
        ks.models.dropout_ensemble(regression, x, samples=0)
    dropped = [keras.Input((4,)), layers.Dropout(0.5)]
    logits = keras.Sequential([*dropped, layers.Dense(3)])
    for rule in ("arithmetic", "weight_scaling"):
        with pytest.raises(ValueError, match=r"`model`\. Expected a model whose output is class"):
            ks.models.dropout_ensemble(logits, 9 * x, rule)
    outer = keras.Sequential([keras.Input((4,)), keras.Sequential(dropped), layers.Dropout(0.1)])
    with pytest.raises(ValueError, match=r"`model`\. Expected a model without dropout in nested"):
        ks.models.dropout_ensemble(outer, x)
    plain = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    with pytest.raises(ValueError, match=r"`model`\. Expected a model with dropout"):
        ks.models.dropout_ensemble(plain, x)


@pytest.mark.parametrize("rule", ["arithmetic", "geometric", "weight_scaling"])
@pytest.mark.parametrize("form", ["list", "dict"])
def test_inputs_may_be_any_structure(x, rule, form):
    inputs = {name: keras.Input((2,), name=name) for name in ("left", "right")}
    rows = {"left": x[:, :2], "right": x[:, 2:]}
    joined = layers.Concatenate()([inputs["left"], inputs["right"]])
    outputs = layers.Dense(3, activation="softmax")(layers.Dropout(0.0)(joined))
    if form == "list":
        inputs, rows = list(inputs.values()), list(rows.values())
    model = keras.Model(inputs, outputs)
    ours = ks.models.dropout_ensemble(model, rows, rule, samples=2, batch_size=4)
    np.testing.assert_allclose(ours["mean"], model.predict(rows, verbose=0), atol=1e-6)
    np.testing.assert_allclose(ours["stddev"], 0, atol=1e-6)


def test_no_examples_raise(regression, x):
    for rule in ("arithmetic", "weight_scaling"):
        with pytest.raises(ValueError, match=r"`len\(x\)`.*at least 1"):
            ks.models.dropout_ensemble(regression, x[:0], rule)
