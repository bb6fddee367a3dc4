"""Errors that name the argument, what was expected and what came."""

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

import keras
import numpy as np
from keras import ops

from ._xla import is_compiled

Tensor = Any
Value = TypeVar("Value")
Choice = TypeVar("Choice", bound=str)

# The key under which the numbers of examples travel beside the inputs of a model.
INDEX = "keras_softmaxes_index"

MOST = 2**63 - 1  # that an integer of a tensor may be


def invalid(argument: str, expected: str, received: object) -> ValueError:
    """Return the error for an argument, in the words of Keras's own."""
    return ValueError(
        f"Invalid value for argument `{argument}`. Expected {expected}. "
        f"Received: {argument}={received}"
    )


def check_integer(argument: str, value: int, least: int, most: float = math.inf) -> int:
    """Return `value`; raise ValueError unless it is an integer from `least` to `most`."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    bound = f" and at most {most}" if is_integer and value > most else ""
    is_valid = is_integer and least <= value <= most
    return _valid(argument, value, is_valid, f"an integer of at least {least}{bound}")


def check_seed(seed: int | None) -> int | None:
    """Return `seed`; raise ValueError unless it is None or an integer of at least 0."""
    return None if seed is None else int(check_integer("seed", seed, least=0, most=MOST))


def check_boolean(argument: str, value: bool) -> bool:
    """Return `value`; raise ValueError unless it is True or False."""
    return _valid(argument, value, isinstance(value, bool), "True or False")


def check_choice(argument: str, value: Choice, choices: Iterable[str]) -> Choice:
    """Return `value`; raise ValueError unless it is one of the names in `choices`."""
    is_one = isinstance(value, str) and value in choices
    return _valid(argument, value, is_one, f"one of {', '.join(map(repr, choices))}")


def check_positive(argument: str, value: float) -> float:
    """Return `value`; raise ValueError unless it is a finite number above 0."""
    is_valid = _is_finite(value) and value > 0
    return float(_valid(argument, value, is_valid, "a finite number above 0"))


def check_finite(argument: str, value: float) -> float:
    """Return `value`; raise ValueError unless it is a finite number."""
    return float(_valid(argument, value, _is_finite(value), "a finite number"))


def check_not_negative(argument: str, value: float) -> float:
    """Return `value`; raise ValueError unless it is a finite number of at least 0."""
    expected = "a finite number of at least 0"
    return float(_valid(argument, value, is_not_negative(value), expected))


def is_not_negative(value: object) -> bool:
    """Tell whether `value` is a finite number of at least 0."""
    return _is_finite(value) and value >= 0  # type: ignore[operator]


def check_share(
    argument: str, value: float, *, above_zero: bool = False, below_one: bool = False
) -> float:
    """Return `value`; raise ValueError unless it is in [0, 1], or without the ends as is said."""
    is_valid = _is_finite(value) and (value > 0 if above_zero else value >= 0)
    is_valid = is_valid and (value < 1 if below_one else value <= 1)
    least = "above 0" if above_zero else "of at least 0"
    most = "below 1" if below_one else "at most 1"
    return _valid(argument, value, is_valid, f"a number {least} and {most}")


def check_numbers(
    argument: str, values: Sequence[float] | np.ndarray | None, least: float = -math.inf
) -> list[float] | None:
    """Return a sequence of finite numbers as a list; raise ValueError for anything else but None.

    Args:
        argument: the argument's name.
        values: numbers, as a list, a tuple or an array of one axis.
        least: what each must at least be.
    """
    if values is None:
        return None
    is_valid = is_list(values) and all(_is_finite(each) and each >= least for each in values)
    bound = "" if least == -math.inf else f" of at least {least}"
    _valid(argument, values, is_valid, f"a list of finite numbers{bound}, one per class")
    return [float(each) for each in values]


def is_list(values: object) -> bool:
    """Tell whether values are a list, a tuple or an array of one axis."""
    is_sequence = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str)
    return is_sequence and getattr(values, "ndim", 1) == 1


def static_shape(argument: str, tensor: Tensor) -> tuple[int | None, ...]:
    """Return the tensor's static shape; raise ValueError where not even its rank is known."""
    if getattr(tensor.shape, "rank", 0) is None:
        expected = (
            "a tensor of known rank (TensorFlow traces a model's step anew, without one, once "
        )
        expected += "it is given labels or weights of another rank)"
        raise invalid(argument, expected, "a tensor of unknown rank")
    return tuple(tensor.shape)


