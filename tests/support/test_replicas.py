import numpy as np
import pytest
from keras import ops

from keras_softmaxes.support import _replicas as support


def test_outside_a_strategy_there_is_one():
    assert support.replica_count() == 1
    assert int(ops.convert_to_numpy(support.replica_number())) == 0


@pytest.mark.tensorflow
def test_replicas_are_numbered(two_replicas):
    import tensorflow as tf

    with two_replicas.scope():
        assert support.replica_count() == 2
    numbers = two_replicas.run(tf.function(lambda: tf.identity(support.replica_number())))
    values = two_replicas.experimental_local_results(numbers)
    np.testing.assert_array_equal([int(value) for value in values], [0, 1])
