"""Types, shapes and weights of tensors."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from ._arguments import (
    Tensor,
    alike,
    check_logits,
    checked,
    invalid,
    readable_weights,
    static_shape,
)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return a float tensor of at least float32: half precision, and integers, become that."""
    tensor = ops.convert_to_tensor(tensor)
    if hasattr(tensor, "read_value"):  # a `tf.Variable`, which Keras leaves as it is
        tensor = tensor.read_value()
    return ops.cast(tensor, keras.backend.result_type(tensor.dtype, "float32"))


def read_logits(argument: str, logits: Tensor) -> Tensor:
    """Return logits, (..., classes), in at least float32; raise ValueError for another shape."""
    logits = at_least_float32(logits)
    check_logits(argument, logits)
    return logits


def read_probabilities(argument: str, probabilities: Tensor, weights: Tensor = None) -> Tensor:
    """Return class probabilities, (..., classes), in at least float32.

    NaN is left alone: a model that diverged is measured as NaN.

    Args:
        argument: their name.
        probabilities: (..., classes).
        weights: of the examples, (...), or None. What has none may hold anything; all its classes
            are returned as equally likely.

    Raises:
        ValueError: another shape; rows that are not numbers of at least 0 that sum to 1, to a
            hundredth, as half precision has them. See `checked` for where they can raise;
            elsewhere they become NaN.
    """
    probabilities = read_logits(argument, probabilities)
    if weights is not None:
        even = ops.ones_like(probabilities) / probabilities.shape[-1]
        counts = ops.expand_dims(weights != 0, axis=-1)
        probabilities = ops.where(counts, probabilities, even)
    total = ops.sum(probabilities, axis=-1)
    readable = ops.all(probabilities >= 0, axis=-1) & (ops.abs(total - 1) <= 1e-2)
    expected = "probabilities of the classes, at least 0, that sum to 1 (shown are the sums)"
    probabilities = checked(probabilities, readable | ops.isnan(total), argument, expected, total)
    return ops.where(ops.expand_dims(readable, -1), probabilities, float("nan"))


def read_alike(**tensors: Tensor) -> tuple[Tensor, ...]:
    """Return logits and what has their shape, named by their arguments, as `read_logits` does."""
    tensors = {argument: at_least_float32(each) for argument, each in tensors.items()}
    check_logits(*next(iter(tensors.items())))
    return alike(**tensors)


def how_many(chosen: Tensor, like: Tensor) -> Tensor:
    """Return how many classes of each example are chosen, in the type of `like`.

    Args:
        chosen: booleans, (..., classes).
        like: a tensor of the type that is wanted.

    Returns:
        (..., 1).
    """
    return ops.sum(ops.cast(chosen, like.dtype), axis=-1, keepdims=True)


def pulled_back(function: Callable[[Tensor], Tensor], tensor: Tensor, upstream: Tensor) -> Tensor:
    """Return the gradient of a function's value, weighted by what comes from above, for a tensor.

    Args:
        function: of the tensor, differentiable.
        tensor: where it is differentiated.
        upstream: the weights, of the shape of the function's value.
    """
    if keras.backend.backend() == "jax":
        import jax

        _, pull = jax.vjp(function, tensor)
        return pull(upstream)[0]
    if keras.backend.backend() == "torch":
        import torch

        leaf = tensor.detach().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(function(leaf), leaf, upstream)[0]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = function(tensor)
    return tape.gradient(value, tensor, upstream, unconnected_gradients="zero")


def largest(values: Tensor) -> Tensor:
    """Return the largest value of each example, (..., 1), also where there is no example."""
    return ops.max(values, axis=-1, keepdims=True, initial=float("-inf"))


def weights_like(weights: Tensor, losses: Tensor, argument: str = "sample_weight") -> Tensor:
    """Return weights in as many axes as losses have, so that they multiply what they belong to.

    Keras would align weights of the batch's rows with the last axis.

    Args:
        weights: a number, or of the shape (batch, ...) of the losses, whose axes may be left
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


def weights_of(sample_weight: Tensor, examples: Tensor) -> Tensor:
    """Return the weights of examples, in their shape and type.

    Args:
        sample_weight: finite numbers of at least 0, as for `weights_like`, or None for 1.
        examples: (batch, ...).

    Raises:
        ValueError: weights of another shape or below 0. See `checked` for where values can
            raise; elsewhere they become NaN.
    """
    weights = ops.ones_like(examples)
    if sample_weight is None:
        return weights
    given = weights_like(sample_weight, weights)
    return weights * readable_weights("sample_weight", given)


def unmasked(examples: Tensor, y_pred: Tensor) -> Tensor:
    """Return 1 for each example that Keras's mask on `y_pred` leaves, and 0 for the others.

    Args:
        examples: (batch, ...), whose shape and type alone matter.
        y_pred: (batch, ..., classes), with a mask of padding, (batch, ...), or without.
    """
    values = Computed("mask", reduction=None, dtype=examples.dtype)
    return values(ops.ones_like(examples), y_pred)


class Computed(keras.losses.Loss):
    """Losses that are computed already, with Keras's own masking, weighting and reduction."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the losses, which take the labels' place."""
        return y_true


def without_label_as_weight(labels: Any, sample_weight: Any, outputs: Any) -> tuple[Any, Any]:
    """Return labels and weights in which an example of the class -1 has the weight 0.

    Args:
        labels: of a model. Those that are no integer classes, one per example, are left alone.
        sample_weight: of the model's examples, or None.
        outputs: of the model, (..., classes) each.

    Returns:
        The labels, with any class in the place of -1, and the weights.

    Raises:
        ValueError: weights of another shape.
    """
    if keras.tree.is_nested(labels):
        return labels, sample_weight
    labels = ops.convert_to_tensor(labels)
    missing = len(keras.tree.flatten(outputs)[0].shape) - len(labels.shape)
    of_classes = missing == 1 or (missing == 0 and labels.shape[-1] == 1)
    if not of_classes or not keras.backend.standardize_dtype(labels.dtype).startswith("int"):
        return labels, sample_weight
    known = labels != -1
    weights = ops.cast(known if missing else ops.squeeze(known, axis=-1), keras.config.floatx())
    if sample_weight is not None:
        weights = weights * weights_like(sample_weight, weights)
    return ops.where(known, labels, 0), weights


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
