import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_softmaxes as ks


def make_model(weight=0.3, **arguments):
    inputs = [keras.Input((4,)), keras.Input((4,))]
    tied = ks.layers.ParameterTying(layers.Dense(3), layers.Dense(3), weight, name="tied")
    model = keras.Model(inputs, layers.Concatenate()(tied(inputs)))
    model.compile(keras.optimizers.SGD(0.1), "mse", **arguments)
    return model


def kernels(model):
    tied = model.get_layer("tied")
    return [ops.convert_to_numpy(layer.kernel) for layer in (tied.first, tied.second)]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(32, 4)).astype("float32") for _ in range(2)]
    return x, rng.normal(size=(32, 6)).astype("float32")


def test_the_penalty_is_the_squared_distance(data):
    x, y = data
    model = make_model()
    error = np.mean((model.predict(x, verbose=0) - y) ** 2)
    one, other = kernels(model)
    expected = error + 0.3 * np.sum((one - other) ** 2)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_it_draws_the_kernels_together_and_nothing_else(data):
    x, y = data
    distances = []
    for weight in (0.0, 1.0):
        keras.utils.set_random_seed(0)
        model = make_model(weight)
        model.fit(x, y, epochs=60, verbose=0)
        one, other = kernels(model)
        distances.append(np.sum((one - other) ** 2))
    assert distances[1] < 0.01 * distances[0]
    first, second = (model.get_layer("tied").first, model.get_layer("tied").second)
    assert np.abs(ops.convert_to_numpy(first.bias - second.bias)).max() > 0.05


@pytest.mark.parametrize(
    ("second", "inputs", "message"),
    [
        (layers.Dense(4), 2, r"`second`\. Expected a layer with kernels of shapes \[\(4, 3\)\]"),
        (layers.ReLU(), 2, r"`layer`\. Expected a layer with a kernel"),
        (layers.Dense(3), 3, r"`inputs`\. Expected a pair of inputs"),
    ],
)
def test_layers_that_cannot_be_tied_raise(second, inputs, message):
    tied = ks.layers.ParameterTying(layers.Dense(3), second, 0.1)
    with pytest.raises(ValueError, match=message):
        tied([keras.Input((4,)) for _ in range(inputs)])


def test_a_negative_weight_raises():
    with pytest.raises(ValueError, match="`weight`"):
        ks.layers.ParameterTying(layers.Dense(3), layers.Dense(3), -1.0)
