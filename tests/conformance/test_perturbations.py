"""What every perturbation keeps, in every way a model trains by it."""

import csv
import inspect
import json
from contextlib import nullcontext

import keras
import numpy as np
import pytest
from cut_models import (
    PERTURBATIONS,
    CutClassifier,
    CutModel,
    CutSequential,
    compiled_cut,
    cross_entropy,
    indexed,
    make_cut_model,
)
from keras import layers
from problems import CLASSES, make_problem

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
P = ks.perturbations
EVERY = pytest.mark.parametrize("name", PERTURBATIONS)
RAMP = ks.schedules.GaussianRampUp(2.0, 10)


def concrete():
    """Return the perturbations that the package exports, bases left out."""
    kinds = [each for each in vars(P).values() if isinstance(each, type)]
    kinds = [each for each in kinds if issubclass(each, P.Perturbation)]
    return [each for each in kinds if each.term is not P.Perturbation.term]


def sgd(learning_rate=0.1):
    return keras.optimizers.SGD(learning_rate)


def trained(data, perturbations, *, seed=0, steps=2, **arguments):
    """Return a model after a few steps with all rows, in which their order has no part."""
    x, y = data
    keras.utils.set_random_seed(seed)
    model = make_cut_model(perturbations, **{"optimizer": sgd(), **arguments})
    for _ in range(steps):
        model.train_on_batch(indexed(x), y)
    return model


def assert_same_weights(one, other, atol=1e-6):
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=atol)


def test_every_perturbation_has_a_case():
    assert {type(make()) for make in PERTURBATIONS.values()} == set(concrete())


# Of each argument a value that is not its default.
ARGUMENTS = {
    "classes": 7,
    "divergence": "quadratic",
    "epsilon": 0.7,
    "examples": 9,
    "momentum": 0.3,
    "name": "mine",
    "power_steps": 3,
    "weight": 0.25,
}


def arguments_of(kind):
    return {name: ARGUMENTS[name] for name in inspect.signature(kind).parameters}


@pytest.mark.parametrize("weight", [0.25, RAMP], ids=["number", "schedule"])
@pytest.mark.parametrize("kind", concrete())
def test_its_configuration_makes_it_again(kind, weight):
    arguments = arguments_of(kind)
    perturbation = kind(**{**arguments, "weight": weight})
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(perturbation)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is kind
    assert again.get_config() == perturbation.get_config()
    del arguments["weight"]
    assert {name: getattr(again, name) for name in arguments} == arguments
    assert again.weight == weight or again.weight.get_config() == weight.get_config()


def logged(perturbations, path):
    """Return what two epochs report, a half batch at their ends, to the history and to a file."""
    x, y = make_problem()
    keras.utils.set_random_seed(0)
    arguments = {"optimizer": sgd(0.0), "run_eagerly": True}
    model = make_cut_model(perturbations, noisy=True, **arguments)
    log = keras.callbacks.CSVLogger(path)
    arguments = {"epochs": 2, "validation_data": (x, y), "callbacks": [log]}
    history = model.fit(indexed(x), y, batch_size=160, verbose=0, **arguments).history
    assert model.evaluate(x, y, verbose=0, return_dict=True).keys() == {"loss", "accuracy"}
    with open(path) as file:
        return history, list(csv.DictReader(file))


@pytest.fixture(scope="module")
def plainly_logged(tmp_path_factory):
    return logged([], tmp_path_factory.mktemp("plain") / "log.csv")[0]


@pytest.mark.slow
@EVERY
def test_its_term_is_logged_beside_the_total_and_in_training_alone(name, tmp_path, plainly_logged):
    history, rows = logged([PERTURBATIONS[name](name="mine")], tmp_path / "log.csv")
    assert history.keys() == plainly_logged.keys() | {"mine"}
    assert history["mine"][1] > 0
    supervised = np.subtract(history["loss"], history["mine"])
    assert supervised == pytest.approx(plainly_logged["loss"], abs=1e-6)
    for key in ("loss", "mine", "val_loss"):
        assert [float(row[key]) for row in rows] == pytest.approx(history[key])


