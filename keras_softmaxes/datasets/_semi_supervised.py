"""Batches of labelled and unlabelled rows."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..support._arguments import INDEX, check_integer, invalid
from ..support._replicas import replica_count

if TYPE_CHECKING:
    import tensorflow as tf


def semi_supervised(
    labelled: Any,
    unlabelled: Any,
    labelled_batch_size: int = 32,
    unlabelled_batch_size: int = 96,
    *,
    shuffle_buffer: int = 100_000,
    indexed: bool = False,
    seed: int | None = None,
) -> "tf.data.Dataset":
    """Return batches of labelled and unlabelled rows, for `fit`.

    Each batch is (x, y, weight) with as many rows of either kind as is asked for, spread evenly. An
    unlabelled row has the weight 0. Its label is -1 if labels are integers, and else has no
    meaning. A labelled one has the weight rows / labelled rows, so that Keras's loss, the sum over
    all rows divided by their number, is the mean over the labelled rows; also on replicas, where
    each has as many rows.

    An epoch goes through the unlabelled rows once, without those that do not fill a batch; the
    labelled rows are repeated. Augment either dataset by its `map` beforehand.

    Args:
        labelled: a pair of arrays (x, y), or a `tf.data.Dataset` of such rows.
        unlabelled: an array x, or a `tf.data.Dataset` of such rows, of the same shape and type.
        labelled_batch_size: labelled rows a batch, at least 1. The adversarial-dropout paper's
            code takes 32 for MNIST.
        unlabelled_batch_size: unlabelled rows a batch, at least 1.
        shuffle_buffer: out of how many rows each next one is drawn, at least 1.
        indexed: whether x is `{"inputs": x, "keras_softmaxes_index": index}`, for
            `keras_softmaxes.perturbations.TemporalEnsembling`. The labelled rows come first: they
            have the indices from 0, the unlabelled ones those that follow. A `tf.data.Dataset` must
            not be shuffled beforehand, or its rows would get other numbers in each epoch.
        seed: integer that fixes the order; None takes it from `keras.utils.set_random_seed`.

    Returns:
        A `tf.data.Dataset`, in a new order at each epoch.

    Raises:
        ValueError: sizes that are not integers of at least 1; something that is not an array;
            arrays of different lengths; rows of different shapes or types, batches of them, several
            arrays of labels; no labelled row, or too few unlabelled ones for a batch; in the scope
            of a strategy, a batch that its replicas cannot share evenly; with `indexed`, labelled
            rows of unknown number.

    Example:
        >>> import numpy as np
        >>> import keras_softmaxes as ks
        >>> x, y = np.ones((64, 8), "float32"), np.zeros(64, "int32")
        >>> batches = ks.datasets.semi_supervised((x[:16], y[:16]), x[16:], 4, 12)
        >>> features, labels, weights = next(iter(batches))
        >>> float(np.max(weights)), int(np.sum(weights > 0)), len(list(batches))
        (4.0, 4, 4)

    Reference:
        Park et al., Adversarial Dropout for Supervised and Semi-supervised Learning, AAAI 2018
        (https://arxiv.org/abs/1707.03631).
    """
    import tensorflow as tf

    check_integer("labelled_batch_size", labelled_batch_size, least=1)
    check_integer("unlabelled_batch_size", unlabelled_batch_size, least=1)
    check_integer("shuffle_buffer", shuffle_buffer, least=1)
    rows = labelled_batch_size + unlabelled_batch_size
    replicas = replica_count()
    if rows % replicas:
        expected = f"batches of a multiple of {replicas} rows, one share for each replica"
        raise invalid("unlabelled_batch_size", expected, unlabelled_batch_size)

    labelled, unlabelled = _dataset("labelled", labelled), _dataset("unlabelled", unlabelled)
    _check_rows(labelled, unlabelled, unlabelled_batch_size)
    if indexed:
        labelled, unlabelled = _numbered(labelled, unlabelled)
    labelled, unlabelled = (_shuffled(r, shuffle_buffer, seed) for r in (labelled, unlabelled))
    labelled = labelled.repeat().batch(labelled_batch_size)
    unlabelled = unlabelled.batch(unlabelled_batch_size, drop_remainder=True)

    weights: np.ndarray = np.zeros(rows, "float32")
    weights[:labelled_batch_size] = rows / labelled_batch_size
    order = _spread(labelled_batch_size, unlabelled_batch_size)

    def join(known: Any, others: Any) -> Any:
        x, y = known
        is_class = y.dtype.is_integer and not y.dtype.is_unsigned and y.shape.rank == 1
        without = -tf.ones_like(y[:1]) if is_class else y[:1]
        without = tf.repeat(without, unlabelled_batch_size, axis=0)
        x = tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), x, others)
        batch = (x, tf.concat([y, without], axis=0), weights)
        return tf.nest.map_structure(lambda each: tf.gather(each, order), batch)

    return tf.data.Dataset.zip((labelled, unlabelled)).map(join).prefetch(tf.data.AUTOTUNE)


def _dataset(argument: str, rows: Any) -> "tf.data.Dataset":
    import tensorflow as tf

    if isinstance(rows, tf.data.Dataset):
        return rows
    shapes = [tuple(getattr(each, "shape", ())) for each in tf.nest.flatten(rows)]
    if not all(shapes):
        raise invalid(argument, "arrays or a `tf.data.Dataset`", type(rows).__name__)
    if len({shape[0] for shape in shapes}) != 1:
        raise invalid(argument, "arrays of one length", f"arrays of the shapes {shapes}")
    return tf.data.Dataset.from_tensor_slices(tuple(rows) if isinstance(rows, list) else rows)


def _check_rows(labelled: Any, unlabelled: Any, batch_size: int) -> None:
    """Raise ValueError for rows that cannot stand in one batch, and too few to fill one."""
    import tensorflow as tf

    if not isinstance(labelled.element_spec, tuple) or len(labelled.element_spec) != 2:
        raise invalid("labelled", "rows (x, y)", labelled.element_spec)
    specs = tf.nest.flatten(labelled.element_spec)
    if all(spec.shape.rank and spec.shape[0] is None for spec in specs):
        raise invalid("labelled", "rows; `dataset.unbatch()` turns batches into rows", specs)
    if tf.nest.is_nested(labelled.element_spec[1]):
        raise invalid("labelled", "labels in one array", labelled.element_spec[1])
    if unlabelled.element_spec != labelled.element_spec[0]:
        expected = f"rows as the x of `labelled`, {labelled.element_spec[0]}"
        raise invalid("unlabelled", expected, unlabelled.element_spec)
    if int(labelled.cardinality()) == 0:
        raise invalid("labelled", "at least one row", 0)
    rows = int(unlabelled.cardinality())
    if 0 <= rows < batch_size:
        raise invalid("unlabelled", f"at least {batch_size} rows, a batch of them", rows)


def _numbered(labelled: Any, unlabelled: Any) -> tuple[Any, Any]:
    """Number the rows, first the labelled ones."""
    count = int(labelled.cardinality())
    if count < 0:
        raise invalid("labelled", "a known number of rows, to be indexed", labelled)

    def with_index(index: Any, row: Any) -> Any:
        x, y = row
        return {"inputs": x, INDEX: index}, y

    others = unlabelled.enumerate(count).map(lambda index, x: {"inputs": x, INDEX: index})
    return labelled.enumerate().map(with_index), others


def _shuffled(rows: Any, buffer: int, seed: int | None) -> Any:
    """Shuffle rows, in a buffer no larger than they are: TensorFlow takes room for all of it."""
    count = int(rows.cardinality())
    return rows.shuffle(min(buffer, count) if count > 0 else buffer, seed)


def _spread(labelled: int, unlabelled: int) -> np.ndarray:
    """Return an order in which both kinds of rows are spread evenly over a batch."""
    positions = [(np.arange(count) + 0.5) / count for count in (labelled, unlabelled)]
    return np.argsort(np.concatenate(positions), kind="stable")
