import keras
import numpy as np
import pytest
from keras import layers, ops
from problems import random_operations

import keras_softmaxes as ks
from keras_softmaxes.layers import _weight_noise

MAKERS = {
    "dense": (lambda: layers.Dense(3), (5,)),
    "convolution": (lambda: layers.Conv1D(3, 2), (5, 2)),
    "recurrent": (lambda: layers.LSTM(3, dropout=0.2), (4, 5)),
    "separable": (lambda: layers.SeparableConv1D(3, 2), (5, 2)),
}
EVERY_LAYER = pytest.mark.parametrize("name", MAKERS)


def numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def make(name="dense", stddev=0.5):
    layer, shape = MAKERS[name]
    return ks.layers.WeightNoise(layer(), stddev), shape


def rows(shape, count=16):
    return np.random.default_rng(0).normal(size=(count, *shape)).astype("float32")


def model_of(noisy, shape, **arguments):
    flat = layers.Flatten()(noisy(inputs := keras.Input(shape)))
    model = keras.Model(inputs, layers.Dense(1)(flat))
    model.compile(**{"optimizer": keras.optimizers.SGD(0.1), "loss": "mse", **arguments})
    return model


@pytest.fixture
def fixed_noise(monkeypatch):
    def draw(shape, dtype, generator):
        noise = np.random.default_rng(1).normal(size=tuple(shape))
        return ops.convert_to_tensor(noise, dtype=dtype)

    monkeypatch.setattr(_weight_noise, "draw_normal", draw)


@EVERY_LAYER
def test_at_inference_it_is_the_layer(name):
    noisy, shape = make(name)
    x = rows(shape)
    np.testing.assert_array_equal(numpy(noisy(x)), numpy(noisy.layer(x)))


def test_in_training_the_kernels_have_noise_of_the_deviation():
    noisy = ks.layers.WeightNoise(layers.Dense(400, use_bias=False), stddev=0.3)
    eye = np.eye(50, dtype="float32")  # whose outputs are the kernel
    first, second = (numpy(noisy(eye, training=True)) for _ in range(2))
    noise = first - numpy(noisy.layer.kernel)
    assert noise.std() == pytest.approx(0.3, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert (first != second).all()
    np.testing.assert_array_equal(numpy(noisy(eye)), numpy(noisy.layer.kernel))


def test_a_bias_has_no_noise():
    noisy = ks.layers.WeightNoise(layers.Dense(4, bias_initializer="ones"), stddev=0.3)
    np.testing.assert_array_equal(numpy(noisy(np.zeros((2, 5), "float32"), training=True)), 1)


def test_the_gradient_is_that_at_the_noisy_kernel(fixed_noise):
    """For the squared error of a linear layer: dW = 2 x^T (x W' - y) / count."""
    noisy = ks.layers.WeightNoise(layers.Dense(1, use_bias=False), stddev=0.5)
    model = keras.Sequential([keras.Input((5,)), noisy])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = rows((5,)), rows((1,))
    (kernel,) = model.get_weights()
    at = kernel + 0.5 * np.random.default_rng(1).normal(size=(5, 1))
    model.train_on_batch(x, y)
    expected = kernel - 0.1 * 2 * x.T @ (x @ at - y) / len(x)
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5)


@EVERY_LAYER
def test_the_variables_never_hold_noise(name):
    noisy, shape = make(name, stddev=100.0)
    model = model_of(noisy, shape, optimizer=keras.optimizers.SGD(0.0))
    before = model.get_weights()
    model.fit(rows(shape), rows((1,)), epochs=2, verbose=0)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_frozen_variables_never_hold_noise_either(policy):
    dense = layers.Dense(3, dtype=policy, bias_initializer=keras.initializers.Constant(0.1234567))
    noisy = ks.layers.WeightNoise(dense, 10.0, dtype=policy)
    noisy.trainable = False
    x = rows((5,))
    noisy(x)
    before = [ops.convert_to_numpy(v) for v in dense.variables]
    outputs = numpy(noisy(x, training=True))
    assert np.abs(outputs - numpy(noisy(x))).max() > 1
    for one, other in zip(dense.variables, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(one), other)


def test_layers_of_one_name_have_noise_and_kernels_of_their_own():
    @keras.saving.register_keras_serializable("tests")
    class Towers(layers.Layer):
        def build(self, shape):
            inputs = [keras.Input((5,)) for _ in range(2)]
            self.towers = [keras.Model(i, layers.Dense(2, name="fc")(i)) for i in inputs]

        def call(self, x):
            return ops.concatenate([tower(x) for tower in self.towers], axis=-1)

    noisy = ks.layers.WeightNoise(Towers(), 0.0)
    x = rows((5,))
    np.testing.assert_allclose(numpy(noisy(x, training=True)), numpy(noisy(x)), atol=1e-6)
    assert len(noisy.trainable_variables) == 4


def test_the_layers_own_state_and_losses_go_on():
    dropout = layers.LSTM(3, dropout=0.5, activity_regularizer=keras.regularizers.L2(1.0))
    noisy = ks.layers.WeightNoise(dropout, 0.1)
    x = rows((4, 5))
    outputs = noisy(x, training=True)
    plain = layers.Activation("linear", activity_regularizer=keras.regularizers.L2(1.0))
    plain(outputs)
    assert float(sum(noisy.losses)) == pytest.approx(float(sum(plain.losses)), rel=1e-4)
    seeds = [numpy(v).tolist() for v in noisy.layer.variables if "seed" in v.path]
    noisy(x, training=True)
    assert seeds != [numpy(v).tolist() for v in noisy.layer.variables if "seed" in v.path]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "jit_compile"), [("dense", False), ("dense", True), ("recurrent", "auto")]
)
def test_it_learns(name, jit_compile):
    noisy, shape = make(name, stddev=0.05)
    x = rows(shape, 128)
    y = x.reshape(128, -1)[:, :1]
    model = model_of(noisy, shape, jit_compile=jit_compile, optimizer=keras.optimizers.Adam(0.02))
    losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2


def test_the_penalty_of_linear_regression_is_the_mean_square_of_the_inputs():
    """E over the noise of the loss: the clean one plus stddev^2 E ||x||^2."""
    noisy = ks.layers.WeightNoise(layers.Dense(1), stddev=0.2)
    x, y = rows((5,), 200), rows((1,), 200)
    noisy.build((None, 5))
    clean = np.mean((numpy(noisy(x)) - y) ** 2)
    losses = [np.mean((numpy(noisy(x, training=True)) - y) ** 2) for _ in range(500)]
    expected = clean + 0.2**2 * np.mean((x**2).sum(axis=1))
    assert np.mean(losses) == pytest.approx(expected, abs=5 * float(np.std(losses)) / 500**0.5)


@pytest.mark.tensorflow
def test_the_export_is_free_of_noise(tmp_path):
    import tensorflow as tf

    noisy, shape = make()
    model = model_of(noisy, shape)
    model.fit(rows(shape), rows((1,)), verbose=0)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    x = rows(shape)
    np.testing.assert_allclose(served.serve(x).numpy(), model.predict(x, verbose=0), atol=1e-6)
    assert not random_operations(served)


def test_bad_arguments_raise():
    with pytest.raises(ValueError, match="`stddev`"):
        ks.layers.WeightNoise(layers.Dense(3), -0.1)
    with pytest.raises(ValueError, match=r"`layer`\. Expected a layer with a kernel"):
        ks.layers.WeightNoise(layers.BatchNormalization(), 0.1)(np.ones((2, 3), "float32"))
