"""Finite numbers make finite values and gradients, of each example by itself."""

import inspect

import keras
import numpy as np
import pytest
from fuzzing import (
    COMPILED,
    CONSTRAINTS,
    EAGER,
    HEADS,
    LAYERS,
    LOSSES,
    METRICS,
    OF_CLASSES,
    OF_EXAMPLES,
    OF_PROBABILITIES,
    OPS,
    SCHEDULES,
    SIZE,
    TENSORS,
    WHOLE,
    bounded,
    distributions,
    epsilon,
    fuzz,
    given_to,
    has_several_labels,
    make_loss,
    names_of,
    numbers,
    numpy,
    op_of,
    rows_of,
    settings_of,
)
from hypothesis import strategies as st
from keras import ops
from numerics import value_and_gradients

pytestmark = pytest.mark.slow
# How far the numbers go in each type, beside 1 and 10,000.
FAR = {"float32": 1e15, "float64": 1e100, "bfloat16": 1e15, "float16": 6e4}
# What nobody differentiates by: noise, masks, and what a metric reads.
CONSTANTS = {"jacobian", "mask", "probabilities", "scores", "uniform", "weights"}
DTYPES = list(FAR) if EAGER else ["float32", "bfloat16", "float16"]


def draw(data, *values):
    return data.draw(st.sampled_from(values))


def draw_settings(data, table):
    return {name: draw(data, *values) for name, values in table.items()}


def draw_numbers(data):
    """Return a source of random numbers, a type, and how large numbers of it may be."""
    dtype = draw(data, *DTYPES)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    return rng, dtype, draw(data, 1e4, 1.0, FAR[dtype])


def labels_of(kind, rng, rows, classes):
    if kind == "several":
        return rng.integers(0, 2, (rows, classes)).astype("int32")
    return rng.integers(0, classes, rows).astype("int32")


def columns(results, rows):
    """Return results of each example, one beside the other: (rows, ...)."""
    return ops.concatenate([ops.reshape(each, (rows, -1)) for each in results], axis=1)


def computed(function, labels, rows, shared, dtype):
    """Return the values of each row, and the gradient of their sum for each tensor."""
    names = [*rows, *shared]

    def apply(*tensors):
        count = tensors[0].shape[0]
        return columns(function(labels, dict(zip(names, tensors, strict=True))), count)

    arrays = [*rows.values(), *shared.values()]
    tensors = [ops.convert_to_tensor(each, dtype=dtype) for each in arrays]
    _, gradients = value_and_gradients(apply, arrays, dtype=dtype)
    gradients = dict(zip(names, gradients, strict=True))
    return numpy(apply(*tensors)), {
        each: gradients[each] for each in names if each not in CONSTANTS
    }


def check_rows(function, labels, rows, shared, dtype, where, alone=True):
    """Check that all is finite, and that no row has a part in the results of another.

    Args:
        function: of labels and a dict of tensors; it returns a list of tensors (rows, ...).
        labels: of the rows, or None.
        rows: the tensors of which each row is an example, by name.
        shared: the other tensors.
        dtype: the type of all of them.
        where: told when the check fails.
        alone: whether to compute a row without others too, which a kernel is compiled anew for.

    Returns:
        How many rows there are.
    """
    count = len(next(iter(rows.values())))
    values, gradients = computed(function, labels, rows, shared, dtype)
    for what, array in {"the value": values, **gradients}.items():
        # A gradient may be beyond what float16 holds.
        is_good = np.isfinite(array) | (what in gradients and dtype == "float16") & np.isinf(array)
        wrong = np.flatnonzero(~is_good.reshape(len(array), -1).all(axis=1))
        first = wrong[:1]
        assert not len(wrong), (
            f"{where}: {what} is {array[first]}, labels {None if labels is None else labels[first]}"
            f", { ({name: each[first] for name, each in rows.items() if len(each) == len(array)}) }"
        )
    for parity in (0, 1):
        is_ours = (np.arange(count) % 2 == parity)[:, None]
        others = {name: np.where(is_ours, each, np.nan) for name, each in rows.items()}
        ours, slopes = computed(function, labels, others, shared, dtype)
        kept = is_ours[:, 0]
        np.testing.assert_allclose(ours[kept], values[kept], rtol=1e-5, err_msg=where)
        for name in slopes.keys() & rows.keys():
            theirs = gradients[name][kept]
            np.testing.assert_allclose(slopes[name][kept], theirs, rtol=1e-5, err_msg=where)
    if not alone:
        return count
    first = {name: each[:1] for name, each in rows.items()}
    by_itself, _ = computed(function, None if labels is None else labels[:1], first, shared, dtype)
    np.testing.assert_allclose(
        by_itself, values[:1], rtol=1e-4, atol=near(rows, dtype), err_msg=where
    )
    return count


