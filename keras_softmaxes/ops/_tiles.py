"""Linear logits by tiles of classes: each tile is computed, used and dropped.

Notation, n examples of d features and C classes:

    h  features, (n, d)     W  kernel, (C, d), one row per class
    b  bias, (C,)           f  logits, h W' + b, (n, C), one tile at a time

Maxima and sums over the classes are updated from tile to tile. A second pass takes the gradient and
computes each tile once more. A function that needs all logits of an example at once is computed by
tiles of examples instead.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from ..support._arguments import Tensor, check_features, invalid, static_shape
from ..support._tensors import at_least_float32, pulled_back

TILE = 4096  # classes in a tile; half to four times as many where the rows are known
TILE_ENTRIES = 2**22  # logits of a tile of classes: fewer cost more than they save
ENTRIES = 2**23  # logits of a tile of rows
FEWEST_ROWS = 32  # in a tile of rows, each of which costs a pass through the kernel's gradient


class Linear(NamedTuple):
    """The tensors that linear logits are computed from."""

    features: Tensor
    kernel: Tensor
    bias: Tensor


class Tile(NamedTuple):
    """The logits of some classes."""

    logits: Tensor  # (n, tile)
    classes: Tensor  # (tile,), the numbers of the classes
    is_new: Tensor  # (tile,), False for classes of the tile before


def read_linear(features: Tensor, kernel: Tensor, bias: Tensor) -> Linear:
    """Return features of at least float32, their kernel and bias; raise ValueError for others."""
    features = at_least_float32(features)
    kernel, bias = ops.convert_to_tensor(kernel), ops.convert_to_tensor(bias)
    shape = static_shape("kernel", kernel)
    classes = shape[0] if len(shape) == 2 else None
    if classes is None or classes < 2:
        expected = "shape (classes, features), at least 2 classes"
        raise invalid("kernel", expected, f"a tensor of shape {shape}")
    check_features(features, shape[1], "kernel")
    if static_shape("bias", bias) != (classes,):
        expected = f"shape ({classes},), a number for each class of the kernel"
        raise invalid("bias", expected, f"a tensor of shape {tuple(bias.shape)}")
    return Linear(features, kernel, bias)


def logits_spec(linear: Linear) -> keras.KerasTensor:
    """Return shape and type of the logits, which is all that reading labels needs."""
    shape = (*linear.features.shape[:-1], linear.kernel.shape[0])
    return keras.KerasTensor(shape, keras.backend.standardize_dtype(linear.features.dtype))


def flattened(linear: Linear, classes: Tensor) -> tuple[Linear, Tensor]:
    """Return the examples as rows, and their classes, which nothing can broadcast, as (n,)."""
    features = linear.features
    classes = ops.reshape(classes, ops.shape(features)[:-1])
    if len(features.shape) > 2:
        features = ops.reshape(features, (-1, features.shape[-1]))
        classes = ops.reshape(classes, (-1,))
    return linear._replace(features=features), classes


def fold(step: Callable[[Any, Tile], Any], start: Any, linear: Linear) -> Any:
    """Return what is carried from tile to tile through all classes.

    Args:
        step: returns what is carried on, of what was carried so far and a tile.
        start: what is carried to the first tile, a tensor or a tuple of them.
        linear: of the logits.
    """

    def body(number: Tensor, carried: Any) -> Any:
        return step(carried, _tile(number, linear))

    return ops.fori_loop(0, _tiles(linear)[0], body, start)


def pull_back(gradient_of: Callable[[Tile], Tensor], linear: Linear) -> Linear:
    """Return the gradient of features, kernel and bias.

    Args:
        gradient_of: returns the gradient of the logits of a tile, (n, tile).
        linear: of the logits.
    """
    features, kernel, bias = linear
    count, size = _tiles(linear)
    columns = _with_ones(features)

    def step(number: Tensor, sums: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        to_features, to_kernel, to_bias = sums
        tile, first = _tile(number, linear), _first(number, linear)
        gradient = gradient_of(tile)
        rows = ops.cast(ops.slice(kernel, (first, 0), (size, kernel.shape[1])), features.dtype)
        new_rows = ops.where(ops.expand_dims(tile.is_new, axis=-1), rows, 0)
        to_features += ops.matmul(gradient, new_rows)
        of_kernel, of_bias = _kernel_gradient(columns, gradient)
        return (
            to_features,
            ops.slice_update(to_kernel, (first, 0), ops.cast(of_kernel, kernel.dtype)),
            ops.slice_update(to_bias, (first,), ops.cast(of_bias, bias.dtype)),
        )

    return Linear(*ops.fori_loop(0, count, step, tuple(map(ops.zeros_like, linear))))


def _with_ones(features: Tensor) -> Tensor:
    """Return the features and 1, the bias's feature, as one column per example."""
    columns = ops.transpose(features)
    return ops.concatenate([columns, ops.ones_like(columns[:1])])


