"""The mixin's step, in every way a model trains."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
from cut_models import CutModel, Hooked, compiled_cut, cross_entropy, make_cut_model, softmax
from keras import layers, ops
from problems import CLASSES, random_operations

import keras_softmaxes as ks
import keras_softmaxes.layers.adversarial_dropout as cut_layer
from keras_softmaxes.perturbations.step import Step

pytestmark = pytest.mark.tensorflow
P = ks.perturbations

KINDS = {
    "sadd": lambda: [P.SupervisedAdversarialDropout()],
    "vadd": lambda: [P.VirtualAdversarialDropout()],
    "vadd_quadratic": lambda: [P.VirtualAdversarialDropout(3.0, "quadratic")],
    "pi": lambda: [P.PiModel(1.0)],
    "fgsm": lambda: [P.AdversarialTraining(0.1)],
    "vat": lambda: [P.VirtualAdversarialTraining(0.5)],
}
ALL = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def fixed_normal(step):
    row = np.random.default_rng(1).normal(size=8)
    return ops.broadcast_to(ops.convert_to_tensor(row, "float32"), ops.shape(step.inputs))


@pytest.fixture
def fixed_draws(monkeypatch):
    """The mask is the same for every example, in every step; so is VAT's first direction."""

    def uniform(shape, dtype, generator):
        row = np.random.default_rng(0).uniform(size=16)
        return ops.broadcast_to(ops.convert_to_tensor(row, dtype), shape)

    monkeypatch.setattr(cut_layer, "draw_uniform", uniform)
    monkeypatch.setattr(Step, "draw_normal", fixed_normal)


@pytest.fixture
def shared_draws(monkeypatch):
    """Each draw of a mask is another one, the same for every example on every replica."""

    def uniform(shape, dtype, generator):
        counter = ops.cast(generator.next(), "float64")[1]
        row = 1e4 * ops.sin((counter + 1.7) * ops.arange(1, 17, dtype="float64"))
        return ops.broadcast_to(ops.cast(row - ops.floor(row), dtype), shape)

    monkeypatch.setattr(cut_layer, "draw_uniform", uniform)
    monkeypatch.setattr(Step, "draw_normal", fixed_normal)


EVERYTHING = ["sadd", "vadd_quadratic", "pi", "fgsm", "vat"]


