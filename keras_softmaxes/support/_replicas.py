"""Which replica of a `tf.distribute` strategy computes, and beside how many."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import keras
from keras import ops

from ._arguments import Tensor
from ._xla import is_compiled


def replica_number() -> Tensor:
    """Return the number of this replica, from 0; outside a strategy it is 0."""
    if keras.backend.backend() != "tensorflow":
        return 0
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context.replica_id_in_sync_group if context else 0


def replica_count() -> int:
    """Return how many replicas there are; outside a strategy it is 1."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    count: int = tf.distribute.get_strategy().num_replicas_in_sync
    return count


def after(values: Any, of_all_replicas: bool = False) -> AbstractContextManager[Any]:
    """Return a context in which nothing is computed before values are.

    What is written in it is written only where every check that they depend on holds; see
    `checked`. A graph would else write beside a check that fails.

    Args:
        values: a nested structure of tensors and None.
        of_all_replicas: whether a replica waits for the values of the others too. What an optimizer
            writes waits for those anyway.
    """
    if keras.backend.backend() != "tensorflow" or is_compiled():  # where nothing can be raised
        return nullcontext()
    import tensorflow as tf

    tensors = [each for each in keras.tree.flatten(values) if each is not None]
    if of_all_replicas and replica_count() > 1:
        with tf.control_dependencies(tensors):
            # All replicas wait here for each other, by nothing but control dependencies.
            merged = tf.distribute.get_replica_context().merge_call(lambda _: tf.no_op())
            tensors = [] if merged is None else [merged]
    return _after(tensors)


@contextmanager
def _after(tensors: list[Any]) -> Iterator[None]:
    """Let what is computed wait for tensors, but not the variables that a first step creates.

    Where their first values wait for something, TensorFlow cannot compute these once and for all,
    and keeps two copies of the whole step: one for variables without values, and one for the rest.
    """
    import tensorflow as tf

    def creator(create: Callable[..., Any], **settings: Any) -> Any:
        with tf.control_dependencies(None):
            return create(**settings)

    with tf.variable_creator_scope(creator), tf.control_dependencies(tensors):
        yield


def penalties(model: Any, dtype: Any) -> Tensor:
    """Return what the layers of a model add to its loss, scaled for replicas as losses are."""
    return sum(ops.cast(ops.sum(each), dtype) for each in model.losses) / replica_count()