def _kernel_gradient(columns: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient of the rows of some classes and of their bias.

    Args:
        columns: what `_with_ones` returned, (d + 1, n).
        gradient: of the classes' logits, (n, classes).
    """
    # Twice as fast on a processor as the product of the transposed gradient with the features.
    products = ops.matmul(columns, gradient)
    return ops.transpose(products[:-1]), products[-1]


def of_classes(classes: Tensor, linear: Linear) -> Tensor:
    """Return the logit of one class of each example, (n,), NaN where a label could not be read."""
    features, kernel, bias = linear
    index = ops.maximum(classes, 0)
    rows = ops.cast(ops.take(kernel, index, axis=0), features.dtype)
    logits = ops.sum(features * rows, axis=-1) + ops.cast(
        ops.take(bias, index, axis=0), features.dtype
    )
    return ops.where(classes < 0, float("nan"), logits)


def total_of_classes(linear: Linear) -> Tensor:
    """Return the sum of the logits of all classes, (n,), which is linear too."""
    features, kernel, bias = linear
    rows, shift = (ops.sum(ops.cast(each, features.dtype), axis=0) for each in (kernel, bias))
    return ops.sum(features * rows, axis=-1) + shift


def _tiles(linear: Linear) -> tuple[int, int]:
    """Return how many tiles there are, and how many classes each has, the last too."""
    classes, rows = linear.kernel.shape[0], linear.features.shape[0]
    most = TILE if rows is None else TILE_ENTRIES // max(rows, 1)
    count = -(-classes // max(TILE // 2, min(most, 4 * TILE)))
    return count, -(-classes // count)


def _first(number: Tensor, linear: Linear) -> Tensor:
    """Return the first class of a tile; the last tile begins within the one before it."""
    _, size = _tiles(linear)
    return ops.minimum(number * size, linear.kernel.shape[0] - size)


def _tile(number: Tensor, linear: Linear) -> Tile:
    features, kernel, bias = linear
    _, size = _tiles(linear)
    first = _first(number, linear)
    rows = ops.cast(ops.slice(kernel, (first, 0), (size, kernel.shape[1])), features.dtype)
    shift = ops.cast(ops.slice(bias, (first,), (size,)), features.dtype)
    classes = first + ops.arange(size, dtype="int32")
    return Tile(
        ops.matmul(features, ops.transpose(rows)) + shift, classes, classes >= number * size
    )


# Of the classes and the logits of some examples, (n,) and (n, C): a number for each.
OfLogits = Callable[[Tensor, Tensor], Tensor]


def losses_by_rows(losses_of: OfLogits, classes: Tensor, linear: Linear) -> Tensor:
    """Return a loss of each example, (n,), of all its logits, of some rows at a time."""
    count, rows, padded = _rows(linear, classes, linear.features)

    def step(number: Tensor, losses: Tensor) -> Tensor:
        classes, features = (_slice(each, number, rows) for each in padded)
        logits = _logits(linear._replace(features=features))
        return ops.slice_update(losses, (number * rows,), losses_of(classes, logits))

    losses = ops.fori_loop(0, count, step, ops.zeros_like(padded[1][:, 0]))
    return losses[: ops.shape(classes)[0]]


def gradient_by_rows(
    losses_of: OfLogits, classes: Tensor, linear: Linear, upstream: Tensor
) -> Linear:
    """Return the gradient of features, kernel and bias for what `losses_by_rows` returned."""
    _, kernel, bias = linear
    count, rows, padded = _rows(linear, classes, linear.features, upstream)

    def step(number: Tensor, sums: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        to_features, to_kernel, to_bias = sums
        classes, features, weights = (_slice(each, number, rows) for each in padded)
        logits = _logits(linear._replace(features=features))
        gradient = pulled_back(lambda logits: losses_of(classes, logits), logits, weights)
        of_features = ops.matmul(gradient, ops.cast(kernel, features.dtype))
        of_kernel, of_bias = _kernel_gradient(_with_ones(features), gradient)
        return (
            ops.slice_update(to_features, (number * rows, 0), of_features),
            to_kernel + ops.cast(of_kernel, kernel.dtype),
            to_bias + ops.cast(of_bias, bias.dtype),
        )

    start = tuple(map(ops.zeros_like, (padded[1], kernel, bias)))
    to_features, to_kernel, to_bias = ops.fori_loop(0, count, step, start)
    return Linear(to_features[: ops.shape(classes)[0]], to_kernel, to_bias)


def _rows(linear: Linear, *of_examples: Tensor) -> tuple[Tensor, int, list[Tensor]]:
    """Return how many tiles of rows there are, their size, and tensors that are padded to them."""
    rows = max(ENTRIES // linear.kernel.shape[0], FEWEST_ROWS)
    known = linear.features.shape[0]
    rows = rows if known is None else max(min(rows, known), 1)
    examples = ops.shape(linear.features)[0]
    count = (examples + rows - 1) // rows
    missing = rows - examples % rows  # so that there is a tile to trace where there is no example
    padding = [[[0, missing], *[[0, 0]] * (len(each.shape) - 1)] for each in of_examples]
    return count, rows, [ops.pad(*each) for each in zip(of_examples, padding, strict=True)]


def _slice(tensor: Tensor, number: Tensor, rows: int) -> Tensor:
    first = (number * rows, *(0 for _ in tensor.shape[1:]))
    return ops.slice(tensor, first, (rows, *tensor.shape[1:]))


def _logits(linear: Linear) -> Tensor:
    features, kernel, bias = linear
    kernel, bias = (ops.cast(each, features.dtype) for each in (kernel, bias))
    return ops.matmul(features, ops.transpose(kernel)) + bias
