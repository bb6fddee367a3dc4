"""Errors that name the argument, what was expected and what came."""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import keras
from keras import ops

from ._xla import is_compiled

Tensor = Any

# The key under which the numbers of examples travel beside the inputs of a model.
INDEX = "keras_softmaxes_index"


def invalid(argument: str, expected: str, received: object) -> ValueError:
    """Return the error for an argument, in the words of Keras's own."""
    return ValueError(
        f"Invalid value for argument `{argument}`. Expected {expected}. "
        f"Received: {argument}={received}"
    )


def check_integer(argument: str, value: int, least: int) -> None:
    """Raise ValueError unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise invalid(argument, f"an integer of at least {least}", repr(value))


def check_boolean(argument: str, value: bool) -> None:
    """Raise ValueError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise invalid(argument, "True or False", repr(value))


def check_choice(argument: str, value: str, choices: Iterable[str]) -> None:
    """Raise ValueError unless `value` is one of the names in `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise invalid(argument, f"one of {', '.join(map(repr, choices))}", repr(value))


def check_positive(argument: str, value: float) -> None:
    """Raise ValueError unless `value` is a finite number above 0."""
    if not (_is_finite(value) and value > 0):
        raise invalid(argument, "a finite number above 0", repr(value))


def check_finite(argument: str, value: float) -> None:
    """Raise ValueError unless `value` is a finite number."""
    if not _is_finite(value):
        raise invalid(argument, "a finite number", repr(value))


def check_not_negative(argument: str, value: float) -> None:
    """Raise ValueError unless `value` is a finite number of at least 0."""
    if not is_not_negative(value):
        raise invalid(argument, "a finite number of at least 0", repr(value))


def is_not_negative(value: object) -> bool:
    """Tell whether `value` is a finite number of at least 0."""
    return _is_finite(value) and value >= 0  # type: ignore[operator]


def check_share(
    argument: str, value: float, *, above_zero: bool = False, below_one: bool = False
) -> None:
    """Raise ValueError unless `value` is a number in [0, 1], or without the ends as is said."""
    is_inside = _is_finite(value) and 0 <= value <= 1
    if not is_inside or (above_zero and value == 0) or (below_one and value == 1):
        least = "above 0" if above_zero else "of at least 0"
        most = "below 1" if below_one else "at most 1"
        raise invalid(argument, f"a number {least} and {most}", repr(value))


def static_shape(argument: str, tensor: Tensor) -> tuple[int | None, ...]:
    """Return the tensor's static shape; raise ValueError where not even its rank is known."""
    if getattr(tensor.shape, "rank", 0) is None:
        raise invalid(argument, "a tensor of known rank", "a tensor of unknown rank")
    return tuple(tensor.shape)


def check_logits(argument: str, logits: Tensor) -> None:
    """Raise ValueError unless `logits` has the shape (..., classes), at least two classes."""
    shape = static_shape(argument, logits)
    if len(shape) < 2 or shape[-1] is None or shape[-1] < 2:
        expected = "shape (batch, ..., classes), at least 2 classes (two for a binary problem)"
        raise invalid(argument, expected, f"a tensor of shape {shape}")


def check_rows(argument: str, rows: Tensor) -> None:
    """Raise ValueError unless `rows` has the shape (batch, classes), at least two classes."""
    check_logits(argument, rows)
    if len(rows.shape) != 2:
        raise invalid(argument, "shape (batch, classes)", f"a tensor of shape {tuple(rows.shape)}")


def check_features(features: Tensor, size: int | None, owner: str) -> None:
    """Raise ValueError unless `features` has the shape (..., size), as its owner demands."""
    shape = static_shape("features", features)
    if len(shape) < 2 or shape[-1] != size:
        expected = f"shape (batch, ..., {size}), with as many features as `{owner}` has"
        raise invalid("features", expected, f"a tensor of shape {shape}")


def check_same_shape(**tensors: Tensor) -> None:
    """Raise ValueError unless the tensors, named by their arguments, have one static shape."""
    (first, reference), *others = tensors.items()
    for argument, tensor in others:
        ours, theirs = static_shape(argument, tensor), static_shape(first, reference)
        known = zip(ours, theirs, strict=False)
        if len(ours) != len(theirs) or any(a != b for a, b in known if None not in (a, b)):
            expected = f"the shape {theirs} of `{first}`"
            raise invalid(argument, expected, f"a tensor of shape {ours}")


def checked(
    tensor: Tensor, condition: Tensor, argument: str, expected: str, received: Tensor
) -> Tensor:
    """Return a tensor once a condition on values is known to hold.

    Eagerly this raises ValueError at once; in a TensorFlow graph the step fails with
    InvalidArgumentError and the same words, before anything is computed from what is returned. A
    computation compiled by XLA, or traced by JAX, cannot raise: there the caller must turn the
    refused values into NaN.

    Args:
        tensor: what is returned.
        condition: tensor of booleans; all must hold.
        argument: the argument's name.
        expected: what it should hold, in words.
        received: its value, of which the message tells the smallest and the largest number.
    """
    condition = ops.all(condition)
    if _is_eager(condition):
        if not bool(condition):
            extremes = f"values from {ops.min(received)} to {ops.max(received)}"
            raise invalid(argument, expected, extremes)
    elif keras.backend.backend() == "tensorflow" and not is_compiled():
        import tensorflow as tf

        message = str(invalid(argument, expected, "values from"))
        # `tf.debugging.Assert` would branch on the condition, which costs more than the check.
        check = tf.raw_ops.Assert(
            condition=condition, data=[message, ops.min(received), "to", ops.max(received)]
        )
        with tf.control_dependencies([check]):
            return tf.nest.map_structure(tf.identity, tensor)
    return tensor


def positive_stddev(stddev: Tensor) -> Tensor:
    """Return standard deviations that are above 0; others are refused, or become NaN.

    See `checked` for where they can be refused.
    """
    expected = "standard deviations above 0"
    stddev = checked(stddev, stddev > 0, "stddev", expected, stddev)
    return ops.where(stddev > 0, stddev, float("nan"))


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def _is_eager(tensor: Tensor) -> bool:
    if keras.backend.backend() == "tensorflow":
        return hasattr(tensor, "numpy")
    if keras.backend.backend() == "jax":
        import jax

        return not isinstance(tensor, jax.core.Tracer)
    return not getattr(tensor, "is_meta", False)  # torch's, which holds no values
