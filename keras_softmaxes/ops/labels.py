"""The one place that reads labels."""

import keras
from keras import ops

from keras_softmaxes.ops.checks import Tensor, invalid, require, static_shape


def class_indices(labels: Tensor, classes: int) -> Tensor:
    """Return the class of each example, whichever way the labels are written.

    The form is told by static shape and type alone: integers of shape (batch,) or (batch, 1) are
    classes, and (batch, classes) of any type is one-hot. Labels are never cast to a float type,
    which would change the class (301 in bfloat16 is 302). JAX's own integers have 32 bits: it wraps
    larger ones around before they can be seen here.

    Args:
        labels: (batch,) or (batch, 1) integers, or (batch, classes) one-hot.
        classes: the number of classes.

    Returns:
        (batch,) int32. A label that cannot be read where nothing can be raised (inside XLA, under
        `jax.jit`) is -1, which `one_hot` turns into NaN.

    Raises:
        ValueError: for any other rank, shape or type; for classes out of range and one-hot rows
            that are not one-hot (label smoothing and mixup hide the target). In a TensorFlow
            graph values are refused by InvalidArgumentError.

    Example:
        >>> class_indices([[0.0, 1.0], [1.0, 0.0]], 2).numpy()
        array([1, 0], dtype=int32)
    """
    labels = ops.convert_to_tensor(labels)
    shape = static_shape("labels", labels)
    if shape[1:] == (classes,):
        return _from_one_hot(labels)
    is_integer = "int" in keras.backend.standardize_dtype(labels.dtype)
    if (len(shape) == 1 or shape[1:] == (1,)) and (is_integer or _is_distributed()):
        return _from_integers(ops.reshape(labels, (-1,)), classes, is_integer)
    raise invalid(
        "labels",
        f"integers of shape (batch,) or (batch, 1), or one-hot of shape (batch, {classes})",
        f"{keras.backend.standardize_dtype(labels.dtype)} of shape {shape}",
    )


def one_hot(labels: Tensor, logits: Tensor) -> Tensor:
    """Return the labels as one-hot rows, in the shape and type of the logits.

    A label that cannot be read and could not be refused is a row of NaN, so that no wrong number
    can come of it.

    Args:
        labels: as `class_indices` takes them.
        logits: (batch, classes).

    Returns:
        (batch, classes), of the type of `logits`.
    """
    classes = logits.shape[-1]
    target = ops.expand_dims(class_indices(labels, classes), -1)
    rows = ops.cast(ops.arange(classes, dtype="int32") == target, logits.dtype)
    return ops.where(target < 0, float("nan"), rows)


def at_target(target: Tensor, values: Tensor) -> Tensor:
    """Return the target's value, whatever the others are, infinities among them.

    Args:
        target: what `one_hot` returned, (batch, classes).
        values: (batch, classes).

    Returns:
        (batch,), NaN where the label could not be read.
    """
    return ops.sum(ops.where(target == 0, 0, target * values), axis=-1)


def _is_distributed() -> bool:
    """Tell whether labels may be floats that stand for integers, but are never computed.

    Keras builds a model under a `tf.distribute` strategy by calling its loss on the mean of the
    replicas' labels. There floats are refused when they are computed, not when they are seen.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.distribute.has_strategy()


def _from_integers(labels: Tensor, classes: int, is_integer: bool) -> Tensor:
    indices = ops.cast(labels, "int32")
    # The round trip catches what the cast wrapped around.
    exact = (ops.cast(indices, labels.dtype) == labels) & is_integer
    readable = exact & (indices >= 0) & (indices < classes)
    require(readable, "labels", f"integer classes from 0 to {classes - 1}", labels)
    return ops.where(readable, indices, -1)


def _from_one_hot(labels: Tensor) -> Tensor:
    ones = labels == ops.cast(1, labels.dtype)
    zeros = labels == ops.cast(0, labels.dtype)
    single = ops.sum(ops.cast(ones, "int32"), axis=-1) == 1
    readable = single & ops.all(ones | zeros, axis=-1)
    require(readable, "labels", "one-hot rows, a single 1 among zeros", labels)
    return ops.where(readable, ops.cast(ops.argmax(ones, axis=-1), "int32"), -1)
