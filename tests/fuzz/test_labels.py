"""Labels of every type give the value of their classes, or an error that says `labels`."""

import ml_dtypes
import numpy as np
import pytest
from fuzzing import (
    EAGER,
    LOSSES,
    METRICS,
    OF_CLASSES,
    OF_PROBABILITIES,
    OPS,
    fuzz,
    has_several_labels,
    make_loss,
    names_argument,
    names_of,
    numpy,
    op_of,
    outcome,
    shape_of,
)
from hypothesis import strategies as st
from keras import ops

pytestmark = pytest.mark.slow
ROWS = 3
INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
FLOATS = ["float16", ml_dtypes.bfloat16, "float32", "float64"]
CLASSES = [2, 3, 300] if EAGER else [3]
# What no class is, in the types that can hold it.
WRONG = [-1, "classes", 0.5, 1e30, np.nan, np.inf, -np.inf, -(2**31)]
if EAGER:  # JAX wraps them around before they can be seen
    WRONG += [2**31, 2**32]


def fits(value, dtype):
    """Tell whether a type can hold a value."""
    if np.dtype(dtype).kind in "iu":
        ends = np.iinfo(dtype)
        return np.isfinite(value) and value == int(value) and ends.min <= value <= ends.max
    if np.dtype(dtype) == bool:
        return False
    with np.errstate(over="ignore"):
        held = np.array(value).astype(dtype).astype("float64")
    return bool(np.isnan(held) if np.isnan(value) else held == value)


def draw_labels(data, classes):
    """Return labels as they are written, their classes, and whether they can be read."""
    dtype = data.draw(st.sampled_from([*INTEGERS, *FLOATS, "bool"]))
    least = 2 if dtype == "bool" else classes
    truth = np.array(data.draw(st.lists(st.integers(0, least - 1), min_size=ROWS, max_size=ROWS)))
    if np.dtype(dtype).kind in "iu":
        truth = truth % min(classes, np.iinfo(dtype).max + 1)
    form = data.draw(st.sampled_from(["classes", "column", "one-hot", "list"]))
    wrong = data.draw(st.sampled_from([None, None, *WRONG]))
    wrong = classes if wrong == "classes" else wrong
    labels = np.eye(classes)[truth] if form == "one-hot" else truth.astype("float64")
    if wrong is not None and fits(wrong, dtype):
        labels[0] = wrong
    else:
        wrong = None
    labels = labels.astype(dtype)
    holds = True  # of half types that could not hold every class none is taken
    if dtype in FLOATS[:2] and form != "one-hot":
        holds = classes <= 2 ** (ml_dtypes.finfo(dtype).nmant + 1)
    if form == "column":
        labels = labels[:, None]
    if form == "list" and dtype in ("float32", "float64", "int64", "bool"):
        labels = labels.tolist()
    return labels, truth, wrong is None and holds


def check_labels(data, compute, classes, where):
    """Check the value, which is that of the classes, or the error."""
    labels, truth, can_be_read = draw_labels(data, classes)
    result, error = outcome(lambda: compute(labels))
    where = f"{where} {getattr(labels, 'dtype', 'list')} {np.asarray(labels).ravel()[:4]}"
    if not can_be_read:
        assert error is not None, f"taken: {where}"
        assert names_argument(error, ["labels"]), f"{where}: {error!r}"
        return 1
    assert error is None, f"raised: {where}: {error!r}"
    for ours, theirs in zip(result, compute(truth.astype("int32")), strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=where)
    return 1


def make_tensors(names, classes, op=None):
    rng = np.random.default_rng(classes)
    tensors = {}
    for name in names:
        values = -rng.uniform(size=shape_of(op, name, (ROWS,), classes)).astype("float32")
        total = values.sum(axis=-1, keepdims=True)
        tensors[name] = values / total if name in ("probabilities", "weights") else values
    return tensors


@pytest.mark.parametrize("name", [name for name in OPS if op_of(name).labels == "classes"])
def test_of_an_op(name, count):
    op = op_of(name)
    settings = {each: values[0] for each, values in op.settings.items()}
    tensors = {classes: make_tensors(op.rows, classes, name) for classes in CLASSES}

    def check(data):
        classes = data.draw(st.sampled_from(CLASSES))

        def compute(labels):
            return [numpy(each) for each in op(labels, tensors[classes], **settings)]

        return check_labels(data, compute, classes, f"{name}, {classes} classes:")

    count("labels", fuzz("labels", name, check))


@pytest.mark.parametrize("name", [name for name in LOSSES if not has_several_labels(name)])
def test_of_a_loss(name, count):
    loss = make_loss(name, reduction="none")
    tensors = {classes: make_tensors(names_of(loss), classes) for classes in CLASSES}

    def check(data):
        classes = data.draw(st.sampled_from(CLASSES))

        def compute(labels):
            return [numpy(loss(labels, tensors[classes]))]

        return check_labels(data, compute, classes, f"{name}, {classes} classes:")

    count("labels", fuzz("labels", name, check))


