"""Several labels an example: PairedGSoftmax with PairedCrossentropy in a Classifier."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import ops
from problems import random_operations
from scipy.special import expit, log_expit
from scipy.stats import norm

import keras_softmaxes as ks

FORMS = pytest.mark.parametrize("form", ["sigmoids", "softmax"])


@pytest.fixture
def problem():
    """Each of the first four features is positive where its label is present."""
    x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
    return x, (x[:, :4] > 0).astype("int32")


def make_model(form="sigmoids", **arguments):
    inputs = keras.Input((8,))
    model = ks.models.Classifier(inputs, ks.layers.PairedGSoftmax(4, form=form)(inputs))
    defaults = {
        "optimizer": keras.optimizers.Adam(0.05),
        "loss": ks.losses.PairedCrossentropy(),
        "metrics": ["binary_accuracy"],
    }
    model.compile(**{**defaults, **arguments})
    return model


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@FORMS
@pytest.mark.parametrize("scale", [0.0, 0.7])
def test_the_head_is_the_papers_formula(form, scale):
    """With scale 0 the first form's loss is Eq. 15 of the two branches."""
    head = ks.layers.PairedGSoftmax(3, scale, mean=0.2, stddev=[0.5, 1.0, 2.0], form=form)
    features = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    labels = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    outputs = head(features)
    positive, negative = (
        x + scale * norm.cdf(x, 0.2, [0.5, 1.0, 2.0])
        for x in (features @ numpy(b.kernel) for b in (head.logits, head.other_logits))
    )
    expected = expit(positive - negative)
    if form == "softmax":
        losses = -np.where(labels == 1, np.log(expected), np.log(1 - expected)).sum(axis=1)
    else:
        losses = -np.where(labels == 1, log_expit(positive), log_expit(negative)).sum(axis=1)
    np.testing.assert_allclose(numpy(outputs["probabilities"]), expected, atol=1e-6)
    ours = ks.losses.PairedCrossentropy(reduction=None)(labels, outputs["evidence"])
    np.testing.assert_allclose(numpy(ours), losses, rtol=1e-5)


@FORMS
@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_learns_and_its_parameters_move(problem, form, jit_compile):
    x, y = problem
    if keras.backend.backend() == "jax" and not jit_compile:
        pytest.skip("JAX compiles every step")
    model = make_model(form, jit_compile=jit_compile)
    history = model.fit(x, y, epochs=10, validation_data=(x, y), verbose=0).history
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert history["val_binary_accuracy"][-1] > 0.85
    head = model.layers[-1]
    for gaussians in (head.positive, head.negative):
        assert (numpy(gaussians.mean) != 0).all()
        assert (numpy(gaussians.stddev) != 1).all()


@pytest.mark.parametrize("wrap", [lambda loss: loss, lambda loss: [loss]])
def test_evaluation_is_the_likelihood_of_the_labels(problem, wrap):
    x, y = problem
    model = make_model(loss=wrap(ks.losses.PairedCrossentropy()))
    probabilities = model.predict(x, verbose=0)
    expected = -np.log(np.where(y == 1, probabilities, 1 - probabilities)).sum(axis=1)
    weights = np.linspace(0, 2, len(x))
    loss = model.evaluate(x, y, sample_weight=weights, batch_size=256, verbose=0)[0]
    assert loss == pytest.approx((weights * expected).mean(), rel=1e-5)


@pytest.mark.tensorflow
def test_a_step_on_two_replicas_is_the_step_on_one(problem, two_replicas):
    x, y = problem

    def after_two_steps(strategy):
        keras.utils.set_random_seed(2)
        with strategy.scope() if strategy else nullcontext():
            model = make_model(optimizer="sgd")
        model.fit(x, y, batch_size=128, shuffle=False, verbose=0)
        return model.get_weights()

    for one, other in zip(after_two_steps(two_replicas), after_two_steps(None), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_adapt_takes_the_moments_of_both_branches(problem):
    x, _ = problem
    head = ks.layers.PairedGSoftmax(4)
    head.adapt(x)
    for branch, gaussians in ((head.logits, head.positive), (head.other_logits, head.negative)):
        logits = x @ numpy(branch.kernel)
        np.testing.assert_allclose(numpy(gaussians.mean), logits.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(numpy(gaussians.stddev), logits.std(axis=0), rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_adapt_is_exact_in_mixed_precision(policy):
    x = np.random.default_rng(0).normal(20, 1, size=(4000, 2)).astype("float32")
    head = ks.layers.PairedGSoftmax(3, kernel_initializer="ones", dtype=policy)
    head.adapt(x)
    np.testing.assert_allclose(numpy(head.positive.mean), x.sum(axis=1).mean(), rtol=0.01)
    np.testing.assert_allclose(numpy(head.positive.stddev), x.sum(axis=1).std(), rtol=0.01)


@FORMS
def test_it_is_saved_and_resumes(problem, form, tmp_path):
    x, y = problem
    model = make_model(form)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
    losses = [each.fit(x, y, shuffle=False, verbose=0).history["loss"] for each in (model, again)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.tensorflow
def test_the_export_serves_the_probabilities_of_any_batch(problem, tmp_path):
    import tensorflow as tf

    x, y = problem
    model = make_model()
    model.fit(x, y, verbose=0)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    for count in (1, 256):
        expected = model.predict(x[:count], verbose=0)
        np.testing.assert_allclose(served.serve(x[:count]).numpy(), expected, atol=1e-6)
    assert not random_operations(served)


@pytest.mark.tensorflow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_it_trains_in_mixed_precision(problem, policy):
    x, y = problem
    keras.config.set_dtype_policy(policy)
    try:
        model = make_model()
    finally:
        keras.config.set_dtype_policy("float32")
    history = model.fit(x, y, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]


def test_other_labels_and_forms_are_refused(problem):
    x, y = problem
    with pytest.raises(ValueError, match=r"form.*'sigmoids' or 'softmax'.*'pair'"):
        ks.layers.PairedGSoftmax(4, form="pair")
    outputs = ks.layers.PairedGSoftmax(4)(x)
    with pytest.raises(ValueError, match=r"labels.*a 1 for each label.*0.5"):
        ks.losses.PairedCrossentropy()(y * 0.5, outputs["evidence"])
    with pytest.raises(ValueError, match=r"labels.*\(256, 4\).*\(256,\)"):
        ks.losses.PairedCrossentropy()(y[:, 0], outputs["evidence"])
    with pytest.raises(ValueError, match=r"y_pred.*PairedGSoftmax.*\(batch, 2, classes\)"):
        ks.losses.PairedCrossentropy()(y, outputs["probabilities"])
