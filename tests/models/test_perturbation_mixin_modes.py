"""The mixin's step, in every way a model trains."""

import keras
import numpy as np
import pytest
from cut_models import PERTURBATIONS, indexed, make_cut_model
from problems import CLASSES, random_operations

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
P = ks.perturbations


def sgd(rate=0.1, **arguments):
    return keras.optimizers.SGD(rate, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [{}, {"jit_compile": True}, {"run_eagerly": True}])
def test_all_perturbations_together_learn(problem, arguments):
    x, y = problem
    together = [make(name=name) for name, make in PERTURBATIONS.items()]
    model = make_cut_model(together, noisy=True, **arguments)
    epochs = 3 if "run_eagerly" in arguments else 15
    history = model.fit(indexed(x), y, epochs=epochs, validation_data=(x, y), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["val_loss"][-1] < history["val_loss"][0]
    if "run_eagerly" not in arguments:
        assert history["val_accuracy"][-1] > 0.6  # chance is 0.25


HEADS = {
    "dropmax": lambda: ks.layers.DropMax(CLASSES),
    "lsoftmax": lambda: ks.layers.LSoftmax(CLASSES, margin=2),
    "class_dropout": lambda: ks.layers.ClassDropout(CLASSES, retain=0.6),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_it_composes_with_heads(problem, name, tmp_path):
    import tensorflow as tf

    x, y = problem
    perturbations = [P.SupervisedAdversarialDropout(0.5), P.VirtualAdversarialDropout()]
    model = make_cut_model(perturbations, head=HEADS[name]())
    history = model.fit(x, y, epochs=12, validation_data=(x, y), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["val_accuracy"][-1] > 0.6
    if name == "lsoftmax":
        assert int(model.head.training_step.numpy()) == 12 * 8
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve(x).numpy(), model.predict(x, verbose=0), atol=1e-5)
    assert not random_operations(served)


@pytest.mark.slow
def test_it_learns_on_two_replicas_with_compiled_kernels(problem, two_replicas):
    x, y = problem
    with two_replicas.scope():
        model = make_cut_model(
            [P.SupervisedAdversarialDropout(), P.VirtualAdversarialTraining(0.3)],
            noisy=True,
            loss=ks.losses.LargeMarginCrossentropy(),
        )
    history = model.fit(x, y, epochs=5, validation_data=(x, y), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["val_accuracy"][-1] > 0.6


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("arguments", "batch_size"),
    [
        ({"optimizer": lambda: sgd(), "steps_per_execution": 4}, 32),
        ({"optimizer": lambda: sgd(gradient_accumulation_steps=2)}, 16),
    ],
    ids=["several steps at once", "accumulated gradients"],
)
def test_several_steps_at_once_and_accumulated_gradients(
    problem, arguments, batch_size, fixed_draws
):
    x, y = problem
    weights = []
    for settings, rows in ((arguments, batch_size), ({"optimizer": sgd}, 32)):
        keras.utils.set_random_seed(0)
        settings = {**settings, "optimizer": settings["optimizer"]()}
        model = make_cut_model([P.VirtualAdversarialDropout()], **settings)
        model.fit(x, y, batch_size=rows, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("wide", ["layers", "everything"])
def test_it_trains_in_float64(problem, wide, fixed_draws):
    x, y = problem
    keras.config.set_dtype_policy("float64")
    if wide == "everything":
        keras.config.set_floatx("float64")
    try:
        ramp = ks.schedules.GaussianRampUp(1.0, 10)
        perturbations = [
            P.VirtualAdversarialDropout(ramp),
            P.VirtualAdversarialTraining(0.1),
            P.TemporalEnsembling(examples=256),
        ]
        model = make_cut_model(perturbations)
        history = model.fit(indexed(x), y, epochs=2, verbose=0).history
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    assert history["loss"][1] < history["loss"][0]