@pytest.mark.slow
def test_the_loss_is_the_models_own_and_all_terms(problem):
    x, y = problem
    histories = []
    for names in (PERTURBATIONS, []):
        keras.utils.set_random_seed(0)
        together = [PERTURBATIONS[name](name=name) for name in names]
        model = make_cut_model(together, noisy=True, optimizer=sgd(0.0))
        histories.append(model.fit(indexed(x), y, epochs=2, verbose=0).history)
    ours, plain = histories
    terms = sum(np.array(ours[name]) for name in PERTURBATIONS)
    np.testing.assert_allclose(np.subtract(ours["loss"], terms), plain["loss"], atol=1e-5)


@pytest.mark.slow
@EVERY
def test_its_weight_is_a_number_or_a_schedule_of_the_optimizers_steps(problem, name):
    x, y = problem
    terms = []
    for weight in (1.0, 2.5, RAMP):
        keras.utils.set_random_seed(0)
        perturbation = PERTURBATIONS[name](weight=weight, name="mine")
        model = make_cut_model([perturbation], optimizer=sgd(0.0), run_eagerly=True)
        model.optimizer.iterations.assign(4)
        history = model.fit(indexed(x), y, batch_size=256, epochs=3, verbose=0).history
        terms.append(np.array(history["mine"]))
    one, scaled, scheduled = terms
    assert one[1] > 0
    np.testing.assert_allclose(scaled, 2.5 * one, rtol=1e-5)
    weights = [float(RAMP(step)) for step in (4, 5, 6)]
    np.testing.assert_allclose(scheduled, weights * one, rtol=1e-5)


