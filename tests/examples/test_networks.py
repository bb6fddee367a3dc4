import keras
import methods
import networks
import numpy as np
import pytest


def test_lenet_is_the_authors_network():
    model = methods.build("softmax", networks.lenet, (28, 28, 1), 10)
    assert model.count_params() == 520 + 25_050 + 400_500 + 5_010


def test_weight_decay_acts_on_every_variable_but_the_two_branches():
    decay = 0.3
    model = methods.build(
        "dropmax", lambda x: networks.lenet(x, decay), (28, 28, 1), 10, **networks.decayed(decay)
    )
    decayed = [
        v for v in model.trainable_variables if not {"retain", "shift"} & set(v.path.split("/"))
    ]
    assert len(decayed) == len(model.trainable_variables) - 4
    expected = decay / 2 * sum((keras.ops.convert_to_numpy(v) ** 2).sum() for v in decayed)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("method", methods.METHODS)
def test_every_method_serves_probabilities(method):
    model = methods.build(method, networks.small_convnet, (8, 8, 1), 10)
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
    served = methods.serving(model).predict(x, verbose=0)
    np.testing.assert_allclose(served.sum(axis=1), 1, atol=1e-5)
    outputs = model.predict(x, verbose=0)
    np.testing.assert_array_equal(served.argmax(axis=1), outputs.argmax(axis=1))
