"""Which replica of a `tf.distribute` strategy computes, and beside how many."""

from typing import Any

import keras
from keras import ops

from ._arguments import Tensor


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

    return tf.distribute.get_strategy().num_replicas_in_sync


def penalties(model: Any, dtype: Any) -> Tensor:
    """Return what the layers of a model add to its loss, scaled for replicas as losses are."""
    return sum(ops.cast(ops.sum(each), dtype) for each in model.losses) / replica_count()
