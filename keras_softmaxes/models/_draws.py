"""Predictions of several draws: batches of the inputs, and statistics of what is drawn."""

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from ..support._arguments import Tensor, check_integer, invalid


def batches_of(x: Any, batch_size: int) -> Iterator[Any]:
    """Yield the inputs of a model in batches.

    Args:
        x: an array, or any structure of arrays, (count, ...) each, or a `tf.data.Dataset` of
            batches x, (x, y) or (x, y, sample_weight).
        batch_size: examples in a batch of arrays.

    Raises:
        ValueError: another x; arrays of unequal length, or without examples.
    """
    if hasattr(x, "element_spec"):  # a `tf.data.Dataset`, which need not be imported for that
        for batch in x:
            yield keras.utils.unpack_x_y_sample_weight(batch)[0]
        return
    expected = "an array, a structure of arrays, or a `tf.data.Dataset` of batches"
    for start in range(0, count_of("x", x, expected), batch_size):
        rows = slice(start, start + batch_size)
        yield keras.tree.map_structure(operator.itemgetter(rows), x)


def count_of(argument: str, x: Any, expected: str) -> int:
    """Return how many examples the inputs of a model hold, at least 1.

    Args:
        argument: their name.
        x: an array, or any structure of arrays, (count, ...) each.
        expected: what x may be, in words.

    Raises:
        ValueError: another x; arrays of unequal length, or without examples.
    """
    arrays = keras.tree.flatten(x)
    if not arrays or not all(getattr(array, "shape", ()) for array in arrays):
        raise invalid(argument, expected, type(x).__name__)
    count, *others = (len(array) for array in arrays)
    if set(others) - {count}:
        raise invalid(argument, "arrays of one length", f"lengths {[count, *others]}")
    return check_integer(f"len({argument})", count, least=1)


def statistics(draw: Callable[[], Tensor], samples: int) -> tuple[Tensor, Tensor]:
    """Return the mean and the (population) deviation of draws, none of which is kept.

    Args:
        draw: returns the next draw, a tensor; called `samples` times.
        samples: the number of draws.

    Reference:
        Welford, Note on a method for calculating corrected sums of squares and products,
        Technometrics 1962.
    """
    mean: Tensor = 0.0  # of whatever type the draws are
    squares: Tensor = 0.0
    for count in range(1, samples + 1):
        mean, squares = add_draw(draw(), mean, squares, count)
    return mean, ops.sqrt(squares / samples)


def add_draw(
    drawn: Tensor, mean: Tensor, squares: Tensor, count: Tensor | int
) -> tuple[Tensor, Tensor]:
    """Return the mean and the sum of squared deviations with one more draw, the count-th."""
    deviation = drawn - mean
    return mean + deviation / count, squares + deviation**2 * ((count - 1) / count)


def joined(batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, np.ndarray]:
    """Return the means and the deviations of batches as arrays of all examples.

    Raises:
        ValueError: no batch.
    """
    parts = [[ops.convert_to_numpy(each) for each in batch] for batch in batches]
    if not parts:
        raise invalid("x", "at least one batch", "none")
    return {
        name: np.concatenate(each)
        for name, each in zip(("mean", "stddev"), zip(*parts, strict=True), strict=True)
    }
