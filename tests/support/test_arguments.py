import re

import keras
import numpy as np
import pytest
from keras import ops
from numerics import MODES, execute

from keras_softmaxes.support import _arguments as support

HUGE = 10**400  # beyond every float
BAD_NUMBERS = [True, "1", None, float("nan"), float("inf"), HUGE, [1.0]]
CHECKS = {
    "an integer": (
        lambda value: support.check_integer("size", value, least=2),
        [2, np.int64(7), HUGE],
        [1, 2.0, True, "2", None],
        "an integer of at least 2",
    ),
    "a boolean": (
        lambda value: support.check_boolean("size", value),
        [True, False],
        [0, 1, "True", None],
        "True or False",
    ),
    "a choice": (
        lambda value: support.check_choice("size", value, ("small", "large")),
        ["small", "large"],
        ["medium", None, ["small"], 0],
        "one of 'small', 'large'",
    ),
    "above 0": (
        lambda value: support.check_positive("size", value),
        [1e-300, 3, np.float32(0.5)],
        [0, -1.0, *BAD_NUMBERS],
        "a finite number above 0",
    ),
    "finite": (
        lambda value: support.check_finite("size", value),
        [-3, 0.0],
        BAD_NUMBERS,
        "a finite number",
    ),
    "not negative": (
        lambda value: support.check_not_negative("size", value),
        [0, 0.5],
        [-1e-9, *BAD_NUMBERS],
        "a finite number of at least 0",
    ),
    "a share": (
        lambda value: support.check_share("size", value),
        [0, 0.5, 1],
        [-0.1, 1.1, *BAD_NUMBERS],
        "a number of at least 0 and at most 1",
    ),
    "an inner share": (
        lambda value: support.check_share("size", value, above_zero=True, below_one=True),
        [0.5],
        [0, 1, *BAD_NUMBERS],
        "a number above 0 and below 1",
    ),
}


