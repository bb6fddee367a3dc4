"""The one place that reads labels."""

from typing import Any

import keras
from keras import ops

from ._arguments import Tensor, check_integer, check_same_shape, checked, invalid, static_shape
from ._xla import xla_compiled

UNREADABLE = -(2**31)


def class_indices(labels: Tensor, logits: Tensor, ignore_class: int | None = None) -> Tensor:
    """Return the class of each example, whichever way the labels are written.

    The form is told by static shape and type alone: integers of the shape of the examples, or of
    that shape with a last axis of size 1, are classes; that shape with a last axis of size
    `classes`, of any type, is one-hot. Labels are never cast to a float type, which would change
    the class (301 in bfloat16 is 302). JAX's own integers have 32 bits: it wraps larger ones around
    before they can be seen here.

    Args:
        labels: (...) or (..., 1) integers, or (..., classes) one-hot.
        logits: (..., classes), whose shape alone matters: (batch, classes), or (batch, height,
            width, classes) where each pixel is an example.
        ignore_class: a class, in range or not, that `labels` may hold too.

    Returns:
        (...) int32. A label that cannot be read where nothing can be raised (inside XLA, under
        `jax.jit`) is `UNREADABLE`, which `one_hot` turns into NaN.

    Raises:
        ValueError: for any other rank, shape or type; for classes out of range and one-hot rows
            that are not one-hot (label smoothing and mixup hide the target). In a TensorFlow
            graph values are refused by InvalidArgumentError.

    Example:
        >>> class_indices([[0.0, 1.0], [1.0, 0.0]], keras.ops.zeros((2, 2))).numpy()
        array([1, 0], dtype=int32)
    """
    labels = ops.convert_to_tensor(labels)
    *examples, classes = logits.shape
    shape = static_shape("labels", labels)
    has_class_axis = len(shape) == len(examples) + 1
    is_integer = "int" in keras.backend.standardize_dtype(labels.dtype)
    if has_class_axis and shape[-1] == classes and _agree(shape[:-1], examples):
        indices = _from_one_hot(labels)
    elif (
        (len(shape) == len(examples) or (has_class_axis and shape[-1] == 1))
        and _agree(shape[: len(examples)], examples)
        and (is_integer or _is_distributed())
    ):
        integers = ops.squeeze(labels, axis=-1) if has_class_axis else labels
        indices = _from_integers(integers, classes, is_integer, ignore_class)
    else:
        raise invalid(
            "labels",
            f"integers of shape {_describe(examples)} or {_describe([*examples, 1])}, or one-hot "
            f"of shape {_describe([*examples, classes])}, all but the batch known (cast whole "
            "numbers of a float type by `astype('int32')`)",
            f"{keras.backend.standardize_dtype(labels.dtype)} of shape {shape}",
        )
    expected = f"integer classes from 0 to {classes - 1}, or one-hot rows, one 1 among zeros"
    return checked(indices, indices != UNREADABLE, "labels", expected, labels)


def counted_classes(labels: Tensor, logits: Tensor, ignore_class: int) -> tuple[Tensor, Tensor]:
    """Return the class of each example, and which examples count because it is not ignored.

    Args:
        labels: as `class_indices` takes them.
        logits: (..., classes).
        ignore_class: a class, in range or not.

    Returns:
        (...) int32, 0 for an example that is ignored, and (...) booleans.
    """
    indices = class_indices(labels, logits, ignore_class)
    counted = indices != ignore_class
    return ops.where(counted, indices, 0), counted


def check_ignore_class(ignore_class: Any) -> None:
    """Raise ValueError unless `ignore_class` is None or an integer."""
    if ignore_class is not None:
        check_integer("ignore_class", ignore_class, least=UNREADABLE + 1)


def one_hot(labels: Tensor, logits: Tensor) -> Tensor:
    """Return the labels as one-hot rows, in the shape and type of the logits.

    A label that cannot be read and could not be refused is a row of NaN, so that no wrong number
    can come of it.

    Args:
        labels: as `class_indices` takes them.
        logits: (..., classes).

    Returns:
        (..., classes), of the type of `logits`.
    """
    return one_hot_rows(class_indices(labels, logits), logits)


