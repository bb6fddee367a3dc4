"""Shapes that do not fit raise with the name of an argument, and nothing is broadcast."""

import inspect

import keras
import numpy as np
import pytest
from fuzzing import (
    CONSTRAINTS,
    LAYERS,
    LOSSES,
    METRICS,
    OF_CLASSES,
    OF_EXAMPLES,
    OF_PROBABILITIES,
    OPS,
    WHOLE,
    fuzz,
    given_to,
    has_several_labels,
    make_loss,
    names_argument,
    names_of,
    op_of,
    outcome,
    settings_of,
    shape_of,
)
from hypothesis import strategies as st
from keras import ops

pytestmark = pytest.mark.slow
SIZES = st.integers(0, 3)
PREFIXES = st.lists(SIZES, min_size=1, max_size=2).map(tuple)


def draw_like(data, shape):
    """Draw a shape, the given one or one that is like it."""
    shape = tuple(shape)
    ways = [
        shape,
        shape,
        (*shape, 1),
        (1, *shape),
        shape[:-1],
        shape[1:],
        (),
        data.draw(st.lists(SIZES, max_size=4).map(tuple)),
    ]
    for axis in range(len(shape)):
        ways += [(*shape[:axis], size, *shape[axis + 1 :]) for size in (1, shape[axis] + 1)]
    return data.draw(st.sampled_from(ways))


def fit(shapes, least=2):
    """Tell whether shapes are one, (..., classes)."""
    (first, *others) = shapes
    return len(first) > 1 and first[-1] >= least and all(each == first for each in others)


def fit_labels(shape, rows, several):
    examples = rows[:-1]
    if several:
        return shape == rows
    return shape in (examples, (*examples, 1), rows)


def fit_weights(weights, losses):
    """Tell whether weights are a number, or the first axes of losses, of which some may be 1."""
    if len(weights) == len(losses) + 1 and weights[-1] == 1:
        weights = weights[:-1]
    return len(weights) <= len(losses) and all(
        ours == theirs or (ours == 1 and axis > 0)
        for axis, (ours, theirs) in enumerate(zip(weights, losses, strict=False))
    )


def fit_op(name, shapes):
    """Tell whether the shapes of an op's tensors fit, as its docstring says."""
    op = op_of(name)
    labels = shapes.get("labels")
    rows = [shapes[each] for each in op.rows]
    match name:
        case "gaussian_cdf" | "gsoftmax_logits":
            enough = name == "gaussian_cdf" or fit(rows)
            parameters = (shapes["mean"], shapes["stddev"])
            return enough and all(each in ((), rows[0][-1:]) for each in parameters)
        case "gaussian_distances":
            means = shapes["means"]
            fits = means == shapes["log_variances"] and len(means) == 2 and means[0] > 1
            return fits and len(rows[0]) > 1 and rows[0][-1] == means[1]
        case "lsoftmax_logits":
            kernel = shapes["kernel"]
            return (
                len(kernel) == 2 and kernel[1] > 1 and len(rows[0]) > 1 and rows[0][-1] == kernel[0]
            )
        case "adversarial_mask":
            return len(rows[0]) == 2 and rows[0] == rows[1]
        case "average_precision":
            scores, weights = shapes["scores"], shapes["weights"]
            fits = fit([scores]) and len(scores) == 2 and weights in (scores, scores[:1])
            return fits and labels == scores
        case "compactness":
            return len(rows[0]) == 1
        case "separability" | "separability_ratio":
            return len(rows[0]) == 1 and rows[0] == rows[1] and rows[0][0] > 1
        case "reliability":
            probabilities, weights = (shapes[each] for each in ("probabilities", "weights"))
            fits = fit([probabilities]) and len(probabilities) == 2
            return fits and weights == probabilities[:1] and fit_labels(labels, rows[0], False)
        case "risk_coverage":
            return len(rows[0]) == 1 and rows[0] == rows[1] == rows[2]
        case "super_symmetric_projection":
            return len(rows[0]) == 2 and 2 <= rows[0][1] <= rows[0][0] + 1
    return fit(rows) and (op.labels is None or fit_labels(labels, rows[0], op.labels == "several"))


