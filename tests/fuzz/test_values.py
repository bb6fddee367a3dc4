"""Finite numbers make finite values and gradients, of each example by itself."""

import keras
import numpy as np
import pytest
from fuzzing import (
    CONSTRAINTS,
    EAGER,
    HEADS,
    LAYERS,
    LOSSES,
    METRICS,
    OPS,
    ROWS,
    SCHEDULES,
    SIZE,
    TENSORS,
    WHOLE,
    fuzz,
    given_to,
    has_several_labels,
    make_loss,
    names_of,
    numpy,
    op_of,
    settings_of,
)
from hypothesis import strategies as st
from keras import ops
from numerics import value_and_gradients

import keras_softmaxes as ks

pytestmark = pytest.mark.slow
# How far the numbers go in each type, beside 1 and 10,000.
FAR = {"float32": 1e15, "float64": 1e100, "bfloat16": 1e15, "float16": 6e4}
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
    return numpy(apply(*tensors)), dict(zip(names, gradients, strict=True))


def check_rows(function, labels, rows, shared, dtype, where):
    """Check that all is finite, and that no row has a part in the results of another."""
    count = len(next(iter(rows.values())))
    values, gradients = computed(function, labels, rows, shared, dtype)
    for what, array in {"the value": values, **gradients}.items():
        wrong = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        first = wrong[:1]
        assert not len(wrong), (
            f"{where}: {what} is {array[first]}, labels {None if labels is None else labels[first]}"
            f", {({name: each[first] for name, each in rows.items() if len(each) == len(array)})}"
        )
    for parity in (0, 1):
        is_ours = (np.arange(count) % 2 == parity)[:, None]
        others = {name: np.where(is_ours, each, np.nan) for name, each in rows.items()}
        ours, slopes = computed(function, labels, others, shared, dtype)
        kept = is_ours[:, 0]
        np.testing.assert_allclose(ours[kept], values[kept], rtol=1e-5, err_msg=where)
        for name in rows:
            theirs = gradients[name][kept]
            np.testing.assert_allclose(slopes[name][kept], theirs, rtol=1e-5, err_msg=where)
    return count


def tensors_of(names, rng, rows, width, limit):
    return {name: TENSORS[name](rng, (rows, width), limit) for name in names}


@pytest.mark.parametrize("name", [name for name in OPS if name not in WHOLE])
def test_of_an_op(name, count):
    op = op_of(name)

    def check(data):
        rng, dtype, limit = draw_numbers(data)
        classes = draw(data, 3, 2, 17) if EAGER else 3
        settings = draw_settings(data, op.settings)
        rows = tensors_of(op.rows, rng, ROWS, classes, limit)
        shared = {}
        for each, shape in op.shared.items():
            *first, last = shape(classes)
            values = TENSORS[each](rng, (*(first or [1]), last), limit)
            shared[each] = values.reshape(shape(classes))
        labels = op.labels and labels_of(op.labels, rng, ROWS, classes)

        def function(labels, tensors):
            if name == "average_precision":  # of which labels are on their own
                turned = {each: ops.transpose(tensor) for each, tensor in tensors.items()}
                return op(labels.T, turned)
            return op(labels, tensors, **settings)

        return check_rows(function, labels, rows, shared, dtype, f"{name} {dtype} {settings}")

    count("values", fuzz("values", name, check))
