"""A state of rows that are all kept."""

from typing import Any

import keras
from keras import ops

from ..support._arguments import MOST, Tensor, check_integer, checked, invalid
from ..support._options import DType
from ..support._replicas import replica_count, replica_number


class KeptRows(keras.metrics.Metric):
    """Base of the metrics that rank all examples, and so keep a row of numbers for each.

    Args:
        capacity: how many examples it can hold, which the replicas of a strategy share evenly.
        name: name of the metric.
        dtype: the type of the metric's result.

    Raises:
        ValueError: a capacity that is not an integer of at least 1.
    """

    def __init__(self, capacity: int, name: str, dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.capacity = check_integer("capacity", capacity, least=1, most=MOST)
        self.rows: Any = None

    def keep(self, rows: Tensor) -> None:
        """Keep the rows of a batch, (batch, columns); those that are not there are 0.

        Raises:
            ValueError: more rows than there is room for. In a graph TensorFlow raises
                InvalidArgumentError; inside XLA or `jax.jit`, where nothing can be raised,
                `of_kept` makes the result NaN.
        """
        replica, replicas = replica_number(), replica_count()
        if self.rows is None:
            shape = (-(-self.capacity // replicas) * replicas, rows.shape[1])
            self.rows = self.add_variable(shape, "zeros", dtype=rows.dtype, name="rows")
            self.count = self.add_variable((), "zeros", dtype="int32", name="count")
        share = self.rows.shape[0] // replicas
        count = self.count + ops.shape(rows)[0]
        expected = f"room for all examples between two calls of `reset_state`, not {self.capacity}"
        if rows.shape[0] is not None and rows.shape[0] > share:
            raise invalid("capacity", f"room for a batch of {rows.shape[0]}", self.capacity)
        count = checked(count, count <= share, "capacity", expected, count)
        start = (replica * share + self.count, 0)
        rows = ops.cast(rows, self.rows.dtype)
        self.rows.assign(ops.slice_update(ops.copy(self.rows), start, rows))
        self.count.assign(count)

    def of_kept(self, value: Tensor) -> Tensor:
        """Return a value of all rows as the result, NaN where there was no room for all."""
        overflown = self.count > self.rows.shape[0]
        return ops.cast(ops.where(overflown, float("nan"), value), self.dtype)