def filled(name, shape, several=False, classes=None):
    """Return an array of a shape that holds what is right in it."""
    if name == "labels":
        one_hot = np.zeros(shape, "int32")
        if not several and shape[-1:] == (classes,) and classes:
            one_hot[..., 0] = 1
        return one_hot
    if name == "probabilities":
        return np.full(shape, 1 / max((*shape, 1)[-2 if shape else -1], 1), "float32")
    return np.full(shape, -0.25 if "log_mask" in name else 0.25, "float32")


def shapes_of_op(data, name):
    op = op_of(name)
    prefix, classes = data.draw(PREFIXES), data.draw(st.integers(1, 4))
    match name:
        case "compactness" | "separability" | "separability_ratio":
            shape = (classes,)
        case "super_symmetric_projection":
            shape = (classes + data.draw(st.integers(-1, 1)), classes)
        case "adversarial_mask" | "average_precision" | "reliability":
            shape = (*prefix[:1], classes)
        case _:
            shape = (*prefix, classes)
    shapes = {each: shape_of(name, each, shape[:-1], shape[-1]) for each in op.rows}
    if name in WHOLE:
        shapes = dict.fromkeys(op.rows, shape)
    shapes |= {each: of_width(classes) for each, of_width in op.shared.items()}
    if name == "average_precision":
        shapes["weights"] = data.draw(st.sampled_from([shape, shape[:1]]))
    if op.labels:
        forms = [shape] if op.labels == "several" else [shape, shape[:-1], (*shape[:-1], 1)]
        shapes["labels"] = data.draw(st.sampled_from(forms))
    if data.draw(st.booleans()):
        changed = data.draw(st.sampled_from(list(shapes)))
        shapes[changed] = draw_like(data, shapes[changed])
    return op, shapes


def called(op, shapes):
    first = shapes[op.rows[0]]
    arrays = {
        name: filled(name, shape, op.labels == "several", first[-1] if first else None)
        for name, shape in shapes.items()
    }
    settings = {name: values[-1] for name, values in op.settings.items()}
    labels = arrays.pop("labels", None)
    tensors = {name: ops.convert_to_tensor(each) for name, each in arrays.items()}
    return op(labels, tensors, **settings)


def assert_raised(error, names, where):
    assert error is not None, f"taken: {where}"
    assert names_argument(error, names), f"{where}: {type(error).__name__}: {error}"


@pytest.mark.parametrize("name", OPS)
def test_of_an_op(name, count):
    def check(data):
        op, shapes = shapes_of_op(data, name)
        results, error = outcome(lambda: called(op, shapes))
        where = f"{name} {shapes}"
        if not fit_op(name, shapes):
            assert_raised(error, shapes, where)
            return 1
        assert error is None, f"raised: {where}: {error!r}"
        first = shapes[op.rows[0]]
        expected = {first, first[:-1]}
        if name in ("gaussian_distances", "lsoftmax_logits"):
            expected = {(*first[:-1], (shapes.get("means") or shapes["kernel"][1:])[0])}
        if name == "average_precision":
            expected = {first[1:]}
        if name == "reliability":
            expected = {(first[1], op.settings["bins"][-1])}
        if name == "risk_coverage":
            expected = {first, ()}
        assert {tuple(each.shape) for each in results} <= expected, where
        return 1

    count("shapes", fuzz("shapes", name, check))