def near(rows, dtype):
    """Return how far results may be apart that were rounded in another order."""
    return 100 * epsilon("float64" if dtype == "float64" else "float32") * (1 + largest_of(rows)[0])


def tensors_of(names, rng, rows, width, limit):
    return {name: TENSORS[name](rng, (rows, width), limit) for name in names}


@pytest.mark.parametrize("name", [name for name in OPS if name not in WHOLE | OF_EXAMPLES])
def test_of_an_op(name, count):
    op = op_of(name)
    kind = "compiled" if name in COMPILED else "ops"

    def check(data):
        rng, dtype, limit = draw_numbers(data)
        classes = draw(data, 3, 2, 17) if EAGER and kind == "ops" else 3
        settings = draw_settings(data, op.settings)
        rows = tensors_of(op.rows, rng, rows_of(kind), classes, limit)
        shared = {}
        for each, shape in op.shared.items():
            *first, last = shape(classes)
            values = TENSORS[each](rng, (*(first or [1]), last), limit)
            shared[each] = values.reshape(shape(classes))
        labels = op.labels and labels_of(op.labels, rng, rows_of(kind), classes)

        def function(labels, tensors):
            if name == "average_precision":  # of which labels are on their own
                turned = {each: ops.transpose(tensor) for each, tensor in tensors.items()}
                return op(labels.T, turned)
            return op(labels, tensors, **settings)

        alone = kind == "ops" and name != "average_precision"  # which takes no single label
        where = f"{name} {dtype} {settings}"
        return check_rows(function, labels, rows, shared, dtype, where, alone)

    count("values", fuzz(kind, name, check))


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_of_an_op_of_all_classes(name, count):
    op = op_of(name)

    def check(data):
        rng, dtype, limit = draw_numbers(data)
        classes = data.draw(st.integers(2, 6))
        shape = (classes + data.draw(st.integers(-1, 2)) if "kernel" in op.rows else 1, classes)
        tensors = {each: TENSORS[each](rng, shape, limit) for each in op.rows}
        if shape[0] == 1 and "kernel" not in op.rows:
            tensors = {each: tensor[0] for each, tensor in tensors.items()}
        (result,) = op(None, {k: ops.convert_to_tensor(v, dtype) for k, v in tensors.items()})
        assert np.isfinite(numpy(result)).all(), (name, dtype, tensors)
        return 1

    count("values", fuzz("whole", name, check))


@pytest.mark.parametrize("name", sorted(OF_EXAMPLES))
def test_of_an_op_of_all_examples(name, count):
    """Examples of weight 0 are as if absent, those that are there twice as if of weight 2."""
    op = op_of(name)

    def check(data):
        rng, dtype, limit = draw_numbers(data)
        dtype = "float32" if dtype == "float64" else dtype
        limit = min(limit, FAR[dtype])
        examples, classes = data.draw(st.integers(1, 9)), data.draw(st.integers(2, 4))
        width = classes if name == "reliability" else 1
        tensors = tensors_of(
            [each for each in op.rows if each != "weights"], rng, examples, width, limit
        )
        settings = draw_settings(data, op.settings)
        counts = rng.integers(0, 3, examples)

        def results(repeats, weights):
            rows = {each: np.repeat(tensor, repeats, axis=0) for each, tensor in tensors.items()}
            if width == 1:
                rows = {each: tensor[:, 0] for each, tensor in rows.items()}
            given = {each: ops.convert_to_tensor(tensor, dtype) for each, tensor in rows.items()}
            labels = np.repeat(np.arange(examples) % classes, repeats)
            return op.function(
                **({"labels": labels} if op.labels else {}),
                **given,
                weights=ops.convert_to_tensor(weights, "float32"),
                **settings,
            )

        weighted, repeated = results(1, counts), results(counts, np.ones(counts.sum()))
        for key, value in weighted.items():
            where = f"{name} {dtype} {settings} {key} {tensors} {counts}"
            value = numpy(value)
            assert np.isfinite(value).all(), where
            assert (value >= 0).all(), where
            if key not in ("coverage", "risk"):  # of which there are fewer
                np.testing.assert_allclose(value, numpy(repeated[key]), 1e-4, 1e-5, err_msg=where)
        return 1

    count("values", fuzz("whole", name, check))


