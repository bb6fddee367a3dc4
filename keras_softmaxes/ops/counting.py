"""Counts along the classes."""

from keras import ops

from keras_softmaxes.ops.checks import Tensor


def how_many(chosen: Tensor, like: Tensor) -> Tensor:
    """Return how many classes of each example are chosen, in the type of `like`.

    Args:
        chosen: booleans, (batch, classes).
        like: a tensor of the type that is wanted.

    Returns:
        (batch, 1).
    """
    return ops.sum(ops.cast(chosen, like.dtype), axis=-1, keepdims=True)
