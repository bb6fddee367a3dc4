"""The one place that reads labels."""

from typing import Any, NamedTuple

import keras
import ml_dtypes
from keras import ops

from ._arguments import (
    Tensor,
    agree,
    alike,
    check_integer,
    checked,
    invalid,
    static_shape,
)
from ._xla import xla_compiled

UNREADABLE = -(2**31)
SOFT = UNREADABLE + 1
MISSING = -1.0


class Labels(NamedTuple):
    """Labels that were read.

    Attributes:
        classes: (...) int32, the class of each example. `SOFT` is a soft label, and `UNREADABLE`
            one that cannot be read where nothing can be raised (inside XLA, under `jax.jit`).
        rows: (..., classes), the distribution of each example's classes, where the labels are
            written so, of the type of the logits; else None.
    """

    classes: Tensor
    rows: Tensor | None


def read_labels(labels: Tensor, logits: Tensor, ignore_class: int | None = None) -> Labels:
    """Return the labels, whichever way they are written.

    The static shape decides on the form: numbers in the shape of the examples, or in that shape
    with a last axis of size 1, are classes; in that shape with a last axis of size `classes` they
    are distributions of the classes, one-hot or soft. Classes are never cast to a float type, which
    would change them (301 in bfloat16 is 302). JAX's own integers have 32 bits: it wraps larger
    ones around before they can be seen here.

    Args:
        labels: (...) or (..., 1) whole numbers of any type, or (..., classes) numbers of at least 0
            that sum to 1, to a thousandth (in half precision to a hundredth).
        logits: (..., classes), whose shape and type alone matter: (batch, classes), or (batch,
            height, width, classes) where each pixel is an example.
        ignore_class: a class, in range or not, that `labels` may hold too.

    Returns:
        What was read.

    Raises:
        ValueError: for any other rank or shape; for classes out of range or between two, and rows
            that are no distributions. In a TensorFlow graph values raise InvalidArgumentError.

    Example:
        >>> read_labels([[0.0, 1.0], [0.5, 0.5]], keras.ops.zeros((2, 2))).rows.numpy()
        array([[0. , 1. ],
               [0.5, 0.5]], dtype=float32)
    """
    check_given(labels)
    if getattr(getattr(labels, "dtype", None), "kind", "") in ("O", "S", "U"):  # of NumPy
        raise invalid("labels", "numbers, the classes", f"{labels.dtype}")
    labels = ops.convert_to_tensor(labels)
    if keras.backend.standardize_dtype(labels.dtype) == "string":
        raise invalid("labels", "numbers, the classes", "strings")
    *examples, classes = logits.shape
    shape = static_shape("labels", labels)
    has_class_axis = len(shape) == len(examples) + 1 and agree(shape[:-1], examples)
    if has_class_axis and shape[-1] == classes:
        return _read_rows(labels, keras.backend.standardize_dtype(logits.dtype))
    if has_class_axis and shape[-1] == 1:
        return _read_classes(ops.squeeze(labels, axis=-1), classes, ignore_class)
    if len(shape) == len(examples) and agree(shape, examples):
        return _read_classes(labels, classes, ignore_class)
    is_per_row = len(shape) <= 2 and len(examples) > 1
    advice = " (one per row needs `Flatten` or a global pooling)" if is_per_row else ""
    raise invalid(
        "labels",
        f"classes of shape {_describe(examples)} or {_describe([*examples, 1])}, or one-hot or "
        f"soft rows of shape {_describe([*examples, classes])}, all but the batch known{advice}",
        f"{keras.backend.standardize_dtype(labels.dtype)} of shape {shape}",
    )


def class_indices(labels: Tensor, logits: Tensor, ignore_class: int | None = None) -> Tensor:
    """Return the class of each example, (...) int32; soft labels raise.

    Args:
        labels: (...) or (..., 1) whole numbers, or (..., classes) one-hot, as for `read_labels`.
        logits: (..., classes).
        ignore_class: a class, in range or not, that `labels` may hold too.

    Returns:
        (...) int32. A label that cannot be read where nothing can be raised is `UNREADABLE`, which
        `one_hot` turns into NaN.

    Raises:
        ValueError: as `read_labels` does, and for soft labels.

    Example:
        >>> class_indices([[0.0, 1.0], [1.0, 0.0]], keras.ops.zeros((2, 2))).numpy()
        array([1, 0], dtype=int32)
    """
    classes, rows = read_labels(labels, logits, ignore_class)
    if rows is None:
        return classes
    expected = "classes or one-hot rows, one 1 among zeros (soft labels are for losses)"
    classes = checked(classes, classes > SOFT, "labels", expected, rows)
    return ops.where(classes == SOFT, UNREADABLE, classes)


def counted_classes(
    labels: Tensor, logits: Tensor, ignore_class: int | None
) -> tuple[Tensor, Tensor]:
    """Return the class of each example, and which examples count because it is not ignored.

    Args:
        labels: as `class_indices` takes them.
        logits: (..., classes).
        ignore_class: a class, in range or not, or None, for which all count.

    Returns:
        (...) int32, 0 for an example that is ignored, and (...) booleans.
    """
    indices = class_indices(labels, logits, ignore_class)
    # All are at least `UNREADABLE`; ones would not wait for the check of the labels.
    counted = indices >= UNREADABLE if ignore_class is None else indices != ignore_class
    return ops.where(counted, indices, 0), counted