@pytest.mark.parametrize("name", [name for name in LOSSES if not has_several_labels(name)])
def test_soft_ones_of_a_loss(name, count):
    """Rows of numbers of at least 0 that sum to 1, as far as their type tells, and other rows."""
    loss, classes = make_loss(name, reduction="none"), 3
    tensors = make_tensors(names_of(loss), classes)

    def check(data):
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        dtype = data.draw(st.sampled_from(FLOATS))
        rows = rng.dirichlet(np.ones(2), ROWS) @ np.eye(3)[rng.permutation(3)[:2]]
        wrong = data.draw(st.sampled_from([None, None, "sum", "sign", np.nan, np.inf, "zeros"]))
        if wrong == "sum":
            rows[0] *= data.draw(st.sampled_from([0.5, 0.9, 1.1, 3]))
        elif wrong == "sign":
            rows[0] = rng.permutation([-0.25, 1.25, 0])
        elif wrong == "zeros":
            rows[0] = 0
        elif wrong is not None:
            rows[0, rng.integers(3)] = wrong
        expected = None if wrong is not None else numpy(loss(rows, tensors))
        rows = rows.astype(dtype)
        result, error = outcome(lambda: numpy(loss(rows, tensors)))
        where = f"{name} {rows.dtype} {rows[0]}"
        if wrong is not None:
            assert error is not None, f"taken: {where}"
            assert names_argument(error, ["labels"]), f"{where}: {error!r}"
            return 1
        assert error is None, f"raised: {where}: {error!r}"
        rounding = 1e-2 if dtype in FLOATS[:2] else 1e-5
        np.testing.assert_allclose(result, expected, rounding, rounding, err_msg=where)
        return 1

    count("labels", fuzz("labels", name, check))


def check_several(data, compute, where):
    """Check labels of which an example may have any number."""
    dtype = data.draw(st.sampled_from([*INTEGERS, *FLOATS, "bool"]))
    truth = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))).integers(0, 2, (ROWS, 3))
    wrong = data.draw(
        st.sampled_from([None, None, 2, *(each for each in WRONG if each != "classes")])
    )
    labels = truth.astype("float64")
    # NaN is a label that nobody knows.
    if wrong is not None and fits(wrong, dtype) and not np.isnan(wrong):
        labels[0, 1] = wrong
    else:
        wrong = None
    labels = labels.astype(dtype)
    result, error = outcome(lambda: compute(labels))
    where = f"{where} {labels.dtype} {labels[0]}"
    if wrong is not None:
        assert error is not None, f"taken: {where}"
        assert names_argument(error, ["labels"]), f"{where}: {error!r}"
        return 1
    assert error is None, f"raised: {where}: {error!r}"
    np.testing.assert_array_equal(result, compute(truth.astype("int32")), err_msg=where)
    return 1


def update(make, labels):
    metric = make()
    metric.update_state(labels, np.arange(ROWS * 3, dtype="float32").reshape(ROWS, 3) % 4 / 4)
    return numpy(metric.result())


SEVERAL = {
    **{
        name: lambda labels, name=name: numpy(
            op_of(name)(labels, make_tensors(op_of(name).rows, 3))[0]
        )
        for name in OPS
        if op_of(name).labels == "several" and name != "average_precision"
    },
    "average_precision": lambda labels: numpy(
        OPS["average_precision"](labels, make_tensors(["scores"], 3)["scores"], ops.ones(ROWS))
    ),
    **{
        name: lambda labels, name=name: numpy(
            make_loss(name)(labels, make_tensors(names_of(make_loss(name)), 3))
        )
        for name in LOSSES
        if has_several_labels(name)
    },
    **{
        name: lambda labels, make=make: update(make, labels)
        for name, make in METRICS.items()
        if name not in OF_CLASSES
    },
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_of_an_example(name, count):
    count("labels", fuzz("labels", name, lambda data: check_several(data, SEVERAL[name], name)))


@pytest.mark.parametrize("name", sorted(OF_CLASSES))
def test_of_a_metric_of_classes(name, count):
    tensor = "probabilities" if name in OF_PROBABILITIES else "logits"

    def check(data):
        classes = data.draw(st.sampled_from(CLASSES))
        predictions = make_tensors([tensor], classes)[tensor]

        def compute(labels):
            metric = METRICS[name]()
            metric.update_state(labels, predictions)
            return [numpy(metric.result())]

        return check_labels(data, compute, classes, f"{name}, {classes} classes:")

    count("labels", fuzz("labels", name, check))
