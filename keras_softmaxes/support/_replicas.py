"""Which replica of a `tf.distribute` strategy computes, and beside how many."""

import keras

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
