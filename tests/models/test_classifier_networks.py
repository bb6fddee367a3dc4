"""Every kind of network in a Classifier: trained, saved, loaded and served."""

import keras
import numpy as np
import pytest
from keras import ops
from problems import CLASSES, compiled, make_model, sequential

import keras_softmaxes as ks


def dense():
    return keras.layers.Dense(16, activation="relu")


def functional():
    inputs = keras.Input((8,))
    return keras.Model(inputs, dense()(inputs))


def lazy():
    """It has no inputs before it is called."""
    return keras.Sequential([dense()])


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = dense()

    def call(self, inputs):
        return self.hidden(inputs)


@keras.saving.register_keras_serializable("tests")
class WithDropout(Subclassed):
    """A network whose layers need to be told that this is training."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.normalization = keras.layers.BatchNormalization()

    def call(self, inputs, training=None):
        return self.normalization(self.hidden(inputs), training=training)


def nested():
    inputs = keras.Input((8,))
    return keras.Model(inputs, keras.Sequential([functional(), keras.layers.Dense(16)])(inputs))


NETWORKS = {
    "functional": functional,
    "sequential": sequential,
    "lazy sequential": lazy,
    "subclassed": Subclassed,
    "subclassed with training": WithDropout,
    "nested": nested,
    "a layer": dense,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS)
def test_any_network_is_trained_saved_loaded_and_served(problem, kind, tmp_path):
    x, y = problem
    model = make_model(network=NETWORKS[kind]())
    history = model.fit(x, y, epochs=4, validation_data=(x, y), verbose=0).history
    assert history["val_accuracy"][-1] > 0.8
    expected = model.predict(x, verbose=0)
    outputs = model.head(model.network(x))
    np.testing.assert_allclose(ops.convert_to_numpy(outputs["probabilities"]), expected, atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model) is ks.models.Classifier
    assert type(again.network) is type(model.network)
    np.testing.assert_allclose(again.predict(x, verbose=0), expected, atol=1e-6)
    losses = [each.evaluate(x, y, verbose=0) for each in (model, again)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for name, each in (("model", model), ("again", again)):
            each.export(tmp_path / name, verbose=False)
            served = tf.saved_model.load(tmp_path / name)
            for count in (1, 256):
                ours = served.serve(x[:count]).numpy()
                np.testing.assert_allclose(ours, expected[:count], atol=1e-6)


@pytest.mark.slow
def test_a_network_is_told_that_this_is_training(problem):
    """Batch normalisation's statistics move in training, and nowhere else."""
    x, y = problem
    model = make_model(network=WithDropout())
    model.predict(x, verbose=0)
    moments = model.network.normalization.non_trainable_variables
    before = [ops.convert_to_numpy(each) for each in moments]
    model.evaluate(x, y, verbose=0)
    for one, other in zip(before, moments, strict=True):
        np.testing.assert_array_equal(one, ops.convert_to_numpy(other))
    model.fit(x, y, verbose=0)
    for one, other in zip(before, moments, strict=True):
        assert (one != ops.convert_to_numpy(other)).all()


@pytest.mark.slow
def test_a_trained_network_stays_the_users_own(problem):
    """What the classifier learns is in the network that it was given, and the other way round."""
    x, y = problem
    network = sequential()
    model = make_model(network=network)
    before = ops.convert_to_numpy(network.layers[0].kernel)
    model.fit(x, y, verbose=0)
    assert (ops.convert_to_numpy(network.layers[0].kernel) != before).any()
    network.trainable = False
    assert len(model.trainable_variables) == len(model.head.trainable_variables)


@keras.saving.register_keras_serializable("tests")
class Scaled(ks.models.Classifier):
    """A subclass with an argument of its own, a `call` of its own and another method."""

    def __init__(self, network, head, scale=1.0, **kwargs):
        super().__init__(network, head, **kwargs)
        self.scale = scale

    def call(self, inputs, training=None):
        return super().call(self.scale * inputs, training=training)

    def predict_twice(self, x):
        return 2 * self.predict(x, verbose=0)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@pytest.mark.slow
def test_a_subclass_with_an_argument_of_its_own_is_saved_and_loaded(problem, tmp_path):
    x, y = problem
    model = compiled(Scaled(sequential(), ks.layers.DropMax(CLASSES), 3.0, name="scaled"))
    model.fit(x, y, verbose=0)
    expected = model.predict(x, verbose=0)
    plain = model.head(model.network(3 * x))["probabilities"]
    np.testing.assert_allclose(ops.convert_to_numpy(plain), expected, atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is Scaled
    assert (again.scale, again.name) == (3.0, "scaled")
    np.testing.assert_allclose(again.predict_twice(x), 2 * expected, atol=1e-6)
    losses = [each.fit(x, y, shuffle=False, verbose=0).history["loss"] for each in (model, again)]
    assert np.isfinite(losses).all()