def agree(shape: Sequence[int | None], other: Sequence[int | None]) -> bool:
    """Tell whether static shapes may be equal, a size that is not known being any."""
    sizes = zip(shape, other, strict=False)
    return len(shape) == len(other) and all(a == b or None in (a, b) for a, b in sizes)


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
        if not agree(ours, theirs):
            expected = f"the shape {theirs} of `{first}`"
            raise invalid(argument, expected, f"a tensor of shape {ours}")


def alike(**tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors, named by their arguments, once they are known to have one shape.

    Raises:
        ValueError: static shapes that differ. Where a size is known only when a TensorFlow graph
            runs, InvalidArgumentError; a batch of one is not repeated for those of another tensor.
    """
    check_same_shape(**tensors)
    first, *others = tensors.values()
    return first, *(_of_shape(each, first) for each in others)


def _of_shape(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a tensor of the shape of another, which nothing can broadcast."""
    known = None not in (*tensor.shape, *like.shape)
    if known or isinstance(tensor, keras.KerasTensor) or isinstance(like, keras.KerasTensor):
        return tensor
    # TensorFlow would leave out a reshape that adds no axis.
    return ops.squeeze(ops.reshape(tensor, (*ops.shape(like), 1)), axis=-1)


def checked(
    tensor: Tensor, condition: Tensor, argument: str, expected: str, received: Tensor
) -> Tensor:
    """Return a tensor once a condition on values is known to hold.

    Eagerly this raises ValueError at once; in a TensorFlow graph the step fails with
    InvalidArgumentError and the same words, before anything is computed from what is returned. A
    computation compiled by XLA, or traced by JAX, cannot raise: there the caller must turn the
    invalid values into NaN.

    Args:
        tensor: what is returned.
        condition: tensor of booleans; all must hold.
        argument: the argument's name.
        expected: what it should hold, in words.
        received: its value; the message gives the smallest and the largest number.
    """
    condition = ops.all(condition)
    if _is_eager(condition):
        if not bool(condition):
            least, most = _extremes(received)
            raise invalid(argument, expected, f"values from {least} to {most}")
    elif keras.backend.backend() == "tensorflow" and not is_compiled():
        import tensorflow as tf

        message = str(invalid(argument, expected, "values from {} to {}"))
        message = tf.strings.format(message, _extremes(received))
        # `tf.debugging.Assert` would branch on the condition, which costs more than the check.
        check = tf.raw_ops.Assert(condition=condition, data=[message])
        with tf.control_dependencies([check]):
            return tf.nest.map_structure(tf.identity, tensor)
    return tensor


def positive_stddev(stddev: Tensor) -> Tensor:
    """Return standard deviations that are above 0; others raise, or become NaN.

    See `checked` for where they can raise.
    """
    expected = "standard deviations above 0"
    stddev = checked(stddev, stddev > 0, "stddev", expected, stddev)
    return ops.where(stddev > 0, stddev, float("nan"))


def readable_weights(argument: str, weights: Tensor) -> Tensor:
    """Return weights that are finite and at least 0; others raise, or become NaN.

    See `checked` for where they can raise.
    """
    readable = (weights >= 0) & (weights < math.inf)
    weights = checked(weights, readable, argument, "finite numbers of at least 0", weights)
    return ops.where(readable, weights, float("nan"))


def _valid(argument: str, value: Value, is_valid: bool, expected: str) -> Value:
    """Return the value of an argument that is valid."""
    if not is_valid:
        raise invalid(argument, expected, repr(value))
    return value


def _extremes(tensor: Tensor) -> tuple[Tensor, Tensor]:
    numbers = (
        ops.cast(tensor, "int32")
        if keras.backend.standardize_dtype(tensor.dtype) == "bool"
        else tensor
    )
    return ops.min(numbers), ops.max(numbers)


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