@pytest.mark.parametrize("arguments", [{}, {"jit_compile": True}, {"run_eagerly": True}])
def test_all_perturbations_together_learn(problem, arguments):
    x, y = problem
    together = [KINDS[name]()[0] for name in EVERYTHING]
    model = make_cut_model(together, noisy=True, **arguments)
    epochs = 3 if "run_eagerly" in arguments else 15
    history = model.fit(x, y, epochs=epochs, validation_data=(x, y), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["val_loss"][-1] < history["val_loss"][0]
    if "run_eagerly" not in arguments:
        assert history["val_accuracy"][-1] > 0.6  # chance is 0.25


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
    model = make_cut_model(KINDS["vadd"](), noisy=True, optimizer=keras.optimizers.SGD(0.0))
    losses = [float(model.train_on_batch(x, y)[0]) for _ in range(3)]
    assert len(set(losses)) == 3


@pytest.mark.parametrize("name", ["sadd", "vadd", "vat", "fgsm"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_takes_nearly_the_same_step(problem, name, policy, fixed_draws):
    x, y = problem

    def moved(policy):
        keras.config.set_dtype_policy(policy)
        try:
            keras.utils.set_random_seed(3)
            model = make_cut_model(KINDS[name](), optimizer=keras.optimizers.SGD(1.0))
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
        model = make_cut_model(KINDS["vadd"](), **settings)
        model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


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


def test_a_subclassed_model_that_was_only_fitted_is_saved(problem, tmp_path):
    x, y = problem
    model = compiled_cut(Hooked())
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


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


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_masks_of_padding_are_refused(kind):
    """Keras computes them from the inputs, around the cut."""
    sequence = [
        keras.Input((4,)),
        layers.Embedding(5, 16, mask_zero=True),
        ks.layers.AdversarialDropout(0.5, 0.2),
        layers.GlobalAveragePooling1D(),
        layers.Dense(CLASSES),
    ]
    model = CutSequential(sequence)
    if kind == "functional":
        model = CutModel(model.inputs[0], model.outputs[0])
    with pytest.raises(ValueError, match="mask of padding"):
        compiled_cut(model).train_on_batch(np.array([[1, 2, 0, 0], [3, 0, 0, 0]]), np.array([0, 1]))


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


def test_its_settings_are_saved_and_training_resumes(problem, tmp_path, fixed_draws):
    x, y = problem
    ramp = ks.schedules.GaussianRampUp(2.0, 100)
    model = make_cut_model(
        [
            P.VirtualAdversarialDropout(ramp, "quadratic"),
            P.VirtualAdversarialTraining(0.5, 0.3, power_steps=2),
            P.SupervisedAdversarialDropout(),
        ]
    )
    model.fit(x, y, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_compile_config() == model.get_compile_config()
    losses = [each.fit(x, y, shuffle=False, verbose=0).history["loss"] for each in (model, again)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_model_that_was_not_compiled_is_saved(problem, tmp_path):
    x, _ = problem
    make_cut_model().save(tmp_path / "compiled.keras")
    model = keras.saving.load_model(tmp_path / "compiled.keras", compile=False)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert not again.compiled
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


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


class CutSequential(ks.models.AdversarialDropoutMixin, keras.Sequential):
    """A sequential model."""


def functional(cuts=1, skip=False, nested=False, twice=False):
    inputs = keras.Input((8,))
    x = hidden = layers.Dense(16)(inputs)
    for _ in range(cuts):
        x = ks.layers.AdversarialDropout()(x)
    if nested:
        inner = keras.Sequential([keras.Input((16,)), ks.layers.AdversarialDropout()])
        x = inner(x)
    x = layers.Dense(16)(x)
    outputs = layers.Dense(CLASSES)(x + hidden if skip else x)
    return CutModel(inputs, [outputs, outputs] if twice else outputs)


class OneHook(ks.models.AdversarialDropoutMixin, keras.Model):
    def under(self, inputs, training=None):
        return inputs


class NoHook(ks.models.AdversarialDropoutMixin, keras.Model):
    def __init__(self):
        super().__init__()
        self.cut = ks.layers.AdversarialDropout()

    def call(self, inputs):
        return self.cut(inputs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: functional(cuts=0), "`model`. Expected exactly one .*CutModel with 0 of them"),
        (lambda: functional(cuts=2), "CutModel with 2 of them"),
        (lambda: functional(cuts=0, nested=True), "inside a nested model does not count"),
        (lambda: functional(skip=True), "cuts in two: every path from the inputs to the output"),
        (lambda: functional(twice=True), r"`model`\. Expected one output"),
        (OneHook, "overrides both hooks, `under` and `upper`"),
        (NoHook, "a functional model, or a subclass that overrides the hooks"),
    ],
)
def test_models_without_a_clean_cut_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        compiled_cut(make())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"perturbations": P.PiModel()}, "`perturbations`. Expected a list of"),
        ({"perturbations": ["vadd"]}, "`perturbations`. Expected a list of"),
        ({"loss": ["mse"]}, "`loss`. Expected a single loss"),
        ({"loss": "mse"}, "`loss`. Expected a loss of classes, .*mse.*divergence='quadratic'"),
        (
            {"loss": "mse", "perturbations": [P.VirtualAdversarialTraining(1.0)]},
            "`loss`. Expected a loss of classes",
        ),
    ],
)
def test_settings_that_cannot_train_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_cut_model(**arguments)


def test_the_wrong_order_of_bases_is_refused():
    with pytest.raises(TypeError, match=r"`AdversarialDropoutMixin` before `keras\.Model`"):

        class Wrong(keras.Model, ks.models.AdversarialDropoutMixin):
            pass


def test_a_refused_compilation_leaves_the_model_as_it_was(problem):
    model = make_cut_model([P.PiModel()])
    with pytest.raises(ValueError, match="`perturbations`"):
        compiled_cut(model, ["pi"], loss="mse")
    assert isinstance(model.loss, keras.losses.SparseCategoricalCrossentropy)


def test_data_without_labels_are_refused(problem):
    x, _ = problem
    model = make_cut_model([P.SupervisedAdversarialDropout()])
    with pytest.raises(ValueError, match=r"`y`. Expected labels, of any class where the row has"):
        model.fit(x, verbose=0)
