from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_softmaxes as ks


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 5)).astype("float32")
    return x, (x @ rng.normal(size=(5, 1))).astype("float32")


def make_model(limit, rate=0.05, learning_rate=0.05, norm=None, **arguments):
    dense = layers.Dense(1, use_bias=False)
    layer = ks.layers.NormConstraint(dense, limit, norm, rate, name="held", **arguments)
    model = keras.Sequential([keras.Input((5,)), layer])
    model.compile(keras.optimizers.SGD(learning_rate), "mse")
    return model


def train(model, x, y, steps):
    """Take steps with all rows."""
    x, y = (np.tile(array, (steps, 1)) for array in (x, y))
    model.fit(x, y, batch_size=64, shuffle=False, verbose=0)


def kernel_of(model):
    return ops.convert_to_numpy(model.get_layer("held").layer.kernel)


def numbers(model):
    layer = model.get_layer("held")
    return float(layer.omega()), float(ops.convert_to_numpy(layer.multiplier))


def test_two_steps_are_those_computed_by_hand(data):
    x, y = data
    model = make_model(limit=0.5, rate=0.2)
    kernel, multiplier = kernel_of(model).astype("float64"), 0.0
    for _ in range(2):
        excess = (kernel**2).sum() - 0.5
        gradient = 2 * x.T @ (x @ kernel - y) / len(x) + 2 * multiplier * kernel
        kernel, multiplier = kernel - 0.05 * gradient, max(0, multiplier + 0.2 * excess)
        model.train_on_batch(x, y)
        assert numbers(model) == pytest.approx(((kernel**2).sum(), multiplier), rel=1e-5)
    assert multiplier > 0


def test_a_binding_constraint_is_met_at_the_multiplier_of_the_same_weight_decay(data):
    """min J + alpha ||w||^2 is ridge regression, whose solution has the norm k."""
    x, y = data
    free = np.linalg.lstsq(x, y, rcond=None)[0]
    limit = 0.4 * float((free**2).sum())
    model = make_model(limit)
    train(model, x, y, steps=600)
    omega, multiplier = numbers(model)
    assert omega == pytest.approx(limit, rel=1e-3)
    ridge = np.linalg.solve(x.T @ x / len(x) + multiplier * np.eye(5), x.T @ y / len(x))
    np.testing.assert_allclose(kernel_of(model), ridge, atol=1e-3)


def test_a_constraint_that_does_not_bind_changes_nothing(data):
    x, y = data
    free = np.linalg.lstsq(x, y, rcond=None)[0]
    model = make_model(limit=2 * float((free**2).sum()))
    train(model, x, y, steps=300)
    assert numbers(model)[1] == 0
    np.testing.assert_allclose(kernel_of(model), free, atol=1e-3)


def test_any_regulariser_of_keras_is_a_norm(data):
    x, y = data
    model = make_model(limit=1.0, norm=keras.regularizers.L1(1.0))
    train(model, x, y, steps=600)
    assert np.abs(kernel_of(model)).sum() == pytest.approx(1, rel=0.05)


def test_evaluation_has_no_term_and_moves_nothing(data):
    x, y = data
    model = make_model(limit=0.1)
    model.fit(x, y, epochs=2, verbose=0)
    before = numbers(model)
    error = float(np.mean((model.predict(x, verbose=0) - y) ** 2))
    assert model.evaluate(x, y, verbose=0) == pytest.approx(error, rel=1e-5)
    assert numbers(model) == before
    assert before[1] > 0


@pytest.mark.tensorflow
@pytest.mark.parametrize("policy", ["mixed_float16", "float64"])
def test_the_multiplier_is_a_float32_number(data, policy):
    x, y = data
    model = make_model(limit=0.1, dtype=policy)
    model.fit(x, y, epochs=3, verbose=0)
    assert numbers(model)[1] > 0
    assert model.get_layer("held").multiplier.dtype == "float32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit": 0.0}, "`limit`"),
        ({"limit": 1.0, "rate": 0.0}, "`rate`"),
        ({"limit": 1.0, "norm": abs}, r"`norm`\. Expected a Keras regulariser"),
    ],
)
def test_bad_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        ks.layers.NormConstraint(layers.Dense(1), **arguments)


@pytest.mark.tensorflow
@pytest.mark.parametrize("replicas", [1, 2])
def test_a_step_that_the_loss_scale_skips_moves_nothing(data, replicas, two_replicas):
    x, y = data
    with two_replicas.scope() if replicas == 2 else nullcontext():
        model = make_model(limit=0.1, dtype="mixed_float16")
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05))
        model.compile(optimizer, "mse")
    model.fit(x, y, batch_size=64, verbose=0)
    before, kernel = numbers(model), kernel_of(model)
    assert before[1] > 0
    model.fit(1e7 * x, y, batch_size=64, epochs=2, verbose=0)  # which overflows
    np.testing.assert_array_equal(kernel_of(model), kernel)
    assert numbers(model) == before
    model.fit(x, y, batch_size=64, verbose=0)
    assert numbers(model)[1] == pytest.approx(before[1] + 0.05 * (before[0] - 0.1), rel=1e-3)


def test_a_constraint_of_the_layers_own_holds_too(data):
    x, y = data
    kernel = {"kernel_constraint": keras.constraints.NonNeg()}
    layer = ks.layers.NormConstraint(layers.Dense(1, **kernel), 0.1, name="held")
    model = keras.Sequential([keras.Input((5,)), layer])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    train(model, x, y, steps=20)
    assert kernel_of(model).min() == 0
    assert numbers(model)[1] > 0
