"""The heads of the large-margin rivals, trained in a Classifier in every way."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
from problems import CLASSES, make_model

from keras_softmaxes.layers import GaussianMixture, LSoftmax
from keras_softmaxes.losses import GaussianMixtureLoss, LSoftmaxLoss, MeanMulticlassHinge

STEPS = 8  # 256 examples in batches of 32


def make_lsoftmax():
    schedule = keras.optimizers.schedules.InverseTimeDecay(10.0, 1, 0.5)
    return LSoftmax(CLASSES, margin=2, annealing=schedule), LSoftmaxLoss()


def make_gaussian_mixture():
    return GaussianMixture(CLASSES), GaussianMixtureLoss()


def make_hinge():
    return keras.layers.Dense(CLASSES), MeanMulticlassHinge()


METHODS = pytest.mark.parametrize("make", [make_lsoftmax, make_gaussian_mixture, make_hinge])
HEADS = pytest.mark.parametrize("make", [make_lsoftmax, make_gaussian_mixture])


def is_at_step(model, steps):
    """Of the heads here LSoftmax alone counts its steps."""
    head = model.layers[-1]
    return not isinstance(head, LSoftmax) or int(head.training_step.numpy()) == steps


@METHODS
@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_learns(problem, make, jit_compile):
    x, y = problem
    if keras.backend.backend() == "jax" and not jit_compile:
        pytest.skip("JAX compiles every step")
    model = make_model(*make(), jit_compile=jit_compile)
    history = model.fit(x, y, epochs=3, validation_data=(x, y), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert history["val_accuracy"][-1] > 0.8
    assert is_at_step(model, 3 * STEPS)


@pytest.mark.tensorflow
@METHODS
def test_a_step_on_two_replicas_is_the_step_on_one(problem, make, two_replicas):
    x, y = problem

    def after_two_steps(strategy):
        keras.utils.set_random_seed(2)
        with strategy.scope() if strategy else nullcontext():
            model = make_model(*make(), optimizer="sgd")
        model.fit(x, y, batch_size=128, shuffle=False, validation_data=(x, y), verbose=0)
        assert is_at_step(model, 2)
        return model.get_weights()

    for one, other in zip(after_two_steps(two_replicas), after_two_steps(None), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.tensorflow
@METHODS
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_it_trains_in_mixed_precision(problem, make, policy):
    x, y = problem
    keras.config.set_dtype_policy(policy)
    try:
        model = make_model(*make())
    finally:
        keras.config.set_dtype_policy("float32")
    history = model.fit(x, y, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][1] < history["loss"][0]


@HEADS
def test_it_is_saved_with_its_counter_and_resumes(problem, make, tmp_path):
    x, y = problem
    model = make_model(*make())
    model.fit(x, y, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
    assert is_at_step(model, STEPS)
    assert is_at_step(again, STEPS)
    losses = [each.fit(x, y, shuffle=False, verbose=0).history["loss"] for each in (model, again)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert is_at_step(model, 2 * STEPS)
    assert is_at_step(again, 2 * STEPS)


@HEADS
def test_evaluation_and_prediction_do_not_count(problem, make):
    x, y = problem
    model = make_model(*make())
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    assert is_at_step(model, 0)


@pytest.mark.tensorflow
@HEADS
def test_the_export_serves_the_probabilities_of_any_batch(problem, make, tmp_path):
    import tensorflow as tf

    x, y = problem
    model = make_model(*make())
    model.fit(x, y, verbose=0)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    for count in (1, 256):
        expected = model.predict(x[:count], verbose=0)
        np.testing.assert_allclose(served.serve(x[:count]).numpy(), expected, atol=1e-6)