def one_hot_rows(classes: Tensor, logits: Tensor) -> Tensor:
    """Return `one_hot` of labels that `class_indices` has read, (...) int32."""
    target = ops.reshape(classes, (*ops.shape(logits)[:-1], 1))  # which nothing can broadcast
    rows = ops.cast(ops.arange(logits.shape[-1], dtype="int32") == target, logits.dtype)
    return ops.where(target < 0, float("nan"), rows)


def multi_hot(labels: Tensor, logits: Tensor) -> Tensor:
    """Return labels of which an example may have any number, in the type of the logits.

    Args:
        labels: (..., labels), of zeros and ones of any type.
        logits: (..., labels).

    Returns:
        (..., labels), of the type of `logits`. What is neither 0 nor 1 and could not be refused
        (inside XLA, under `jax.jit`) is NaN.

    Raises:
        ValueError: labels of another shape, or that are neither 0 nor 1. In a TensorFlow graph
            values are refused by InvalidArgumentError.
    """
    labels = ops.convert_to_tensor(labels)
    check_same_shape(logits=logits, labels=labels)
    # Which nothing can broadcast. TensorFlow would leave out a reshape that adds no axis.
    labels = ops.squeeze(ops.reshape(labels, (*ops.shape(logits), 1)), axis=-1)
    present, absent = (labels == ops.cast(value, labels.dtype) for value in (1, 0))
    expected = "a 1 for each label that is present, else 0"
    rows = ops.where(present | absent, ops.cast(present, logits.dtype), float("nan"))
    return checked(rows, present | absent, "labels", expected, labels)


def at_target(target: Tensor, values: Tensor) -> Tensor:
    """Return the target's value, whatever the others are, infinities among them.

    Args:
        target: what `one_hot` returned, (..., classes).
        values: (..., classes).

    Returns:
        (...), NaN where the label could not be read.
    """
    return ops.sum(ops.where(target == 0, 0, target * values), axis=-1)


def at_class(classes: Tensor, values: Tensor) -> Tensor:
    """Return the value of the class of each example, by its index.

    Args:
        classes: labels that `class_indices` has read, (...) int32.
        values: (..., classes).

    Returns:
        (...), NaN where the label could not be read.
    """
    index = ops.expand_dims(ops.maximum(classes, 0), axis=-1)
    chosen = ops.squeeze(ops.take_along_axis(values, index, axis=-1), axis=-1)
    return ops.where(classes < 0, float("nan"), chosen)


def _agree(shape: Any, other: Any) -> bool:
    return all(
        ours in (None, theirs) or theirs is None for ours, theirs in zip(shape, other, strict=True)
    )


def _describe(shape: list[int | None]) -> str:
    """Write a shape, its first size being the batch's."""
    sizes = ["batch", *("?" if size is None else str(size) for size in shape[1:])]
    return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"


def _is_distributed() -> bool:
    """Tell whether labels may be floats that stand for integers, but are never computed.

    Keras builds a model under a `tf.distribute` strategy by calling its loss on the mean of the
    replicas' labels. There floats are refused when they are computed, not when they are seen.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.distribute.has_strategy()


def _from_integers(
    labels: Tensor, classes: int, is_integer: bool, ignore_class: int | None
) -> Tensor:
    indices = ops.cast(labels, "int32")
    in_range = (indices >= 0) & (indices < classes)
    if ignore_class is not None:
        in_range |= indices == ignore_class
    # The round trip catches what the cast wrapped around.
    exact = (ops.cast(indices, labels.dtype) == labels) & is_integer
    return ops.where(exact & in_range, indices, UNREADABLE)


@xla_compiled
def _from_one_hot(labels: Tensor) -> Tensor:
    ones = labels == ops.cast(1, labels.dtype)
    zeros = labels == ops.cast(0, labels.dtype)
    single = ops.sum(ops.cast(ones, "int32"), axis=-1) == 1
    readable = single & ops.all(ones | zeros, axis=-1)
    return ops.where(readable, ops.cast(ops.argmax(ones, axis=-1), "int32"), UNREADABLE)
