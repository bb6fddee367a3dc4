"""An argument of another kind works, or its error says which argument it is."""

import inspect
import math

import keras
import numpy as np
import pytest
from fuzzing import (
    KERAS,
    LAYERS,
    LOSSES,
    METRICS,
    OPS,
    SCHEDULES,
    SIZE,
    fuzz,
    given_to,
    has_several_labels,
    is_python_signature,
    names_argument,
    numpy,
    op_of,
    outcome,
    settings_of,
    shape_of,
)
from hypothesis import strategies as st
from keras import ops

pytestmark = pytest.mark.slow
ODD = [
    *(None, True, False, "", "a", "softmax", b"a", (), [], {}, set(), object(), int, len),
    *(10**400, -(10**400), math.nan, math.inf, -math.inf, -1, 0, 1, 2, 1.5, -0.5),
    *(
        1 + 0j,
        [None],
        ["a"],
        [math.nan],
        [1, "a"],
        [[1.0], [2.0]],
        [1.0, 2.0, 3.0],
        [-1.0, 0.0, 1.0],
    ),
    *(
        np.float32(0.5),
        np.float16(2),
        np.int8(2),
        np.int64(-1),
        np.bool_(True),
        np.float64(math.nan),
    ),
    *(np.array(0.5), np.array([0.5]), np.zeros((2, 2)), np.array("a"), np.array(None), range(3)),
]
VALUES = st.one_of(
    st.sampled_from(ODD),
    st.integers(-20, 20),  # a capacity of billions would take the memory
    st.floats(-1e6, 1e6),
    st.text(max_size=3),
    st.lists(st.one_of(st.floats(), st.integers(), st.none()), max_size=4),
)


def own_arguments(member):
    """Return the arguments that the package reads; the others are Keras's."""
    return [each for each in inspect.signature(member).parameters if each not in KERAS - {"seed"}]


def check(data, name, arguments, make, use):
    """Check what is made with one odd argument, and that what is taken can be used."""
    argument = data.draw(st.sampled_from(arguments))
    value = data.draw(VALUES)
    made, error = outcome(lambda: make({argument: value}))
    if error is None:
        _, error = outcome(lambda: use(made))
    where = f"{name}({argument}={value!r})"
    is_named = error is None or names_argument(error, arguments) or is_python_signature(error)
    assert is_named, f"{where}: {type(error).__name__}: {error}"
    return 1


def assert_no_nan(results):
    for each in keras.tree.flatten(results):
        assert not np.isnan(numpy(each)).any(), "it gives NaN"


# Numbers that the op leaves to its loss or layer to check, as it says.
UNCHECKED = {
    "large_margin_cross_entropy": {"weight", "bias", "label_smoothing"},
    "lsoftmax_logits": {"annealing"},
}
OPS_WITH_SETTINGS = [name for name in OPS if op_of(name).settings]


@pytest.mark.parametrize("name", OPS_WITH_SETTINGS)
def test_of_an_op(name, count):
    op = op_of(name)
    shapes = {each: shape_of(name, each, (2,), 3) for each in op.rows}
    shapes |= {each: shape(3) for each, shape in op.shared.items()}
    tensors = {
        each: ops.convert_to_tensor(np.full(shape, 1 / 3), "float32")
        for each, shape in shapes.items()
    }
    labels = np.zeros(2, int)

    def make(argument):
        plain = {each: values[0] for each, values in op.settings.items()}
        return op(labels, tensors, **{**plain, **argument})

    names = [each for each in op.settings if each not in UNCHECKED.get(name, ())]

    def each(data):
        return check(data, name, names, make, assert_no_nan)

    count("arguments", fuzz("arguments", name, each))


@pytest.mark.parametrize("name", LOSSES)
def test_of_a_loss(name, count):
    kind = LOSSES[name]

    def use(loss):
        again = keras.losses.deserialize(keras.losses.serialize(loss))
        assert again.get_config() == loss.get_config()

    def make(argument):
        return kind(**{**given_to(name), **argument})

    names = [each for each in own_arguments(kind) if each not in KERAS]
    if not names:
        pytest.skip("it has none of its own")
    count("arguments", fuzz("arguments", name, lambda data: check(data, name, names, make, use)))


@pytest.mark.parametrize("name", METRICS)
def test_of_a_metric(name, count):
    def use(metric):
        several = has_several_labels(name) or "Average" in name
        several = getattr(metric, "multi_label", several)
        labels = np.zeros((2, 3), int) if several else [0, 1]
        metric.update_state(labels, np.full((2, 3), 1 / 3, "float32"))
        assert_no_nan(metric.result())

    names = own_arguments(METRICS[name])
    if not names:
        pytest.skip("it has none of its own")
    make = lambda argument: METRICS[name](**argument)  # noqa: E731
    count("arguments", fuzz("arguments", name, lambda data: check(data, name, names, make, use)))


@pytest.mark.parametrize("name", LAYERS)
def test_of_a_layer(name, count):
    plain = {each: values[0] for each, values in settings_of(name, LAYERS[name]).items()}

    def make(argument):
        return LAYERS[name](**{**plain, **given_to(name), **argument})

    def use(layer):
        features = ops.ones((2, 3 if name == "GSoftmax" else SIZE))
        takes = "training" in inspect.signature(layer.call).parameters
        pair = [features] * 2 if name == "ParameterTying" else features
        outputs = layer(pair, **({"training": True} if takes else {}))
        outputs = outputs if isinstance(outputs, dict) else {"": outputs}
        assert_no_nan([each for key, each in outputs.items() if "log_mask" not in key])

    names = own_arguments(LAYERS[name])
    count("arguments", fuzz("arguments", name, lambda data: check(data, name, names, make, use)))


@pytest.mark.parametrize("name", SCHEDULES)
def test_of_a_schedule(name, count):
    plain = {each: values[0] for each, values in settings_of(name, SCHEDULES[name]).items()}

    def use(schedule):
        assert_no_nan([ops.convert_to_tensor(schedule(step)) for step in (0, 3)])

    def make(argument):
        return SCHEDULES[name](**{**plain, **argument})

    names = own_arguments(SCHEDULES[name])
    count("arguments", fuzz("arguments", name, lambda data: check(data, name, names, make, use)))
