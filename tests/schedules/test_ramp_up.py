import json

import keras
import numpy as np
import pytest

import keras_softmaxes as ks


def test_it_is_half_a_gaussian_and_then_constant():
    schedule = ks.schedules.GaussianRampUp(maximum=3.0, steps=40)
    steps = np.array([0, 1, 20, 39, 40, 41, 10_000])
    share = np.minimum(steps / 40, 1)
    ours = [float(schedule(step)) for step in steps]
    np.testing.assert_allclose(ours, 3 * np.exp(-5 * (1 - share) ** 2), rtol=1e-6)


def test_config_round_trip():
    schedule = ks.schedules.GaussianRampUp(2.5, 7, name="ramp")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert again.get_config() == {"maximum": 2.5, "steps": 7, "name": "ramp"}
    numbers = ks.schedules.GaussianRampUp(np.float32(2.5), np.int64(7), name="ramp")
    assert json.loads(json.dumps(numbers.get_config())) == again.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((-1.0, 5), "`maximum`"), ((1.0, 0), "`steps`"), ((1.0, 2.5), "`steps`")],
)
def test_bad_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        ks.schedules.GaussianRampUp(*arguments)