def soft_labels(rng, rows, classes, of_two):
    """Return distributions: one-hot, of two classes, of all, some all but certain."""
    hot = np.eye(classes)
    share = rng.choice([0, 1, 0.5, 1e-30, 1 - 1e-7], (rows, 1))
    first, second = (hot[rng.integers(0, classes, rows)] for _ in range(2))
    mixed = share * first + (1 - share) * second
    every = rng.dirichlet(np.full(classes, 0.3), rows)
    return mixed if of_two else np.where(rng.integers(0, 2, (rows, 1)), mixed, every)


@pytest.mark.parametrize("name", LOSSES)
def test_of_a_loss(name, count):
    table = settings_of(name, LOSSES[name])
    count_of_rows, classes, of_two = rows_of("compiled"), 3, name == "MeanMulticlassHinge"

    def check(data):
        rng, dtype, limit = draw_numbers(data)
        settings = draw_settings(data, table)
        loss = make_loss(
            name, reduction="none", dtype="float64" if dtype == "float64" else None, **settings
        )
        rows = tensors_of(names_of(loss), rng, count_of_rows, classes, limit)
        several = has_several_labels(name)
        labels = labels_of("several" if several else None, rng, count_of_rows, classes)
        if not several and draw(data, True, False):
            labels = soft_labels(rng, count_of_rows, classes, of_two)
        if several and draw(data, True, False):
            labels = np.where(rng.uniform(size=labels.shape) < 0.2, np.nan, labels)

        def function(labels, tensors):
            return [loss(labels, tensors)]

        if np.shape(labels) == (count_of_rows, classes) and not several:
            check_certain_rows(loss, labels, rows, dtype)
        return check_rows(function, labels, rows, {}, dtype, f"{name} {dtype} {settings}", False)

    count("values", fuzz("compiled", name, check))


def check_certain_rows(loss, labels, rows, dtype):
    """Check that a one-hot row beside soft ones is its class."""
    tensors = {name: ops.convert_to_tensor(each, dtype) for name, each in rows.items()}
    soft, hard = (numpy(loss(each, tensors)) for each in (labels, labels.argmax(axis=1)))
    is_certain = ((labels == 0) | (labels == 1)).all(axis=1)
    shift, factor = (np.max(each or [1]) for each in (loss.logit_adjustment, loss.class_weight))
    near = 1e-5 * factor * (1 + shift + largest_of(rows))
    wrong = np.flatnonzero(is_certain & ~(np.abs(soft - hard) <= near))[:1]
    assert not len(wrong), (loss.get_config(), dtype, soft[wrong], hard[wrong], labels[wrong])


def largest_of(rows):
    """Return the largest number of each row."""
    return np.max([np.abs(np.where(np.isinf(each), 0, each)).max(1) for each in rows.values()], 0)


class Restored:
    """A layer that draws the same numbers, and is in the same state, at each call."""

    def __init__(self, layer):
        self.layer = layer
        self.state = [(each, ops.copy(each)) for each in layer.variables]

    def __call__(self, inputs, **kwargs):
        for variable, value in self.state:
            variable.assign(value)
        return self.layer(inputs, **kwargs)


