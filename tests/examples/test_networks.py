import dataclasses
import itertools

import keras
import methods
import networks
import numpy as np
import pytest

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow


def test_lenet_is_the_authors_network():
    model = methods.build(methods.METHODS["softmax"], networks.lenet, (28, 28, 1), 10)
    assert model.count_params() == 520 + 25_050 + 400_500 + 5_010


def test_weight_decay_acts_on_every_variable_but_the_two_branches():
    decay = 0.3
    model = methods.build(
        methods.METHODS["dropmax"],
        lambda x: networks.lenet(x, decay),
        (28, 28, 1),
        10,
        **networks.decayed(decay),
    )
    decayed = [
        v for v in model.trainable_variables if not {"retain", "shift"} & set(v.path.split("/"))
    ]
    assert len(decayed) == len(model.trainable_variables) - 4
    expected = decay / 2 * sum((keras.ops.convert_to_numpy(v) ** 2).sum() for v in decayed)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("method", methods.METHODS)
def test_every_method_serves_probabilities(method):
    model = methods.build(methods.METHODS[method], networks.small_convnet, (8, 8, 1), 10)
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
    activation = methods.METHODS[method].activation
    served = methods.serving(model, activation).predict(x, verbose=0)
    np.testing.assert_allclose(served.sum(axis=1), 1, atol=1e-5)
    outputs = model.predict(x, verbose=0)
    np.testing.assert_array_equal(served.argmax(axis=1), outputs.argmax(axis=1))


@pytest.mark.slow
@pytest.mark.tensorflow
def test_perturbations_train_any_head():
    """The table has none with a head, but a method may."""
    vadd = methods.METHODS["vadd"]
    method = dataclasses.replace(vadd, head=ks.layers.DropMax, loss=methods.METHODS["dropmax"].loss)
    model = methods.build(method, lambda x: keras.layers.Flatten()(x), (8, 8, 1), 10)
    assert isinstance(model, ks.models.Classifier)
    assert methods.serving(model) is model
    method.compile(model, "adam")
    x = np.random.default_rng(0).normal(size=(40, 8, 8, 1)).astype("float32")
    history = model.fit(x, np.arange(40) % 10, epochs=2, verbose=0).history
    assert min(history["virtual_adversarial_dropout"]) > 0
    assert set(history) == {"loss", "virtual_adversarial_dropout"}


@pytest.mark.tensorflow
def test_the_thirteen_layers_are_the_papers():
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, networks.thirteen_layer_convnet(inputs))
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [tuple(layer.output.shape[1:]) for layer in convolutions] == [
        *[(32, 32, 128)] * 3,
        *[(16, 16, 256)] * 3,
        (6, 6, 512),
        (6, 6, 256),
        (6, 6, 128),
    ]
    assert model.output.shape == (None, 128)
    filters = [3, *(layer.filters for layer in convolutions)]
    parameters = sum(
        9 * before * after + after + 4 * after for before, after in itertools.pairwise(filters)
    )
    assert model.count_params() == parameters
    for layer in convolutions:
        kernel = keras.ops.convert_to_numpy(layer.kernel)
        assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * layer.filters)), rel=0.05)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_thirteen_layers_learn_a_hundred_classes():
    model = methods.build(
        methods.METHODS["softmax"], networks.thirteen_layer_convnet, (32, 32, 3), 100
    )
    x = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype("float32")
    y = np.array([0, 99])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss=methods.METHODS["softmax"].loss())
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(np.log(100), abs=1)
    assert losses[-1] < losses[0] - 1


@pytest.mark.tensorflow
def test_weight_decay_acts_on_every_variable_of_the_thirteen_layers():
    decay = 0.3
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, networks.thirteen_layer_convnet(inputs, decay))
    squares = sum((keras.ops.convert_to_numpy(v) ** 2).sum() for v in model.trainable_variables)
    assert float(sum(model.losses)) == pytest.approx(decay / 2 * squares, rel=1e-5)


@pytest.mark.parametrize("side", [8, 28, 32])
def test_the_normalised_network_takes_small_images(side):
    inputs = keras.Input((side, side, 1))
    model = keras.Model(inputs, networks.batch_normalised_convnet(inputs))
    x = np.random.default_rng(0).normal(size=(64, side, side, 1)).astype("float32")
    features = keras.ops.convert_to_numpy(model(x, training=True))
    assert features.shape == (64, 256)
    deviations = features.std(axis=0)
    assert 0.4 < deviations.min() < deviations.max() < 1  # of the positive part of a normal: 0.58


def test_training_images_move_by_whole_pixels_each_on_its_own():
    inputs = keras.Input((10, 10, 1))
    model = keras.Model(inputs, networks.shifted_and_flipped(inputs, pixels=2))
    one = np.arange(1, 101, dtype="float32").reshape(10, 10, 1)
    x = np.repeat(one[None], 200, axis=0)
    np.testing.assert_array_equal(model(x, training=False), x)
    seen = {keras.ops.convert_to_numpy(moved).tobytes() for moved in model(x, training=True)}
    padded = np.pad(one, ((2, 2), (2, 2), (0, 0)))
    crops = {
        np.ascontiguousarray(padded[top : top + 10, left : left + 10][:, ::step]).tobytes()
        for top in range(5)
        for left in range(5)
        for step in (1, -1)
    }
    assert seen <= crops
    assert len(seen) > 25


def test_the_mnist_network_of_adversarial_dropout_is_the_papers():
    inputs = keras.Input((28, 28, 1))
    model = keras.Model(inputs, networks.mnist_convnet(inputs))
    assert model.output_shape == (None, 2048)
    assert model.count_params() == 9 * 32 + 32 + 9 * 32 * 64 + 64 + 9 * 64 * 128 + 128


def test_conv_large_is_the_papers():
    """Six convolutions of 3 x 3 that pad, one that does not, two of 1 x 1."""
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, networks.conv_large(inputs))
    kernels = [layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel")]
    sizes = [3, 128, 128, 128, 256, 256, 256, 512, 256, 128]
    assert [tuple(each) for each in kernels] == [
        (size, size, before, after)
        for size, before, after in zip([3] * 7 + [1, 1], sizes, sizes[1:], strict=False)
    ]
    assert model.output_shape == (None, 128)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_conv_large_learns_by_adversarial_dropout():
    method = methods.METHODS["vadd"]
    model = methods.build(method, networks.conv_large, (32, 32, 3), 10)
    method.compile(model, keras.optimizers.Adam(1e-3))
    x = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
    history = model.fit(x, np.arange(4), epochs=8, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
