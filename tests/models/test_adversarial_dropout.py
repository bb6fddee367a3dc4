"""The mixin's step, in its mathematics."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
from cut_models import PERTURBATIONS, CutModel, compiled_cut, cross_entropy, make_cut_model, softmax
from keras import layers, ops
from problems import CLASSES

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
P = ks.perturbations
ALL = pytest.mark.parametrize("make", PERTURBATIONS.values(), ids=PERTURBATIONS)


@ALL
def test_it_learns_and_xla_takes_the_same_step(problem, make, shared_draws):
    x, y = problem
    weights = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(4)
        model = make_cut_model(make(), jit_compile=jit_compile, optimizer="sgd")
        before = model.evaluate(x, y, verbose=0)[0]
        for _ in range(2):
            model.train_on_batch(x, y)
        weights.append(model.get_weights())
        assert model.evaluate(x, y, verbose=0)[0] < before
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@ALL
def test_a_step_on_two_replicas_is_the_step_on_one(problem, make, two_replicas, shared_draws):
    x, y = problem
    weight = np.random.default_rng(2).uniform(size=len(y))

    def after_two_steps(strategy):
        keras.utils.set_random_seed(2)
        with strategy.scope() if strategy else nullcontext():
            model = make_cut_model(make(), optimizer="sgd")
        history = model.fit(
            x, y, sample_weight=weight, batch_size=128, shuffle=False, verbose=0
        ).history
        return model.get_weights(), history["loss"]

    ours, our_loss = after_two_steps(two_replicas)
    expected, expected_loss = after_two_steps(None)
    assert our_loss == pytest.approx(expected_loss, rel=1e-5)
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("divergence", ["kl", "quadratic"])
def test_a_step_of_vadd_is_the_one_computed_by_hand(problem, fixed_draws, divergence):
    """Masks, Jacobian, divergence and gradients in NumPy; only D's derivatives are differences."""
    x, y = problem[0][:32].astype("float64"), problem[1][:32]
    model = make_cut_model(
        [P.VirtualAdversarialDropout(0.7, divergence)], optimizer=keras.optimizers.SGD(0.1)
    )
    start = [weight.astype("float64") for weight in model.get_weights()]
    mask = (np.random.default_rng(0).uniform(size=16) >= 0.5) * 1.0

    def compare(p, q):
        if divergence == "kl":
            return (p * (np.log(p) - np.log(q))).sum(axis=-1)
        return ((p - q) ** 2).sum(axis=-1)

    def features(weights):
        return np.maximum(x @ weights[0] + weights[1], 0)

    def predicted(weights, hidden):
        return softmax(hidden @ weights[2] + weights[3])

    hidden = features(start)
    clean = predicted(start, 2 * hidden * mask)
    jacobian = np.zeros_like(hidden)
    for unit in range(16):
        shift = 1e-6 * np.eye(16)[unit]
        ahead, behind = (compare(clean, predicted(start, hidden + s)) for s in (shift, -shift))
        jacobian[:, unit] = hidden[:, unit] * (ahead - behind) / 2e-6
    adversarial = np.tile(mask, (32, 1))
    for row in range(32):
        gain = np.where(mask > 0, -jacobian[row], jacobian[row])
        for unit in np.argsort(-gain, kind="stable")[:3]:  # floor(0.2 * 16)
            if gain[unit] > 0:
                adversarial[row, unit] = 1 - mask[unit]

    def objective(weights):
        p = predicted(weights, 2 * features(weights) * mask)
        q = predicted(weights, 2 * features(weights) * adversarial)
        return -np.log(p[np.arange(32), y]).mean() + 0.7 * compare(p, q).mean()

    expected = []
    for index, weight in enumerate(start):
        gradient = np.zeros_like(weight)
        for position in np.ndindex(weight.shape):
            values = []
            for sign in (1, -1):
                moved = [w.copy() for w in start]
                moved[index][position] += sign * 1e-6
                values.append(objective(moved))
            gradient[position] = (values[0] - values[1]) / 2e-6
        expected.append(weight - 0.1 * gradient)

    history = model.fit(x, y, batch_size=32, verbose=0).history
    assert history["loss"] == pytest.approx([objective(start)], rel=1e-5)
    assert (adversarial != mask).any()
    for one, other in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