@pytest.mark.parametrize("name", LAYERS)
def test_of_a_layer(name, count):
    """Of what it returns, at inference and in training, and of the loss of a head."""
    table = settings_of(name, LAYERS[name])

    def check(data):
        rng, dtype, limit = draw_numbers(data)
        policy = dtype if "64" in dtype or "32" in dtype else f"mixed_{dtype}"
        limit = min(limit, 1e4) if dtype == "float16" else limit  # of sums of products too
        keras.config.set_dtype_policy(policy)
        try:
            layer = LAYERS[name](**given_to(name), **draw_settings(data, table))
        finally:
            keras.config.set_dtype_policy("float32")
        pair, training = name == "ParameterTying", draw(data, False, True)
        shape = (rows_of("layers"), SIZE)
        layer.build([shape, shape] if pair else shape)
        restored = Restored(layer)
        features = numbers(rng, shape, limit)
        labels = None
        if name in HEADS:
            kind = "several" if has_several_labels(name) else "classes"
            labels = labels_of(kind, rng, rows_of("layers"), layer.units)
            loss = type(layer.default_loss())(reduction="none", dtype=layer.compute_dtype)
        takes = "training" in inspect.signature(layer.call).parameters
        more = {"training": training} if takes else {}

        def function(labels, tensors):
            outputs = restored([tensors["features"]] * 2 if pair else tensors["features"], **more)
            if name not in HEADS:
                return keras.tree.flatten(outputs)
            values = [each for key, each in sorted(outputs.items()) if "log_mask" not in key]
            return [*values, loss(labels, outputs)]

        where = f"{name} {dtype} {layer.get_config()} training={training}"
        dtype = "float64" if dtype == "float64" else "float32"
        return check_rows(function, labels, {"features": features}, {}, dtype, where)

    count("values", fuzz("layers", name, check))


@pytest.mark.parametrize("name", METRICS)
def test_of_a_metric(name, count):
    """However the examples are split into batches."""
    table = settings_of(name, METRICS[name])

    def check(data):
        rng, dtype, limit = draw_numbers(data)
        dtype = "float32" if dtype == "float64" else dtype
        limit = min(limit, FAR[dtype])
        settings = draw_settings(data, table)
        several = settings.get("multi_label", name not in OF_CLASSES)
        rows, classes = data.draw(st.integers(1, 9)), data.draw(st.integers(2, 4))
        labels = labels_of("several" if several else None, rng, rows, classes)
        if several and draw(data, True, False):
            labels = np.where(rng.uniform(size=labels.shape) < 0.2, np.nan, labels)
        values = numbers
        if name in OF_PROBABILITIES:
            values = bounded(0, 1) if several else distributions
        scores = ops.convert_to_tensor(values(rng, (rows, classes), limit), dtype)
        weights = rng.choice([0, 1e-3, 1, 1e3], rows)
        weights = draw(data, None, 0.0, 2.0, weights, weights[:, None])
        where = f"{name} {settings} {labels} {numpy(scores)} {weights}"
        results = []
        cut = data.draw(st.integers(0, rows))
        for parts in ([slice(None)], [slice(cut), slice(cut, None)]):
            metric = METRICS[name](**settings)
            for part in parts:
                each = weights[part] if np.ndim(weights) else weights
                metric.update_state(labels[part], scores[part], each)
            results.append(numpy(metric.result()))
            assert np.isfinite(results[-1]).all(), where
            assert (results[-1] >= 0).all(), where
            assert not several or (results[-1] <= 1 + 1e-6).all(), where
        np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-6, err_msg=where)
        return 1

    count("values", fuzz("metrics", name, check))


@pytest.mark.parametrize("name", SCHEDULES)
def test_of_a_schedule(name, count):
    table = settings_of(name, SCHEDULES[name])

    def check(data):
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        settings = draw_settings(data, table)
        steps = (10 ** rng.uniform(0, 9, rows_of("schedules"))).astype("int32") - 1
        values = numpy(SCHEDULES[name](**settings)(ops.convert_to_tensor(steps)))
        assert values.shape == steps.shape
        assert np.isfinite(values).all(), (name, settings)
        assert (values >= 0).all(), (name, settings)
        each = draw(data, *steps.tolist())
        alone = float(SCHEDULES[name](**settings)(each))
        np.testing.assert_allclose(alone, values[steps == each], rtol=1e-5)
        return len(steps)

    count("values", fuzz("schedules", name, check))


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_of_a_constraint(name, count):
    def check(data):
        rng, dtype, limit = draw_numbers(data)
        classes = data.draw(st.integers(2, 6))
        kernel = numbers(rng, (classes + data.draw(st.integers(-1, 2)), classes), limit)
        result = CONSTRAINTS[name]()(ops.convert_to_tensor(kernel, dtype))
        assert keras.backend.standardize_dtype(result.dtype) == dtype
        assert result.shape == kernel.shape
        assert np.isfinite(numpy(result)).all(), (dtype, kernel)
        return 1

    count("values", fuzz("constraints", name, check))
