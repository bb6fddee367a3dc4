import keras
import numpy as np
import pytest
import target_gradient
from problems import make_model, make_problem

pytestmark = pytest.mark.tensorflow


def followed(model, x, y, **settings):
    callback = target_gradient.TargetGradient(x, y, **settings)
    callback.set_model(model)
    return callback


def test_of_softmax_it_is_one_less_the_targets_probability():
    x, y = make_problem()
    network = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    network.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    probabilities = np.asarray(keras.ops.softmax(network(x)))
    expected = np.mean(1 - probabilities[np.arange(len(y)), y])
    assert followed(network, x, y).measure() == pytest.approx(expected, rel=1e-5)


def test_it_is_logged_for_any_head_and_changes_no_training():
    x, y = make_problem()
    weights, logs = [], []
    for is_followed in (False, True):
        keras.utils.set_random_seed(0)
        model = make_model()
        callback = target_gradient.TargetGradient(x, y, every=2)
        callbacks = [callback] * is_followed
        history = model.fit(x, y, epochs=3, verbose=0, callbacks=callbacks).history
        weights.append(model.get_weights())
        logs.append(history)
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert callback.points["epoch"] == [1, 2]
    assert logs[1]["target_gradient"] == callback.points["target_gradient"]
    assert "target_gradient" not in logs[0]
    assert 0 < callback.points["target_gradient"][1] < 1
