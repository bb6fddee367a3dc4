"""The mixin in every kind of model."""

import keras
import numpy as np
import pytest
from cut_models import CutSequential, Hooked, compiled_cut, make_cut_model
from keras import layers, ops
from problems import CLASSES

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
P = ks.perturbations


def test_a_sequential_model_trains_as_the_functional_one(problem, fixed_draws):
    x, y = problem
    functional = make_cut_model(optimizer="sgd")
    sequential = CutSequential(
        [
            keras.Input((8,)),
            layers.Dense(16, activation="relu"),
            ks.layers.AdversarialDropout(0.5, 0.2),
            layers.Dense(CLASSES),
        ]
    )
    compiled_cut(sequential, optimizer="sgd")
    sequential.set_weights(functional.get_weights())
    for model in (functional, sequential):
        model.fit(x, y, shuffle=False, verbose=0)
    for one, other in zip(functional.get_weights(), sequential.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_subclassed_model_trains_as_the_functional_one(problem, fixed_draws, tmp_path):
    x, y = problem
    functional = make_cut_model(optimizer="sgd")
    subclassed = compiled_cut(Hooked(), optimizer="sgd")
    subclassed(x)
    subclassed.set_weights(functional.get_weights())
    for model in (functional, subclassed):
        model.fit(x, y, shuffle=False, epochs=2, verbose=0)
    for one, other in zip(functional.get_weights(), subclassed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    subclassed.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.predict(x, verbose=0), functional.predict(x, verbose=0), atol=1e-5
    )


class Stateful(Hooked):
    """Its hooks call layers in Keras's own style, without passing `training` on."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.below, self.above = (layers.BatchNormalization() for _ in range(2))

    def under(self, inputs, training=None):
        self.add_loss(ops.convert_to_tensor(0.5))
        return self.below(self.hidden(inputs))

    def upper(self, features, training=None):
        return self.above(self.logits(features))


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_what_hooks_call_knows_that_it_trains(problem, run_eagerly):
    x, y = problem
    perturbations = [P.VirtualAdversarialDropout(), P.VirtualAdversarialTraining(0.1)]
    sgd = keras.optimizers.SGD(0.0)
    model = compiled_cut(Stateful(), perturbations, optimizer=sgd, run_eagerly=run_eagerly)
    losses = [float(model.train_on_batch(x, y)[0]) for _ in range(3)]
    for layer in (model.below, model.above):
        assert layer.moving_mean.numpy().any()
    assert np.ptp(losses) < 0.4  # masks differ; the added loss is not gathered
    assert len(model.losses) == 1
