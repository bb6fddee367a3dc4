"""Every method but DropMax, which has its own tests, trained in a Classifier in every way."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import ops
from problems import CLASSES, make_model, random_operations

import keras_softmaxes as ks
import keras_softmaxes.layers.masked as masked_layers

STEPS = 8  # 256 examples in batches of 32


def make_lsoftmax():
    schedule = keras.optimizers.schedules.InverseTimeDecay(10.0, 1, 0.5)
    return ks.layers.LSoftmax(CLASSES, margin=2, annealing=schedule), ks.losses.LSoftmaxLoss()


def make_gaussian_mixture():
    return ks.layers.GaussianMixture(CLASSES), ks.losses.GaussianMixtureLoss()


def make_class_dropout():
    return ks.layers.ClassDropout(CLASSES, retain=0.6), ks.losses.MaskedCrossentropy()


def make_class_sampling():
    return ks.layers.ClassSampling(CLASSES, fraction=0.5), ks.losses.MaskedCrossentropy()


def make_deterministic_dropmax():
    return ks.layers.ClassAttention(CLASSES), ks.losses.AttentionCrossentropy(supervised=True)


def make_hinge():
    return keras.layers.Dense(CLASSES), ks.losses.MeanMulticlassHinge()


def make_sparsemax():
    return keras.layers.Dense(CLASSES), ks.losses.SparsemaxLoss()


ALL_HEADS = [
    make_lsoftmax,
    make_gaussian_mixture,
    make_class_dropout,
    make_class_sampling,
    make_deterministic_dropmax,
]
METHODS = pytest.mark.parametrize("make", [*ALL_HEADS, make_hinge, make_sparsemax])
HEADS = pytest.mark.parametrize("make", ALL_HEADS)


@pytest.fixture
def fixed_draws(monkeypatch):
    """The masks are the same for every example, on every replica."""

    def draw(shape, dtype, generator):
        return ops.broadcast_to(ops.convert_to_tensor([0.9, 0.2, 0.5, 0.7], dtype), shape)

    monkeypatch.setattr(masked_layers, "draw_uniform", draw)


def is_at_step(model, steps):
    """Of the heads here LSoftmax alone counts its steps."""
    head = model.layers[-1]
    return not isinstance(head, ks.layers.LSoftmax) or int(head.training_step.numpy()) == steps


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
    assert history["val_accuracy"][-1] > 0.6  # chance is 0.25
    assert is_at_step(model, 3 * STEPS)


@pytest.mark.tensorflow
@METHODS
def test_a_step_on_two_replicas_is_the_step_on_one(problem, make, two_replicas, fixed_draws):
    x, y = problem

    def after_two_steps(strategy):
        keras.utils.set_random_seed(2)
        with strategy.scope() if strategy else nullcontext():
            model = make_model(*make(), optimizer="sgd")
        model.fit(x, y, batch_size=128, shuffle=False, verbose=0)
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
def test_it_is_saved_with_its_counter_and_resumes(problem, make, tmp_path, fixed_draws):
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


def test_evaluation_and_prediction_do_not_count(problem):
    x, y = problem
    model = make_model(*make_lsoftmax())
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    assert is_at_step(model, 0)


@pytest.mark.tensorflow
@HEADS
def test_the_export_serves_any_batch_and_draws_nothing(problem, make, tmp_path):
    import tensorflow as tf

    x, y = problem
    model = make_model(*make())
    model.fit(x, y, verbose=0)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    for count in (1, 256):
        expected = model.predict(x[:count], verbose=0)
        np.testing.assert_allclose(served.serve(x[:count]).numpy(), expected, atol=1e-6)
    assert not random_operations(served)