@pytest.mark.parametrize("case", CHECKS)
def test_an_argument_is_taken_or_raises_with_its_name(case):
    check, taken, bad, expected = CHECKS[case]
    for value in taken:
        check(value)
    for value in bad:
        message = (
            f"Invalid value for argument `size`. Expected {expected}. Received: size={value!r}"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            check(value)


def test_shapes_are_taken_or_raise_with_their_name():
    image, rows = np.zeros((2, 4, 5, 3)), np.zeros((2, 3))
    for tensor in (image, rows):
        support.check_logits("scores", tensor)
        support.check_features(tensor, 3, "kernel")
    support.check_rows("scores", rows)
    support.check_same_shape(scores=rows, mask=rows + 1)
    for check, message in [
        (lambda: support.check_logits("scores", rows[0]), r"`scores`.*\(batch, \.\.\., classes\)"),
        (lambda: support.check_logits("scores", rows[:, :1]), r"at least 2 classes.*\(2, 1\)"),
        (
            lambda: support.check_rows("scores", image),
            r"`scores`.*\(batch, classes\).*\(2, 4, ",
        ),
        (lambda: support.check_features(rows, 4, "kernel"), r"\.\.\., 4\).*`kernel` has.*\(2, 3\)"),
        (lambda: support.check_features(rows[0], 3, "kernel"), r"`features`.*\(3,\)"),
        (
            lambda: support.check_same_shape(scores=rows, mask=rows[:1]),
            r"`mask`. Expected the shape \(2, 3\) of `scores`. .*\(1, 3\)",
        ),
        (lambda: support.check_same_shape(scores=rows, mask=rows[0]), r"`mask`.*\(3,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            check()


@pytest.mark.tensorflow
def test_a_tensor_of_unknown_rank_raises():
    import tensorflow as tf

    trace = tf.function(
        lambda scores: support.static_shape("scores", scores), input_signature=[tf.TensorSpec(None)]
    )
    with pytest.raises(ValueError, match=r"`scores`. Expected a tensor of known rank"):
        trace.get_concrete_function()


RECEIVED = {
    "integers": (np.array([3, -1, 7, 2]), "values from -1 to 7"),
    "unsigned": (np.array([3, 7], "uint16"), "values from 3 to 7"),
    "floats": (np.array([[0.25, 0.75]], "float16"), "values from 0.25 to 0.75"),
    "not a number": (np.array([1, np.nan, 0], "float32"), "values from nan to nan"),
}


def checked(values):
    received = ops.convert_to_tensor(values)
    holds = ops.zeros(len(values), "bool")
    return support.checked(received, holds, "labels", "other values", received)


@pytest.mark.parametrize("case", RECEIVED)
def test_the_message_tells_the_extremes_alone(case):
    values, extremes = RECEIVED[case]
    message = f"`labels`. Expected other values. Received: labels={extremes}$"
    with pytest.raises(ValueError, match=message):
        checked(values)


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", RECEIVED)
def test_a_graph_uses_the_same_words(case):
    import tensorflow as tf

    values, extremes = RECEIVED[case]
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        tf.function(checked)(values)
    message = error.value.message.replace("[", "").replace("]", "")
    assert f"`labels`. Expected other values. Received: labels={extremes}" in message


@pytest.mark.parametrize("mode", MODES)
def test_what_holds_passes_and_an_empty_tensor_does(mode):
    def check(values):
        return support.checked(2 * values, values > 0, "values", "values above 0", values)

    for values in (np.array([1.0, 3.0]), np.zeros(0)):
        np.testing.assert_array_equal(execute(check, [values], mode), 2 * values)


@pytest.mark.tensorflow
def test_what_depends_on_a_bad_value_is_not_computed():
    """So the weights are what they were, whatever order a graph runs in."""
    import tensorflow as tf

    kept, other = tf.Variable(1.0), tf.Variable(1.0)

    @tf.function
    def step(values):
        pair = (values, {"twice": 2 * values})
        first, second = support.checked(pair, values > 0, "values", "values above 0", values)
        kept.assign(tf.reduce_sum(first))
        other.assign(tf.reduce_sum(second["twice"]))

    step(tf.constant([2.0, 3.0]))
    assert (float(kept), float(other)) == (5, 10)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`values`\. Expected values above 0"):
        step(tf.constant([7.0, -1.0]))
    assert (float(kept), float(other)) == (5, 10)


@pytest.mark.tensorflow
def test_nor_is_the_gradient():
    import tensorflow as tf

    weights = tf.Variable([1.0, 2.0])

    @tf.function
    def step(values):
        with tf.GradientTape() as tape:
            checked = support.checked(values, values > 0, "values", "values above 0", values)
            loss = tf.reduce_sum(checked * weights)
        weights.assign_sub(tape.gradient(loss, weights))

    with pytest.raises(tf.errors.InvalidArgumentError):
        step(tf.constant([7.0, -1.0]))
    np.testing.assert_array_equal(weights, [1, 2])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("read", "argument", "expected", "bad"),
    [
        (support.positive_stddev, "stddev", "standard deviations above 0", 0.0),
        *(
            (
                lambda tensor: support.readable_weights("weights", tensor),
                "weights",
                "finite numbers of at least 0",
                value,
            )
            for value in (-1.0, np.inf, np.nan)
        ),
    ],
)
def test_numbers_out_of_range_raise_or_become_nan(read, argument, expected, bad, mode):
    good, wrong = np.array([0.5, 2.0]), np.array([0.5, bad])
    np.testing.assert_array_equal(execute(read, [good], mode), good)
    if mode in ("xla", "jit"):
        np.testing.assert_array_equal(execute(read, [wrong], mode), [0.5, np.nan])
    else:
        error = ValueError
        if mode == "graph":
            import tensorflow as tf

            error = tf.errors.InvalidArgumentError
        with pytest.raises(error, match=rf"`{argument}`\. Expected {expected}"):
            execute(read, [wrong], mode)


def test_an_error_is_a_value_error_of_three_parts():
    error = support.invalid("size", "a number", "many")
    assert isinstance(error, ValueError)
    expected = "Invalid value for argument `size`. Expected a number. Received: size=many"
    assert str(error) == expected
    assert keras.backend.backend() not in str(error)
