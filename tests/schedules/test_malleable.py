import keras
import numpy as np
import pytest

import keras_softmaxes as ks


def rates(steps, **arguments):
    schedule = ks.schedules.MalleableLearningRate(
        **{
            "initial_learning_rate": 0.1,
            "boundaries": [1000, 1100],
            "exponents": [0, -8, -9],
            **arguments,
        }
    )
    return np.array([float(schedule(step)) for step in steps])


def test_its_logarithm_is_piecewise_linear_and_then_constant():
    steps = np.array([0, 1, 250, 999, 1000, 1001, 1050, 1100, 5000])
    exponents = np.interp(steps, [0, 1000, 1100], [0, -8, -9])
    np.testing.assert_allclose(rates(steps), 0.1 * np.exp(exponents), rtol=1e-5)


def test_numpy_arrays_are_kept_as_numbers():
    arguments = {"boundaries": np.array([1000, 1100]), "exponents": np.array([0, -8, -9])}
    np.testing.assert_array_equal(rates([500], **arguments), rates([500]))
    schedule = ks.schedules.MalleableLearningRate(np.float32(0.5), **arguments)
    assert schedule.get_config()["boundaries"] == [1000, 1100]
    assert all(type(number) is float for number in schedule.get_config()["exponents"])


def test_one_piece_is_the_logspace_rate():
    geometric = 0.1 * np.geomspace(1, 1e-2, 11)
    ours = rates(range(11), boundaries=[10], exponents=[0, np.log(1e-2)])
    np.testing.assert_allclose(ours, geometric, rtol=1e-5)


def test_an_optimizer_follows_it_and_it_is_saved(tmp_path):
    schedule = ks.schedules.MalleableLearningRate(0.1, [2], [0.0, np.log(0.25)])
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(schedule), "mean_absolute_error")
    model.layers[0].set_weights([np.array([[5.0]])])
    model.fit(np.ones((3, 1)), np.zeros((3, 1)), batch_size=1, verbose=0)
    # Each step moves the weight by its rate: 0.1, 0.05, 0.025.
    assert model.layers[0].get_weights()[0].item() == pytest.approx(5 - 0.175, rel=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert float(again.optimizer.learning_rate) == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"initial_learning_rate": 0}, "initial_learning_rate.*above 0"),
        ({"boundaries": []}, "boundaries.*ascending"),
        ({"boundaries": [10, 10]}, r"boundaries.*ascending.*\[10, 10\]"),
        ({"boundaries": [0, 10]}, "boundaries.*above 0"),
        ({"exponents": [0, -8]}, r"exponents.*3 numbers.*\[0, -8\]"),
        ({"exponents": [0, -8, float("nan")]}, "exponents.*finite"),
    ],
)
def test_bad_arguments_raise(arguments, match):
    with pytest.raises(ValueError, match=match):
        rates([0], **arguments)