@pytest.mark.parametrize("name", LOSSES)
def test_of_a_loss(name, count):
    loss, several = make_loss(name, reduction="none"), has_several_labels(name)

    def check(data):
        shape = (*data.draw(PREFIXES), data.draw(st.integers(1, 3)))
        shapes = dict.fromkeys(names_of(loss), shape)
        forms = [shape] if several else [shape, shape[:-1], (*shape[:-1], 1)]
        shapes["labels"] = data.draw(st.sampled_from(forms))
        shapes["sample_weight"] = data.draw(st.sampled_from([None, (), shape[:1], shape[:-1]]))
        if data.draw(st.booleans()):
            changed = data.draw(st.sampled_from(list(shapes)))
            shapes[changed] = draw_like(data, shapes[changed] or shape[:-1])
        rows = [shapes[each] for each in names_of(loss)]
        arrays = {
            each: None if form is None else filled(each, form, several, (rows[0] or (0,))[-1])
            for each, form in shapes.items()
        }
        labels, weights = arrays.pop("labels"), arrays.pop("sample_weight")
        result, error = outcome(lambda: loss(labels, arrays, weights))
        where = f"{name} {shapes}"
        fits = fit(rows) and fit_labels(shapes["labels"], rows[0], several)
        if not fits or not fit_weights(shapes["sample_weight"] or (), rows[0][:-1]):
            assert_raised(error, shapes, where)
            return 1
        assert error is None, f"raised: {where}: {error!r}"
        assert tuple(result.shape) == rows[0][:-1], where
        return 1

    count("shapes", fuzz("shapes", name, check))


@pytest.mark.parametrize("name", METRICS)
def test_of_a_metric(name, count):
    several = name not in OF_CLASSES
    predictions = "probabilities" if name in OF_PROBABILITIES else "y_pred"

    def check(data):
        metric = METRICS[name]()
        shape = (data.draw(SIZES), data.draw(st.integers(1, 3)))
        if not several:
            shape = (*data.draw(PREFIXES), shape[1])
        forms = [shape] if several else [shape, shape[:-1], (*shape[:-1], 1)]
        shapes = {
            "labels": data.draw(st.sampled_from(forms)),
            "y_pred": shape,
            "sample_weight": data.draw(st.sampled_from([None, (), shape[:1], shape[:-1]])),
        }
        if data.draw(st.booleans()):
            changed = data.draw(st.sampled_from(list(shapes)))
            shapes[changed] = draw_like(data, shapes[changed] or shape[:-1])
        rows = shapes["y_pred"]
        arrays = [
            None
            if form is None
            else filled(
                predictions if each == "y_pred" else each, form, several, (rows or (0,))[-1]
            )
            for each, form in shapes.items()
        ]
        _, error = outcome(lambda: metric.update_state(*arrays))
        where = f"{name} {shapes}"
        fits = fit([rows]) and (len(rows) == 2 or not several)
        fits = fits and fit_labels(shapes["labels"], rows, several)
        if not fits or not fit_weights(shapes["sample_weight"] or (), rows[:-1]):
            assert_raised(error, shapes, where)
            return 1
        assert error is None, f"raised: {where}: {error!r}"
        assert metric.result().shape == (), where
        wider = (*rows[:-1], rows[-1] + 1)
        arrays = [filled("labels", wider if several else wider[:-1], several)]
        arrays.append(filled(predictions, wider))
        _, error = outcome(lambda: metric.update_state(*arrays))
        assert names_argument(error, shapes) if several else error is None, f"{where}, then {wider}"
        return 1

    count("shapes", fuzz("shapes", name, check))