@ALL
def test_statistics_move_once_a_step_and_by_the_clean_pass(problem, make):
    x, y = problem

    def after_a_step(perturbations):
        keras.utils.set_random_seed(0)
        model = make_cut_model(perturbations, noisy=True)
        model.train_on_batch(x, y)
        return [variable.numpy() for variable in model.non_trainable_variables]

    plain = make_cut_model([], noisy=True)
    moving = [i for i, v in enumerate(plain.non_trainable_variables) if "moving" in v.name]
    assert len(moving) == 4
    ours, expected = after_a_step(make()), after_a_step([])
    for index in moving:
        np.testing.assert_allclose(ours[index], expected[index], rtol=1e-6)


def test_seeds_move_by_the_draws_of_one_pass(problem):
    x, y = problem
    states = []
    for perturbations in ([], [P.VirtualAdversarialDropout(), P.SupervisedAdversarialDropout()]):
        keras.utils.set_random_seed(0)
        model = make_cut_model(perturbations, noisy=True)
        model.train_on_batch(x, y)
        seeds = [v.numpy() for v in model.variables if "seed" in v.path]
        states.append(seeds)
    assert len(states[0]) == 2
    np.testing.assert_array_equal(*states)


def test_vadd_sees_the_noise_of_the_clean_pass_and_pi_does_not(problem):
    x, y = problem
    plain, vadd, pi = (
        make_cut_model(perturbations, noisy=True, budget=0.0, rate=1e-9)
        for perturbations in ([], [P.VirtualAdversarialDropout(1e3)], [P.PiModel(1e3)])
    )
    losses, start = [], plain.get_weights()
    for model in (plain, vadd, pi):
        model.set_weights(start)
        for layer in model.layers:
            if isinstance(layer, layers.Dropout):
                layer.seed_generator.state.assign([1, 2])
        losses.append(float(model.train_on_batch(x, y)[0]))
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)
    assert losses[2] > losses[0] + 1


def test_the_step_goes_on_from_new_noise(problem):
    """Each step draws new masks, at the cut and above it."""
    x, y = problem
    model = make_cut_model(PERTURBATIONS["vadd"](), noisy=True, optimizer=keras.optimizers.SGD(0.0))
    losses = [float(model.train_on_batch(x, y)[0]) for _ in range(3)]
    assert len(set(losses)) == 3


def test_penalties_of_weights_and_added_losses_count_once(problem):
    x, y = problem

    class Constant(keras.layers.Layer):
        def call(self, features):
            self.add_loss(ops.convert_to_tensor(0.37))
            return features

    inputs = keras.Input((8,))
    hidden = Constant()(layers.Dense(16, activation="relu")(inputs))
    hidden = Constant()(ks.layers.AdversarialDropout(1e-9, budget=0.0)(hidden))
    outputs = layers.Dense(CLASSES, kernel_regularizer=keras.regularizers.L2(0.1))(hidden)
    model = compiled_cut(
        CutModel(inputs, outputs),
        [P.SupervisedAdversarialDropout(3.0), P.AdversarialTraining(1e-9)],
        optimizer=keras.optimizers.SGD(0.0),
    )
    data_loss = float(model.loss(y, model(x)))
    l2 = 0.1 * float(np.sum(model.layers[-1].kernel.numpy() ** 2))
    expected = 5 * data_loss + l2 + 2 * 0.37
    assert [float(model.train_on_batch(x, y)[0]) for _ in range(2)] == pytest.approx(
        2 * [expected], rel=1e-5
    )


def test_without_perturbations_it_is_keras_training(problem, fixed_draws):
    x, y = problem
    model = make_cut_model([], optimizer="sgd")
    plain = keras.Model(model.inputs, model.outputs)
    plain = keras.models.clone_model(plain)
    plain.set_weights(model.get_weights())
    plain.compile("sgd", cross_entropy(), weighted_metrics=["accuracy"])
    ours, expected = (
        each.fit(x, y, shuffle=False, epochs=2, verbose=0).history for each in (model, plain)
    )
    assert ours["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    assert ours["accuracy"] == expected["accuracy"]
    assert model.evaluate(x, y, verbose=0) == plain.evaluate(x, y, verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain.predict(x, verbose=0))


def test_the_default_is_virtual_adversarial_dropout(problem, fixed_draws):
    x, y = problem
    losses = []
    for perturbations in (None, [P.VirtualAdversarialDropout()], []):
        keras.utils.set_random_seed(0)
        model = make_cut_model(perturbations)
        losses.append(float(model.train_on_batch(x, y)[0]))
    assert losses[0] == losses[1] != losses[2]
