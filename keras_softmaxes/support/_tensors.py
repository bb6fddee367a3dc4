"""Types, shapes and weights of tensors."""

import keras
from keras import ops

from ._arguments import Tensor, invalid, static_shape


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return a float tensor of at least float32: half precision, and integers, become that."""
    tensor = ops.convert_to_tensor(tensor)
    if hasattr(tensor, "read_value"):  # a `tf.Variable`, which Keras hands on as it is
        tensor = tensor.read_value()
    return ops.cast(tensor, keras.backend.result_type(tensor.dtype, "float32"))


def how_many(chosen: Tensor, like: Tensor) -> Tensor:
    """Return how many classes of each example are chosen, in the type of `like`.

    Args:
        chosen: booleans, (..., classes).
        like: a tensor of the type that is wanted.

    Returns:
        (..., 1).
    """
    return ops.sum(ops.cast(chosen, like.dtype), axis=-1, keepdims=True)


def largest(values: Tensor) -> Tensor:
    """Return the largest value of each example, (..., 1), also where there is no example."""
    return ops.max(values, axis=-1, keepdims=True, initial=float("-inf"))


def weights_like(weights: Tensor, losses: Tensor, argument: str = "sample_weight") -> Tensor:
    """Return weights in as many axes as losses have, so that they multiply what they belong to.

    Keras would align weights of the batch's rows with the last axis.

    Args:
        weights: a number, or of the shape (batch, ...) of the losses, of which axes may be left
            out at the end, or be there as 1.
        losses: (batch, ...).
        argument: the name of the weights.

    Returns:
        The weights, of the rank and type of the losses.

    Raises:
        ValueError: weights of another shape.
    """
    weights = ops.convert_to_tensor(weights, dtype=losses.dtype)
    shape, wanted = static_shape(argument, weights), tuple(losses.shape)
    if not shape:
        return weights
    missing = len(wanted) - len(shape)
    if missing == -1 and shape[-1] == 1:
        return weights_like(ops.squeeze(weights, axis=-1), losses, argument)
    agree = all(
        ours in (theirs, None) or theirs is None or (ours == 1 and axis > 0)
        for axis, (ours, theirs) in enumerate(zip(shape, wanted, strict=False))
    )
    if missing < 0 or not agree:
        sizes = ", ".join("?" if size is None else str(size) for size in wanted)
        expected = f"a number, or the shape ({sizes}) of the losses, or the first axes of it"
        raise invalid(argument, expected, f"a tensor of shape {shape}")
    return ops.reshape(weights, (*ops.shape(weights), *(1,) * missing))


def example_weights(sample_weight: Tensor, scores: Tensor) -> Tensor:
    """Return the weight of each example as a column.

    Args:
        sample_weight: (batch,) or (batch, 1), a number, or None for 1.
        scores: (batch, classes).

    Returns:
        (batch, 1), of the type of `scores`.

    Raises:
        ValueError: weights of another shape.
    """
    ones = ops.ones_like(scores[:, 0])
    if sample_weight is not None:
        ones = ones * weights_like(sample_weight, ones)
    return ops.expand_dims(ones, axis=-1)