@pytest.mark.parametrize("name", LAYERS)
def test_of_a_layer(name, count):
    """Features of another shape than those that the layer was built for."""
    table = settings_of(name, LAYERS[name])
    given = {argument: values[-1] for argument, values in table.items()}
    is_trained = "training" in inspect.signature(LAYERS[name].call).parameters
    training = {"training": True} if is_trained else {}

    def check(data):
        layer = LAYERS[name](**given_to(name), **given)
        shape = (*data.draw(PREFIXES), data.draw(st.integers(2, 3)))
        other = draw_like(data, shape)
        pair = name == "ParameterTying"
        for each in (shape, other):
            features = np.ones(each, "float32")
            outputs, error = outcome(lambda x=features: layer([x, x] if pair else x, **training))
            where = f"{name} {shape}, then {each}"
            # A mask has as many units as the features.
            of_width = name == "AdversarialDropout" or each[-1:] == shape[-1:]
            if len(each) < 2 or not of_width:
                said_by_keras = isinstance(error, ValueError) and "Input 0 " in str(error)
                if not said_by_keras:  # which calls the first argument of a layer so
                    assert_raised(error, ["features", "logits"], where)
                return 1
            assert error is None, f"raised: {where}: {error!r}"
            for output in keras.tree.flatten(outputs):
                assert tuple(output.shape)[:-1] == each[:-1], where
        return 1

    count("shapes", fuzz("shapes", name, check))


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_of_a_constraint(name, count):
    def check(data):
        shape = data.draw(st.lists(st.integers(0, 9), max_size=3).map(tuple))
        result, error = outcome(lambda: CONSTRAINTS[name]()(ops.ones(shape)))
        if len(shape) != 2 or not 2 <= shape[1] <= shape[0] + 1:
            assert_raised(error, ["kernel"], shape)
        else:
            assert error is None, error
            assert tuple(result.shape) == shape
        return 1

    count("shapes", fuzz("shapes", name, check))


def check_graph(data, compute, shapes):
    """Check a graph of unknown batch by batches that are of one size, or not."""
    import tensorflow as tf

    sizes = dict.fromkeys(shapes, data.draw(st.integers(1, 3)))
    if data.draw(st.booleans()):
        sizes[data.draw(st.sampled_from(list(shapes)))] = data.draw(st.integers(1, 3))
    arrays = {
        name: filled(name, (sizes[name], *shape[1:]), len(shape) > 1)
        for name, shape in shapes.items()
    }
    labels = arrays.pop("labels", None)
    try:
        results = compute(labels, arrays) if labels is not None else compute(arrays)
    except (tf.errors.InvalidArgumentError, ValueError):
        assert len(set(sizes.values())) > 1, sizes
        return 1
    assert len(set(sizes.values())) == 1, f"taken: {sizes}"
    assert {each.shape[0] for each in tf.nest.flatten(results)} == set(sizes.values())
    return 1


def graph_of(function, shapes):
    """Return a function of labels and a dict of tensors, of any batch, as a graph."""
    import tensorflow as tf

    specs = {
        name: tf.TensorSpec(shape, tf.int32 if name == "labels" else tf.float32)
        for name, shape in shapes.items()
    }
    labels = [specs.pop("labels")] if "labels" in specs else []
    return tf.function(function, input_signature=[*labels, specs], autograph=False)


# Of which the examples of one batch, however many, are in more than one tensor.
OF_BATCHES = [
    name
    for name in OPS
    if len(op_of(name).rows) + bool(op_of(name).labels) > 1
    and name not in {*WHOLE, *OF_EXAMPLES, "average_precision"}
]


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", OF_BATCHES)
def test_of_the_graph_of_an_op(name, count):
    op = op_of(name)
    shapes = dict.fromkeys(op.rows, (None, 3))
    settings = {each: values[-1] for each, values in op.settings.items()}
    if op.labels:
        shapes["labels"] = (None, 3) if op.labels == "several" else (None,)

    def function(*data):
        return op(data[0] if op.labels else None, data[-1], **settings)

    graph = graph_of(function, shapes)
    count("graphs", fuzz("graphs", name, lambda data: check_graph(data, graph, shapes)))


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", LOSSES)
def test_of_the_graph_of_a_loss(name, count):
    loss = make_loss(name, reduction="none")
    shapes = dict.fromkeys(names_of(loss), (None, 3))
    shapes["labels"] = (None, 3) if has_several_labels(name) else (None,)
    graph = graph_of(loss, shapes)
    count("graphs", fuzz("graphs", name, lambda data: check_graph(data, graph, shapes)))
