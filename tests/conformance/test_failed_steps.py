"""What raises in a step leaves the model as it was: eagerly, in a graph, on two replicas."""

from contextlib import nullcontext
from functools import partial

import keras
import numpy as np
import pytest
from cut_models import PERTURBATIONS, Hooked, compiled_cut, indexed, make_cut_model
from keras import layers, ops
from loss_cases import CLASSES, EXPORTED, RNG, Everything, labels_of, make, of_classes
from problems import CLASSES as OF_PROBLEM
from problems import make_problem

import keras_softmaxes as ks
from keras_softmaxes.support._labels import Labels

pytestmark = pytest.mark.tensorflow
MODES = pytest.mark.parametrize("mode", ["eager", "graph", "two replicas"])
# A metric's and a layer's check is one replica's own; the other may have counted its rows.
ONE_DEVICE = pytest.mark.parametrize("mode", ["eager", "graph"])
ROWS = 16


@pytest.fixture
def strategy_of(two_replicas):
    return lambda mode: two_replicas.scope() if mode == "two replicas" else nullcontext()


def make_model(loss, metrics, mode, *more):
    """Return a classifier that has statistics, seeds and, after a step, slots."""
    network = keras.Sequential(
        [keras.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.2), *more]
    )
    model = ks.models.Classifier(network, Everything(CLASSES))
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=metrics, run_eagerly=mode == "eager")
    return model


def features():
    return np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")


def state(*owners):
    """Return what models, optimizers and metrics hold, by name."""
    variables = [each for owner in owners for each in owner.variables]
    return {
        f"{number} {each.path}": ops.convert_to_numpy(each) for number, each in enumerate(variables)
    }


def all_of(model):
    return state(model, model.optimizer, *model.metrics)


def assert_raises(use, message, hold):
    """Assert that a use raises, and that what `hold` returns is what it was."""
    before = hold()
    with pytest.raises(Exception, match=message) as error:
        use()
    assert error.type.__name__ in ("ValueError", "InvalidArgumentError")
    after = hold()
    assert before.keys() == after.keys()
    assert [name for name in before if not np.array_equal(before[name], after[name])] == []


def bad_batches(kind):
    """Return labels and weights of which the first, the last or all are wrong, and the words."""
    labels = labels_of(kind, (ROWS,))
    first, last = labels.copy(), labels.copy()
    first[0] = last[-1] = CLASSES
    batches = [(each, None, r"`labels`.*Expected") for each in (first, last, labels + CLASSES)]
    batches.append((labels, np.ones((ROWS, 2)), r"`sample_weight`.*the losses"))
    if of_classes(kind):
        batches.append((np.full((ROWS, CLASSES), 0.5, "float32"), None, r"`labels`.*sum to 1"))
    return batches


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *((kind, mode) for kind in EXPORTED for mode in ("eager", "graph")),
        (ks.losses.LargeMarginCrossentropy, "two replicas"),
        (ks.losses.PairedCrossentropy, "two replicas"),
    ],
)
def test_a_step_whose_loss_raises_leaves_everything_as_it_was(kind, mode, strategy_of):
    x, labels = features(), labels_of(kind, (ROWS,))
    with strategy_of(mode):
        metrics = [ks.metrics.MarginBias()] if of_classes(kind) else []
        model = make_model(make(kind), metrics, mode)
    step = {"batch_size": ROWS, "shuffle": False, "verbose": 0}
    model.fit(x, labels, **step)
    batches = bad_batches(kind)
    if mode == "graph":  # which is traced anew for other weights and other forms of labels
        batches = batches[:3]
    for wrong, weights, message in batches:
        model.reset_metrics()
        given = {"sample_weight": weights, **step}
        assert_raises(partial(model.fit, x, wrong, **given), message, lambda: all_of(model))
    assert np.isfinite(model.fit(x, labels, **step).history["loss"][0])


@MODES
def test_an_evaluation_that_raises_leaves_everything_as_it_was(mode, strategy_of):
    x, labels = features(), RNG.integers(0, CLASSES, ROWS)
    with strategy_of(mode):
        model = make_model(ks.losses.DropMaxLoss(), ["accuracy", ks.metrics.MarginBias()], mode)
    model.fit(x, labels, verbose=0)
    model.reset_metrics()
    wrong = np.r_[labels[:-1], -1]
    use = partial(model.evaluate, x, wrong, batch_size=ROWS, verbose=0)
    assert_raises(use, "`labels`", lambda: all_of(model))


@keras.saving.register_keras_serializable("tests")
class OfNoLabels(ks.losses.HeadLoss):
    """A loss that takes any labels."""

    def read(self, y_true, y_pred):
        return Labels(ops.zeros(ops.shape(y_true)[:1], "int32"), None)

    def call(self, y_true, y_pred):
        return ops.mean(ops.square(y_pred["logits"]), axis=-1)