def check_ignore_class(ignore_class: Any) -> None:
    """Raise ValueError unless `ignore_class` is None or an integer."""
    if ignore_class is not None:
        check_integer("ignore_class", ignore_class, least=SOFT + 1, most=2**31 - 1)


def one_hot(labels: Tensor, logits: Tensor) -> Tensor:
    """Return the labels as one-hot rows, in the shape and type of the logits.

    A label that cannot be read, where nothing can raise, is a row of NaN, so that no wrong number
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
    """Return labels, any number per example, in the type of the logits.

    Args:
        labels: (..., labels), of zeros and ones of any type.
        logits: (..., labels).

    Returns:
        (..., labels), of the type of `logits`. A label that is neither 0 nor 1 becomes
        NaN where nothing can raise: inside XLA, and under `jax.jit`.

    Raises:
        ValueError: labels of another shape, or that are neither 0 nor 1. In a TensorFlow graph
            values raise InvalidArgumentError.
    """
    check_given(labels)
    labels = ops.convert_to_tensor(labels)
    _, labels = alike(logits=logits, labels=labels)
    present, absent = (labels == ops.cast(value, labels.dtype) for value in (1, 0))
    expected = "a 1 for each label that is present, else 0"
    rows = ops.where(present | absent, ops.cast(present, logits.dtype), float("nan"))
    return checked(rows, present | absent, "labels", expected, labels)


def multi_hot_or_missing(labels: Tensor, logits: Tensor) -> Tensor:
    """Return `multi_hot` of labels where NaN, in a float type, is missing and becomes `MISSING`.

    Args:
        labels: (..., labels), of zeros, ones and NaN.
        logits: (..., labels).

    Returns:
        (..., labels), of the type of `logits`.
    """
    check_given(labels)
    labels = ops.convert_to_tensor(labels)
    if "float" not in keras.backend.standardize_dtype(labels.dtype):
        return multi_hot(labels, logits)
    is_missing = ops.isnan(labels)
    known = multi_hot(ops.where(is_missing, 0, labels), logits)
    return ops.where(is_missing, MISSING, known)


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


def check_given(labels: Any) -> None:
    """Raise ValueError for no labels, and for a dict of them."""
    if labels is None or isinstance(labels, dict):
        received = None if labels is None else f"a dict of {', '.join(map(repr, labels))}"
        raise invalid("labels", "an array, the class of each example", received)


def _describe(shape: list[int | None]) -> str:
    """Write a shape, its first size being the batch's."""
    sizes = ["batch", *("?" if size is None else str(size) for size in shape[1:])]
    return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"


def _read_classes(labels: Tensor, classes: int, ignore_class: int | None) -> Labels:
    dtype = keras.backend.standardize_dtype(labels.dtype)
    if dtype in ("float16", "bfloat16") and classes > 2 ** (ml_dtypes.finfo(dtype).nmant + 1):
        raise invalid("labels", f"a type that holds {classes} classes, as int32", dtype)
    labels = ops.cast(labels, "int32") if dtype == "bool" else labels
    indices = ops.cast(labels, "int32")
    in_range = (indices >= 0) & (indices < classes)
    if ignore_class is not None:
        in_range |= indices == ignore_class
    # The round trip catches what the cast wrapped around, or cut off.
    readable = in_range & (ops.cast(indices, labels.dtype) == labels)
    expected = f"whole numbers, the classes from 0 to {classes - 1}"
    if ignore_class is None:
        expected += ", without an `ignore_class`"
    indices = ops.where(readable, indices, UNREADABLE)
    return Labels(checked(indices, readable, "labels", expected, labels), None)


def _read_rows(labels: Tensor, dtype: str) -> Labels:
    # The rounding of the labels' own type, as float16 that becomes float32.
    given = keras.backend.standardize_dtype(labels.dtype)
    tolerance = 1e-2 if given in ("float16", "bfloat16") else 1e-3
    rows = ops.cast(labels, dtype)
    classes, told = _from_rows(rows, tolerance)
    expected = (
        "rows of numbers of at least 0 that sum to 1, one-hot or soft (shown are the sums, or what "
        "is below 0)"
    )
    return Labels(*checked((classes, rows), classes != UNREADABLE, "labels", expected, told))


@xla_compiled
def _from_rows(rows: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Return the classes of rows, and the sum of each row, or its least number below 0."""
    is_zero = rows == 0
    # The place of the one: that of the largest number takes a pass of its own, many times slower.
    places = ops.arange(rows.shape[-1], dtype="int32")
    place = ops.sum(ops.where(is_zero, 0, places), axis=-1)
    ones = ops.sum(ops.where(is_zero, 0, 1), axis=-1)
    sums = ops.sum(rows, axis=-1)
    least = ops.min(rows, axis=-1)
    readable = (least >= 0) & (ops.abs(sums - 1) <= tolerance)
    classes = ops.where((ones == 1) & (sums == 1), place, SOFT)
    return ops.where(readable, classes, UNREADABLE), ops.where(least < 0, least, sums)