@pytest.mark.slow
@EVERY
def test_it_is_saved_with_the_model_and_training_goes_on(problem, name, tmp_path, fixed_draws):
    x, y = problem
    model = make_cut_model([PERTURBATIONS[name](weight=RAMP)], run_eagerly=True)
    model.fit(indexed(x), y, batch_size=64, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_compile_config() == model.get_compile_config()
    ours, theirs = (
        each.fit(indexed(x), y, batch_size=64, shuffle=False, verbose=0).history
        for each in (model, again)
    )
    assert ours == theirs
    assert_same_weights(model, again, atol=0)


@pytest.mark.slow
@EVERY
def test_eager_code_a_graph_and_xla_take_the_same_steps(problem, name, shared_draws):
    eager, graph, xla = (
        trained(problem, [PERTURBATIONS[name](weight=RAMP)], seed=4, **arguments)
        for arguments in ({"run_eagerly": True}, {}, {"jit_compile": True})
    )
    assert_same_weights(eager, graph)
    assert_same_weights(xla, graph)
    keras.utils.set_random_seed(4)
    start = make_cut_model([])
    assert graph.evaluate(*problem, verbose=0)[0] < start.evaluate(*problem, verbose=0)[0]


@EVERY
def test_two_replicas_take_the_steps_of_one_device(problem, name, two_replicas, shared_draws):
    x, y = problem
    weight = np.random.default_rng(2).uniform(size=len(y))
    results = []
    for strategy in (two_replicas, None):
        keras.utils.set_random_seed(2)
        with strategy.scope() if strategy else nullcontext():
            model = make_cut_model([PERTURBATIONS[name](name="mine")], optimizer=sgd())
        history = model.fit(
            indexed(x), y, sample_weight=weight, batch_size=128, epochs=2, shuffle=False, verbose=0
        ).history
        evaluation = model.evaluate(x, y, verbose=0)
        numbers = map(float, [*history["loss"], *history["mine"], *evaluation])
        results.append((model, list(numbers)))
    (ours, numbers), (expected, expected_numbers) = results
    assert numbers == pytest.approx(expected_numbers, rel=1e-5, abs=1e-7)
    assert_same_weights(ours, expected)


@pytest.mark.thorough
@EVERY
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_takes_nearly_the_same_steps(problem, name, policy, fixed_draws):
    def moved(policy):
        keras.config.set_dtype_policy(policy)
        try:
            keras.utils.set_random_seed(3)
            start = np.concatenate([each.ravel() for each in make_cut_model([]).get_weights()])
            arguments = {"seed": 3, "optimizer": sgd(0.5), "run_eagerly": True}
            model = trained(problem, [PERTURBATIONS[name]()], **arguments)
        finally:
            keras.config.set_dtype_policy("float32")
        return np.concatenate([each.ravel() for each in model.get_weights()]) - start

    ours, expected = moved(policy), moved("float32")
    assert np.linalg.norm(expected) > 0.01
    cosine = ours @ expected / np.linalg.norm(ours) / np.linalg.norm(expected)
    assert cosine > (0.99 if policy == "mixed_float16" else 0.95)
    assert np.linalg.norm(ours) == pytest.approx(np.linalg.norm(expected), rel=0.1)


@EVERY
def test_statistics_and_seeds_move_once_a_step_and_by_the_clean_pass(problem, name):
    ours, expected = (
        trained(problem, perturbations, noisy=True, steps=1, run_eagerly=True)
        for perturbations in ([PERTURBATIONS[name]()], [])
    )
    states = [
        {each.path: each.numpy() for each in model.variables if not each.trainable}
        for model in (ours, expected)
    ]
    assert sum("moving" in path for path in states[0]) == 4
    assert sum("seed" in path for path in states[0]) == 2
    for (path, one), other in zip(states[0].items(), states[1].values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, err_msg=path)


# What needs no cut, and the models without one.
UNCUT = [name for name, make in PERTURBATIONS.items() if not make().perturbs_masks]


@keras.saving.register_keras_serializable("tests")
class Called(ks.models.AdversarialDropoutMixin, keras.Model):
    """A subclassed model of the same layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden, self.logits = dense_layers()

    def call(self, inputs):
        return self.logits(self.hidden(inputs))


def dense_layers():
    return [layers.Dense(16, activation="relu"), layers.Dense(CLASSES)]


def functional():
    inputs = keras.Input((8,))
    hidden, logits = dense_layers()
    return CutModel(inputs, logits(hidden(inputs)))


KINDS = {
    "functional": functional,
    "sequential": lambda: CutSequential([keras.Input((8,)), *dense_layers()]),
    "lazy": lambda: CutSequential(dense_layers()),
    "subclassed": Called,
    "classifier": lambda: CutClassifier(dense_layers()[0], ks.layers.DropMax(CLASSES)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", UNCUT)
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_without_a_cut_trains_as_one_whose_cut_does_nothing(
    problem, name, kind, fixed_masks, fixed_draws
):
    x, y = problem
    head = ks.layers.DropMax(CLASSES) if kind == "classifier" else None
    expected = make_cut_model([], rate=0.0, head=head)
    model = KINDS[kind]()
    model(x)
    model.set_weights(expected.get_weights())
    for each in (model, expected):
        loss = None if head else cross_entropy()
        arguments = {"loss": loss, "optimizer": sgd(), "run_eagerly": True}
        compiled_cut(each, [PERTURBATIONS[name]()], **arguments)
        each.fit(indexed(x), y, batch_size=64, epochs=2, shuffle=False, verbose=0)
    assert_same_weights(model, expected)


@pytest.mark.parametrize("name", sorted(PERTURBATIONS.keys() - UNCUT))
@pytest.mark.parametrize("kind", KINDS)
def test_perturbations_of_masks_need_a_cut(name, kind):
    loss = None if kind == "classifier" else cross_entropy()
    with pytest.raises(ValueError, match=r"`model`\. Expected exactly one .*with 0 of them"):
        compiled_cut(KINDS[kind](), [PERTURBATIONS[name]()], loss=loss)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_without_perturbations_the_step_is_that_of_keras(problem, kind, fixed_masks):
    x, y = problem
    model = KINDS[kind]()
    if kind == "classifier":
        plain = ks.models.Classifier(dense_layers()[0], ks.layers.DropMax(CLASSES))
    else:
        plain = keras.Sequential(dense_layers())
    model(x)
    plain(x)
    plain.set_weights(model.get_weights())
    results = []
    for each, perturbations in ((model, {"perturbations": []}), (plain, {})):
        loss = None if kind == "classifier" else cross_entropy()
        adam = keras.optimizers.Adam(0.01)
        each.compile(adam, loss, weighted_metrics=["accuracy"], **perturbations)
        keras.utils.set_random_seed(1)  # which orders the rows
        history = each.fit(x, y, epochs=2, validation_data=(x, y), verbose=0).history
        results.append({**history, "evaluated": each.evaluate(x, y, verbose=0)})
    ours, expected = results
    assert ours.keys() == expected.keys()
    for name, values in ours.items():
        assert values == pytest.approx(expected[name], rel=1e-6)
    assert_same_weights(model, plain, atol=1e-7)


def test_names_tell_the_terms_apart():
    names = [kind(**{**arguments_of(kind), "name": None}).name for kind in concrete()]
    assert len(set(names)) == len(concrete())
    one_name = [PERTURBATIONS[each](name="a") for each in ("pi", "fgsm")]
    for alike in ([P.PiModel(), P.PiModel(weight=2.0)], one_name):
        with pytest.raises(ValueError, match=r"`perturbations`\. Expected .*different names"):
            make_cut_model(alike)


@pytest.mark.parametrize("name", ["loss", "", 3])
@pytest.mark.parametrize("kind", concrete())
def test_a_name_that_is_the_totals_or_none_raises(kind, name):
    with pytest.raises(ValueError, match=r"`name`\. Expected a name for the term, other than"):
        kind(**{**arguments_of(kind), "name": name})


def model_of(cuts):
    """Return a model of some cuts."""
    inputs = x = keras.Input((8,))
    for _ in range(cuts):
        x = ks.layers.AdversarialDropout(0.5, 0.2)(layers.Dense(16)(x))
    return CutModel(inputs, layers.Dense(CLASSES)(x))


BAD_COMPILES = {
    "no perturbation": (1, lambda: ["vadd"], None, "`perturbations`. Expected a list of"),
    "one alone": (1, lambda: P.PiModel(), None, "`perturbations`. Expected a list of"),
    "one name": (1, lambda: 2 * [P.PiModel()], None, "perturbations of different names"),
    "no classes": (1, lambda: [P.VirtualAdversarialDropout()], "mse", "a loss of classes"),
    "several losses": (1, lambda: [], ["mse"], "`loss`. Expected a single loss"),
    "an unknown loss": (1, lambda: [P.PiModel(divergence="kl")], "nonsense", "nonsense"),
    "no cut": (0, lambda: [P.SupervisedAdversarialDropout()], None, "with 0 of them"),
    "two cuts": (2, lambda: [P.SupervisedAdversarialDropout()], None, "with 2 of them"),
}


@pytest.mark.parametrize("why", BAD_COMPILES)
def test_a_failed_compile_leaves_the_model_as_it_was(problem, why):
    x, y = problem
    cuts, perturbations, loss, message = BAD_COMPILES[why]
    results = []
    for fails in (False, True):
        keras.utils.set_random_seed(0)
        model = model_of(cuts)  # which trains by perturbations that need none
        compiled_cut(model, [PERTURBATIONS["temporal"](), P.PiModel()], run_eagerly=True)
        model.train_on_batch(indexed(x), y)
        before = model.loss, model.optimizer, *model.metrics
        config = model.get_compile_config()
        if fails:
            with pytest.raises(ValueError, match=message):
                model.compile("adam", loss or cross_entropy(), perturbations=perturbations())
            after = model.loss, model.optimizer, *model.metrics
            assert all(one is other for one, other in zip(before, after, strict=True))
            assert model.get_compile_config() == config
        results.append((model.train_on_batch(indexed(x), y), model))
    (expected, untouched), (ours, model) = results
    assert ours == expected
    assert_same_weights(model, untouched, atol=0)


@pytest.mark.thorough
@pytest.mark.parametrize("why", BAD_COMPILES)
def test_after_a_failed_first_compile_it_must_be_compiled(problem, why):
    x, y = problem
    cuts, perturbations, loss, message = BAD_COMPILES[why]
    model = model_of(cuts)
    with pytest.raises(ValueError, match=message):
        model.compile("adam", loss or cross_entropy(), perturbations=perturbations())
    for use in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match=r"call `compile\(\)`"):
            use(indexed(x), y)
    assert not model.compiled
    compiled_cut(model, []).train_on_batch(x, y)
