"""Each perturbation's term, and the adversary behind it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cut_models import CutModel, compiled_cut, make_cut_model, softmax
from keras import ops

import keras_softmaxes as ks
import keras_softmaxes.perturbations.step as step_module
from keras_softmaxes.perturbations.step import Step

pytestmark = pytest.mark.tensorflow
P = ks.perturbations


def begin(model, x, y=None, weight=None):
    x = ops.convert_to_tensor(x)
    return Step.begin(model, model.cut_parts, (x, None, y, weight), watch=True)


def test_the_masks_of_vadd_differ_within_the_budget(problem):
    x, y = problem
    model = make_cut_model(budget=0.2)
    step = begin(model, x, y)
    clean = ops.stop_gradient(step.outputs)
    vadd = P.VirtualAdversarialDropout()
    mask = step.adversarial_mask(lambda outputs: ops.sum(vadd.compare(step, clean, outputs)))
    flips = np.abs(mask - step.clean.mask).sum(axis=1)
    assert (flips == 3).mean() > 0.9  # floor(0.2 * 16), with a candidate for each
    assert flips.max() == 3
    assert float(vadd.term(step)) > 1e-3


def test_masks_of_ones_will_do_for_sadd_and_not_for_vadd(problem):
    x, y = problem
    step = begin(make_cut_model([], rate=0.0, budget=1.0), x, y)
    assert float(P.SupervisedAdversarialDropout().term(step)) > float(
        step.supervised_loss(step.outputs)
    )
    with pytest.raises(ValueError, match=r"`rate`. Expected a rate above 0 at the cut"):
        make_cut_model(rate=0.0)


def test_pi_draws_two_masks(problem):
    x, y = problem
    step = begin(make_cut_model(), x, y)
    others = step.outputs_under_other_noise()
    assert (np.abs(others - step.outputs).max(axis=1) > 1e-3).mean() > 0.95
    expected = np.square(softmax(others.numpy()) - softmax(step.outputs.numpy())).sum(axis=1)
    keras.utils.set_random_seed(0)
    one, two = (float(P.PiModel().term(begin(make_cut_model(), x, y))) for _ in range(2))
    assert one > 0
    assert one != two
    assert one == pytest.approx(expected.mean(), rel=0.5)


def test_sadd_nearly_always_raises_the_loss_of_a_trained_model(problem):
    x, y = problem
    model = make_cut_model([], budget=0.2)
    model.fit(x, y, epochs=15, verbose=0)
    wins = []
    for rows in np.split(np.arange(256), 16):
        step = begin(model, x[rows], y[rows])
        mask = step.adversarial_mask(step.magnified_loss)
        loss = step.supervised_loss(step.outputs_under(mask))
        wins.append(float(loss) >= float(step.supervised_loss(step.outputs)))
    assert np.mean(wins) > 0.9


def test_sadd_leaves_rows_of_no_weight_alone(problem):
    x, y = problem
    weight = np.where(np.arange(256) % 4, 0.0, 4.0).astype("float32")
    step = begin(make_cut_model(budget=0.2), x, y, weight)
    mask = step.adversarial_mask(step.magnified_loss)
    flips = np.abs(mask - step.clean.mask).sum(axis=1)
    assert (flips[weight == 0] == 0).all()
    assert (flips[weight > 0] > 0).all()


def test_fgsm_moves_every_entry_by_epsilon_against_the_label(problem):
    x, y = problem
    model = make_cut_model([], rate=0.0)
    step = begin(model, x, y)
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        loss = model.loss(y, model(inputs))
    moved = x + 0.1 * np.sign(tape.gradient(loss, inputs))
    expected = float(model.loss(y, model(moved)))
    assert float(P.AdversarialTraining(0.1).term(step)) == pytest.approx(expected, rel=1e-5)
    assert expected > float(loss)


def hessian_direction(model, x, start, steps):
    """Power steps with the Hessian of KL(f(x) || f(x + r)) at r = 0 itself, in float64."""
    hidden_kernel, hidden_bias, kernel, bias = (w.astype("float64") for w in model.get_weights())
    directions = []
    for row, direction in zip(x.astype("float64"), start.astype("float64"), strict=True):
        hidden = np.tanh(row @ hidden_kernel + hidden_bias)
        p = softmax(hidden @ kernel + bias)
        jacobian = (hidden_kernel * (1 - hidden**2)) @ kernel  # (inputs, classes)
        hessian = jacobian @ (np.diag(p) - np.outer(p, p)) @ jacobian.T
        for _ in range(steps):
            direction = hessian @ direction
            direction /= np.linalg.norm(direction)
        directions.append(direction)
    return np.array(directions)


@pytest.mark.parametrize("power_steps", [1, 3])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("confidence", [1.0, 20.0])
def test_vat_moves_along_the_hessian_with_the_right_length(
    problem, monkeypatch, power_steps, policy, confidence
):
    """Also where the predictions are so sure that differences of probabilities would vanish."""
    x, y = problem[0][:64], problem[1][:64]
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((8,))
        hidden = keras.layers.Dense(16, activation="tanh")(inputs)
        hidden = ks.layers.AdversarialDropout(0.0, name="cut")(hidden)
        model = CutModel(inputs, keras.layers.Dense(4)(hidden))
    finally:
        keras.config.set_dtype_policy("float32")
    compiled_cut(model, [])
    kernel, bias, last, last_bias = model.get_weights()
    model.set_weights([kernel / 3, bias, last * confidence, last_bias])

    start = np.random.default_rng(0).normal(size=x.shape).astype("float32")
    monkeypatch.setattr(Step, "draw_normal", lambda step: ops.convert_to_tensor(start))
    asked = []
    outputs_at = Step.outputs_at
    monkeypatch.setattr(
        Step, "outputs_at", lambda step, z: asked.append(np.asarray(z)) or outputs_at(step, z)
    )
    P.VirtualAdversarialTraining(0.1, power_steps=power_steps).term(begin(model, x, y))
    assert len(asked) == power_steps + 1
    moved = asked[-1] - x
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 0.1, rtol=1e-3)
    expected = hessian_direction(model, x, start, power_steps)
    cosines = (moved * expected).sum(axis=1) / 0.1
    assert np.median(np.abs(cosines)) > (0.99 if policy == "float32" else 0.95)
    assert (np.abs(cosines) > 0.9).mean() > (0.9 if policy == "float32" else 0.8)


def test_the_terms_are_finite_and_have_finite_gradients_for_extreme_logits(problem):
    x, y = problem
    for scale in (1e4, 1e-6):
        model = make_cut_model()
        weights = model.get_weights()
        model.set_weights([*weights[:2], scale * weights[2], weights[3]])
        for make in (
            P.SupervisedAdversarialDropout,
            P.VirtualAdversarialDropout,
            lambda: P.VirtualAdversarialDropout(divergence="quadratic"),
            lambda: P.PiModel(divergence="kl"),
            lambda: P.AdversarialTraining(0.1),
            lambda: P.VirtualAdversarialTraining(0.1),
        ):
            with tf.GradientTape() as tape:
                value = make().term(begin(model, x, y))
            assert np.isfinite(float(value))
            for gradient in tape.gradient(value, model.trainable_variables):
                assert gradient is None or np.isfinite(gradient.numpy()).all()


def test_weights_follow_their_schedule(problem):
    x, y = problem
    ramp = ks.schedules.GaussianRampUp(2.0, 10)
    model = make_cut_model([])
    for iteration in (0, 5, 10):
        model.optimizer.iterations.assign(iteration)
        step = begin(model, x, y)
        perturbation = P.VirtualAdversarialDropout(ramp)
        expected = float(ramp(iteration)) * float(perturbation.term(step))
        assert float(perturbation.weighted_term(step)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("inputs", [np.ones((4, 8), "int32"), {"a": np.ones((4, 8), "float32")}])
def test_inputs_without_a_gradient_are_refused(problem, inputs):
    model = make_cut_model([P.VirtualAdversarialTraining(1.0)])
    inputs = keras.tree.map_structure(ops.convert_to_tensor, inputs)
    with pytest.raises(ValueError, match=r"`x`. Expected one tensor of a float type"):
        step_module.Step.begin(model, model.cut_parts, (inputs, None, None, None), True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: P.VirtualAdversarialDropout(-1.0), "`weight`. Expected a finite number of at"),
        (lambda: P.PiModel(lambda step: 1.0), r"or a schedule \(`GaussianRampUp\(1.0, 1000\)`\)"),
        (lambda: P.PiModel(divergence="hellinger"), '`divergence`. Expected "kl" or "quadratic"'),
        (lambda: P.AdversarialTraining(0.0), "`epsilon`. Expected a finite number above 0"),
        (lambda: P.VirtualAdversarialTraining(1.0, power_steps=0), "`power_steps`"),
        (lambda: P.TemporalEnsembling(momentum=1.0), "`momentum`"),
        (lambda: P.TemporalEnsembling(examples=0), "`examples`"),
        (lambda: P.TemporalEnsembling(classes=0), "`classes`"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
