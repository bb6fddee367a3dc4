"""The mixin's step, in its mathematics."""

import keras
import numpy as np
import pytest
from cut_models import PERTURBATIONS, CutModel, compiled_cut, cross_entropy, make_cut_model, softmax
from keras import layers
from problems import CLASSES

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
P = ks.perturbations


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


@pytest.mark.slow
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
    model = make_cut_model([PERTURBATIONS["vadd"]()], noisy=True, optimizer=sgd(0.0))
    losses = [float(model.train_on_batch(x, y)[0]) for _ in range(3)]
    assert len(set(losses)) == 3


def sgd(learning_rate):
    return keras.optimizers.SGD(learning_rate)


class Constant(layers.Layer):
    """Adds a constant to the loss, and a penalty of its outputs."""

    def __init__(self):
        super().__init__(activity_regularizer=keras.regularizers.L2(0.01))

    def call(self, features):
        self.add_loss(keras.ops.convert_to_tensor(0.37))
        return features


@pytest.mark.parametrize("arguments", [{}, {"run_eagerly": True}])
def test_penalties_and_added_losses_count_once_a_step(problem, arguments):
    x, y = problem
    below, above = Constant(), Constant()
    inputs = keras.Input((8,))
    hidden = below(layers.Dense(16, activation="relu")(inputs))
    features = above(ks.layers.AdversarialDropout(1e-9, budget=0.0)(hidden))
    outputs = layers.Dense(CLASSES, kernel_regularizer=keras.regularizers.L2(0.1))(features)
    model = CutModel(inputs, outputs)
    perturbations = [P.SupervisedAdversarialDropout(3.0), P.AdversarialTraining(1e-9)]
    compiled_cut(model, perturbations, optimizer=sgd(0.0), **arguments)
    data_loss = float(model.loss(y, model(x)))
    l2 = 0.1 * float(np.sum(model.layers[-1].kernel.numpy() ** 2))
    probe = keras.Model(inputs, hidden)
    probe(x)
    activity = float(sum(probe.losses)) - 0.37
    expected = 5 * data_loss + l2 + 2 * (0.37 + activity)
    assert activity > 0.01
    for _ in range(3):
        assert float(model.train_on_batch(x, y)[0]) == pytest.approx(expected, rel=1e-5)


def test_without_perturbations_it_is_keras_training(problem, fixed_draws):
    x, y = problem
    model = make_cut_model([], optimizer="sgd")
    plain = keras.Sequential(keras.models.clone_model(model).layers)
    plain.set_weights(model.get_weights())
    plain.compile("sgd", cross_entropy(), weighted_metrics=["accuracy"])
    ours, expected = (
        each.fit(x, y, shuffle=False, epochs=2, verbose=0).history for each in (model, plain)
    )
    assert ours["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    assert ours["accuracy"] == expected["accuracy"]
    assert model.evaluate(x, y, verbose=0) == plain.evaluate(x, y, verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain.predict(x, verbose=0))


@pytest.mark.slow
def test_the_default_is_virtual_adversarial_dropout_or_none(problem, fixed_draws):
    class Perturbed(ks.models.PerturbationMixin, keras.Model):
        pass

    x, y = problem
    losses = []
    for perturbations in (None, [P.VirtualAdversarialDropout()], []):
        keras.utils.set_random_seed(0)
        model = make_cut_model(perturbations)
        losses.append(float(model.train_on_batch(x, y)[0]))
    keras.utils.set_random_seed(0)
    model = make_cut_model([])
    perturbed = compiled_cut(Perturbed(model.input, model.output))
    losses.append(float(perturbed.train_on_batch(x, y)[0]))
    assert losses[0] == losses[1] != losses[2] == losses[3]


@pytest.mark.slow
def test_compiled_again_it_tracks_the_new_terms_alone(problem):
    x, y = problem
    model = make_cut_model([P.PiModel(), P.AdversarialTraining(0.1)])
    for perturbations, names in (([P.VirtualAdversarialDropout(name="v")], {"v"}), ([], set())):
        model.train_on_batch(x, y)
        compiled_cut(model, perturbations)
        logs = model.train_on_batch(x, y, return_dict=True)
        assert logs.keys() == {"loss", "accuracy"} | names
        tracked = [each.name for each in model.metrics]
        assert len(tracked) == len(set(tracked))
        assert {"loss"} | names <= set(tracked)
        assert not {"pi_model", "adversarial_training"} & set(tracked)
