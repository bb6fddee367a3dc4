"""The first classes of linear logits, by tiles of classes, and the rank of the target.

Notation as in `_tiles`.
"""

from keras import ops

from ..support._arguments import Tensor, check_integer
from ..support._labels import class_indices
from ..support._xla import xla_compiled
from ._linear_cross_entropy import LOWEST
from ._tiles import Linear, Tile, flattened, fold, logits_spec, of_classes, read_linear


def linear_top_k(features: Tensor, kernel: Tensor, bias: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Classes of the largest logits, and their probabilities under the softmax over all classes.

    Args:
        features: h, (..., d).
        kernel: W, (C, d), one row per class.
        bias: b, (C,).
        k: how many classes, from 1 to C.

    Returns:
        The classes, (..., k) int32, the largest first, and their probabilities, (..., k), in
        float32 for features in half precision.

    Raises:
        ValueError: shapes that do not fit; a k that is not an integer from 1 to C.

    Example:
        >>> import keras_softmaxes as ks
        >>> kernel, bias = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, 0.0]
        >>> classes, probabilities = ks.ops.linear_top_k([[3.0, 1.0]], kernel, bias, k=2)
        >>> classes.numpy(), probabilities.numpy().round(4)
        (array([[2, 0]], dtype=int32), array([[0.7054, 0.2595]], dtype=float32))
    """
    linear = read_linear(features, kernel, bias)
    check_integer("k", k, least=1, most=linear.kernel.shape[0])
    shape = ops.shape(linear.features)[:-1]
    flat, _ = flattened(linear, ops.zeros(shape, "int32"))
    classes, probabilities = _top_k(flat, k)
    return ops.reshape(classes, (*shape, k)), ops.reshape(probabilities, (*shape, k))


def linear_ranks(labels: Tensor, features: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Number of classes ahead of the target: those with a larger logit, or an equal one before it.

    Args:
        labels: (...) or (..., 1) integers, or (..., C) one-hot, `...` being any shape.
        features: h, (..., d).
        kernel: W, (C, d), one row per class.
        bias: b, (C,).

    Returns:
        (...) int32; a target with the largest logit has rank 0.

    Raises:
        ValueError: labels out of range or of neither form; shapes that do not fit.

    Example:
        >>> import keras_softmaxes as ks
        >>> kernel, bias = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, 0.0]
        >>> ks.ops.linear_ranks([0, 1], [[3.0, 1.0], [3.0, 1.0]], kernel, bias).numpy()
        array([1, 2], dtype=int32)
    """
    linear = read_linear(features, kernel, bias)
    return linear_ranks_of(class_indices(labels, logits_spec(linear)), linear)


def linear_ranks_of(classes: Tensor, linear: Linear) -> Tensor:
    """Return `linear_ranks` of labels that `class_indices` has read."""
    flat, classes = flattened(linear, classes)
    return ops.reshape(_ranks(classes, flat), ops.shape(linear.features)[:-1])


@xla_compiled
def _top_k(linear: Linear, k: int) -> tuple[Tensor, Tensor]:
    def step(carried: tuple[Tensor, ...], tile: Tile) -> tuple[Tensor, ...]:
        values, classes, largest, total = carried
        logits = ops.where(tile.is_new, tile.logits, float("-inf"))
        top = ops.maximum(largest, ops.max(logits, axis=-1))
        exponentials = ops.exp(logits - ops.expand_dims(top, axis=-1))
        total = ops.exp(largest - top) * total + ops.sum(exponentials, axis=-1)
        numbers = ops.broadcast_to(tile.classes, ops.shape(logits))
        candidates = ops.concatenate([values, logits], axis=-1)
        numbers = ops.concatenate([classes, numbers], axis=-1)
        values, places = ops.top_k(candidates, k)
        return values, ops.take_along_axis(numbers, places, axis=-1), top, total

    first = linear.features[:, :1]
    values = ops.repeat(ops.full_like(first, float("-inf")), k, axis=-1)
    classes = ops.zeros_like(values, dtype="int32")
    lowest = ops.full_like(first[:, 0], LOWEST)
    start = values, classes, lowest, ops.zeros_like(lowest)
    values, classes, largest, total = fold(step, start, linear)
    shares = ops.exp(values - ops.expand_dims(largest, axis=-1))
    return classes, shares / ops.expand_dims(total, axis=-1)


@xla_compiled
def _ranks(classes: Tensor, linear: Linear) -> Tensor:
    target = ops.expand_dims(of_classes(classes, linear), axis=-1)
    column = ops.expand_dims(classes, axis=-1)

    def step(ranks: Tensor, tile: Tile) -> Tensor:
        is_ahead = (tile.logits > target) | ((tile.logits == target) & (tile.classes < column))
        is_ahead = is_ahead & tile.is_new & (tile.classes != column)
        return ranks + ops.sum(ops.cast(is_ahead, "int32"), axis=-1)

    ranks = fold(step, ops.zeros_like(classes), linear)
    # No logit is larger than NaN, which would so have rank 0.
    return ops.where(ops.isnan(target[:, 0]), linear.kernel.shape[0], ranks)
