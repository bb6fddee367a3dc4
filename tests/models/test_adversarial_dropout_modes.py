"""The mixin's step, in every way a model trains."""

import keras
import numpy as np
import pytest
from cut_models import PERTURBATIONS, make_cut_model
from keras import layers
from problems import CLASSES, random_operations

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
P = ks.perturbations

EVERYTHING = ["sadd", "vadd_quadratic", "pi", "fgsm", "vat"]


@pytest.mark.parametrize("arguments", [{}, {"jit_compile": True}, {"run_eagerly": True}])
def test_all_perturbations_together_learn(problem, arguments):
    x, y = problem
    together = [PERTURBATIONS[name]()[0] for name in EVERYTHING]
    model = make_cut_model(together, noisy=True, **arguments)
    epochs = 3 if "run_eagerly" in arguments else 15
    history = model.fit(x, y, epochs=epochs, validation_data=(x, y), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["val_loss"][-1] < history["val_loss"][0]
    if "run_eagerly" not in arguments:
        assert history["val_accuracy"][-1] > 0.6  # chance is 0.25


HEADS = {
    "dropmax": (lambda: ks.layers.DropMax(CLASSES), ks.losses.DropMaxLoss),
    "lsoftmax": (lambda: ks.layers.LSoftmax(CLASSES, margin=2), ks.losses.LSoftmaxLoss),
    "class_dropout": (
        lambda: ks.layers.ClassDropout(CLASSES, retain=0.6),
        ks.losses.MaskedCrossentropy,
    ),
    "large_margin": (lambda: layers.Dense(CLASSES), ks.losses.LargeMarginCrossentropy),
}


@pytest.mark.parametrize("name", HEADS)
def test_it_composes_with_every_head(problem, name, tmp_path):
    import tensorflow as tf

    x, y = problem
    head, loss = HEADS[name]
    perturbations = [P.SupervisedAdversarialDropout(0.5), P.VirtualAdversarialDropout()]
    model = make_cut_model(perturbations, head=head(), loss=loss())
    history = model.fit(x, y, epochs=12, validation_data=(x, y), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["val_accuracy"][-1] > 0.6
    if hasattr(model.layers[-1], "training_step"):
        assert int(model.layers[-1].training_step.numpy()) == 12 * 8
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve(x).numpy(), model.predict(x, verbose=0), atol=1e-5)
    assert not random_operations(served)


def test_it_learns_on_two_replicas_with_compiled_kernels(problem, two_replicas):
    x, y = problem
    with two_replicas.scope():
        model = make_cut_model(
            [P.SupervisedAdversarialDropout(), P.VirtualAdversarialTraining(0.3)],
            noisy=True,
            loss=ks.losses.LargeMarginCrossentropy(),
        )
    history = model.fit(x, y, epochs=12, validation_data=(x, y), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["val_accuracy"][-1] > 0.6


@pytest.mark.parametrize("arguments", [{"steps_per_execution": 4}, {"optimizer": "accumulating"}])
def test_several_steps_at_once_and_accumulated_gradients(problem, arguments, fixed_draws):
    x, y = problem
    if "optimizer" in arguments:
        arguments = {"optimizer": keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)}
        batches, same = (32, 64), {"optimizer": keras.optimizers.SGD(0.1)}
    else:
        arguments = {**arguments, "optimizer": keras.optimizers.SGD(0.1)}
        batches, same = (32, 32), {"optimizer": keras.optimizers.SGD(0.1)}
    weights = []
    for settings, batch_size in ((arguments, batches[0]), (same, batches[1])):
        keras.utils.set_random_seed(0)
        model = make_cut_model(PERTURBATIONS["vadd"](), **settings)
        model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", ["sadd", "vadd", "vat", "fgsm"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_takes_nearly_the_same_step(problem, name, policy, fixed_draws):
    x, y = problem

    def moved(policy):
        keras.config.set_dtype_policy(policy)
        try:
            keras.utils.set_random_seed(3)
            model = make_cut_model(PERTURBATIONS[name](), optimizer=keras.optimizers.SGD(1.0))
        finally:
            keras.config.set_dtype_policy("float32")
        before = model.get_weights()
        model.train_on_batch(x, y)
        steps = [a - b for a, b in zip(model.get_weights(), before, strict=True)]
        return np.concatenate([step.ravel() for step in steps])

    ours, expected = moved(policy), moved("float32")
    assert np.linalg.norm(expected) > 0.01
    cosine = ours @ expected / np.linalg.norm(ours) / np.linalg.norm(expected)
    assert cosine > (0.99 if policy == "mixed_float16" else 0.95)
    assert np.linalg.norm(ours) == pytest.approx(np.linalg.norm(expected), rel=0.1)


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
        rows = {"inputs": x, "index": np.arange(256)}
        history = model.fit(rows, y, epochs=2, verbose=0).history
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    assert history["loss"][1] < history["loss"][0]