several = np.ones((ROWS, CLASSES), "int32")
RAISING_METRICS = {
    "margin_bias": (ks.metrics.MarginBias, np.full((ROWS, CLASSES), 1 / 3, "float32"), "`labels`"),
    **{
        kind.__name__: (kind, 2 * several, "`labels`")
        for kind in (
            ks.metrics.MultiLabelPrecision,
            ks.metrics.MultiLabelRecall,
            ks.metrics.MultiLabelF1,
            ks.metrics.MeanAveragePrecision,
        )
    },
    "capacity": (
        lambda: ks.metrics.MeanAveragePrecision(capacity=ROWS + 2),
        np.tile(several, (2, 1)),
        "`capacity`",
    ),
}


@pytest.mark.slow
@ONE_DEVICE
@pytest.mark.parametrize("name", RAISING_METRICS)
def test_a_metric_that_raises_changes_no_weight_and_not_itself(name, mode):
    kind, wrong, message = RAISING_METRICS[name]
    good = np.eye(CLASSES, dtype=wrong.dtype)[RNG.integers(0, CLASSES, ROWS)]
    metric = kind()
    model = make_model(OfNoLabels(), [metric], mode)
    step = {"batch_size": ROWS, "shuffle": False, "verbose": 0}
    model.fit(features(), good, **step)

    def hold():
        kept = (*model.trainable_variables, *metric.variables)
        return state(model.optimizer) | {each.path: ops.convert_to_numpy(each) for each in kept}

    if name == "capacity":  # the first of two batches is taken, the second exceeds it
        with pytest.raises(Exception, match=message):
            model.fit(np.tile(features(), (2, 1)), wrong, **step)
        assert int(model.optimizer.iterations) == 2
        assert int(metric.count) == ROWS
        return
    model.reset_metrics()
    assert_raises(partial(model.fit, features(), wrong, **step), message, hold)


@pytest.mark.slow
@ONE_DEVICE
@pytest.mark.parametrize("stddev", [0.0, -1.0, np.nan])
def test_a_deviation_that_raises_changes_no_weight(stddev, mode):
    x, labels = features(), RNG.integers(0, CLASSES, ROWS)
    gaussians = ks.layers.GSoftmax()
    model = make_model(ks.losses.LargeMarginCrossentropy(), ["accuracy"], mode, gaussians)
    model.fit(x, labels, verbose=0)
    gaussians.stddev.assign(np.full(4, stddev))

    def hold():
        kept = (*model.trainable_variables, *model.optimizer.variables, *model.metrics_variables)
        return {
            each.path: ops.convert_to_numpy(each) for each in kept if each is not gaussians.stddev
        }

    model.reset_metrics()
    assert_raises(partial(model.fit, x, labels, verbose=0), "`stddev`", hold)


def of_head(name, mode):
    """Return a model of statistics, seeds, a loss that raises for labels, and the averages."""
    perturbations = [PERTURBATIONS[name](name="first")]
    if name != "temporal":
        perturbations.append(PERTURBATIONS["temporal"]())
    arguments = {"noisy": True, "run_eagerly": mode == "eager"}
    return make_cut_model(perturbations, loss=ks.losses.LargeMarginCrossentropy(), **arguments)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, "eager") for name in PERTURBATIONS),
        ("vadd", "graph"),
        ("temporal", "graph"),
        ("temporal", "two replicas"),
    ],
)
def test_a_step_with_perturbations_that_raises_leaves_everything_as_it_was(name, mode, strategy_of):
    x, y = (each[:ROWS] for each in make_problem())
    with strategy_of(mode):
        model = of_head(name, mode)
    step = {"batch_size": ROWS, "shuffle": False, "verbose": 0}
    model.fit(indexed(x), y, **step)
    index = np.arange(ROWS)
    bad_index = np.r_[index[:-1], 256]
    averages = model._training.perturbations[-1].variables

    def hold():
        model.reset_metrics()
        more = (*averages, model._training.generator.state)
        return all_of(model) | {each.path: ops.convert_to_numpy(each) for each in more}

    for wrong, number, message in (
        (np.r_[y[:-1], OF_PROBLEM], index, "`labels`"),
        (y + OF_PROBLEM, index, "`labels`"),
        (y, bad_index, r"`index`.*\[0, 256\)"),
    ):
        assert_raises(partial(model.fit, indexed(x, number), wrong, **step), message, hold)
    unlabelled = np.r_[y[:-1], -1]
    assert np.isfinite(model.fit(indexed(x), unlabelled, **step).history["loss"][0])


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_model_with_hooks_raises_before_it_writes_weights_or_averages(mode):
    """It does not tell its output's shape before it was called."""
    x, y = (each[:ROWS] for each in make_problem())
    temporal = PERTURBATIONS["temporal"]()
    loss = ks.losses.LargeMarginCrossentropy()
    model = compiled_cut(Hooked(), [temporal], loss=loss, run_eagerly=mode == "eager")
    model.fit(indexed(x), y, verbose=0)

    def hold():
        model.reset_metrics()
        kept = (*model.trainable_variables, *model.metrics_variables, *temporal.variables)
        return state(model.optimizer) | {each.path: ops.convert_to_numpy(each) for each in kept}

    assert_raises(partial(model.fit, indexed(x), y + OF_PROBLEM, verbose=0), "`labels`", hold)
