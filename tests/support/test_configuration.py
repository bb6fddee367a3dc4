import keras
import pytest

from keras_softmaxes.support._configuration import serializable


@serializable
class Scale(keras.layers.Layer):
    """Its configuration is its signature."""

    def __init__(self, factor, *, offset=0.0, initializer="zeros", **kwargs):
        super().__init__(**kwargs)
        self.factor, self.offset = factor, offset
        self.initializer = keras.initializers.get(initializer)


@serializable
class Power(Scale):
    """A constructor of its own, above that of another."""

    def __init__(self, exponent=2, **kwargs):
        super().__init__(factor=3.0, **kwargs)
        self.exponent = exponent

    @classmethod
    def from_config(cls, config):
        config.pop("factor")  # which the constructor does not take
        return cls(**config)


@serializable
class Same(Scale):
    """No constructor of its own."""


@serializable
class Own(keras.layers.Layer):
    """A configuration of its own."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.kept = size

    def get_config(self):
        return {"size": self.kept}


class Plain:
    """No configuration above it."""

    def __init__(self, *numbers, size=1, **others):
        self.size = size


def restored(thing):
    return keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(thing))


def test_the_configuration_is_the_constructors():
    config = Scale(2.0, offset=1.0, name="scale").get_config()
    assert (config["factor"], config["offset"], config["name"]) == (2.0, 1.0, "scale")
    assert set(config) - set(keras.layers.Layer().get_config()) == {
        "factor",
        "offset",
        "initializer",
    }


def test_objects_of_keras_are_restored():
    again = restored(Scale(2.0, initializer=keras.initializers.RandomUniform(-3.0, 3.0)))
    assert (type(again), again.factor) == (Scale, 2.0)
    assert again.initializer.get_config()["minval"] == -3.0


def test_a_subclass_adds_its_own_arguments():
    again = restored(Power(5, offset=7.0))
    assert (type(again), again.exponent, again.factor, again.offset) == (Power, 5, 3.0, 7.0)
    again = restored(Same(2.0))
    assert (type(again), again.factor) == (Same, 2.0)


def test_a_configuration_of_its_own_is_kept():
    assert Own(3).get_config() == {"size": 3}
    assert restored(Own(3)).kept == 3


def test_a_class_without_one_above_has_its_own_arguments_alone():
    assert serializable(Plain)(1, 2, size=5, other=0).get_config() == {"size": 5}


def test_the_class_is_registered_and_stays_itself():
    assert keras.saving.get_registered_object("keras_softmaxes>Scale") is Scale
    assert Scale.__name__ == "Scale"


def test_an_argument_without_an_attribute_is_an_error():
    @serializable
    class Forgetful(keras.layers.Layer):
        def __init__(self, size):
            super().__init__()

    with pytest.raises(AttributeError, match="size"):
        Forgetful(3).get_config()
