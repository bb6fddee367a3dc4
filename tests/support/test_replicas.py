import numpy as np
import pytest
from keras import ops

from keras_softmaxes.support import _replicas as support
from keras_softmaxes.support._arguments import checked


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


@pytest.mark.tensorflow
def test_a_variable_that_is_created_after_a_check_does_not_double_the_step():
    import tensorflow as tf

    made = []

    @tf.function(autograph=False)
    def step(x):
        with support.after(checked(x, x > 0, "x", "a number above 0", x)):
            if not made:
                made.append(tf.Variable(lambda: tf.zeros(())))
            return made[0].assign_add(x)

    one = tf.constant(1.0)
    train = tf.function(lambda x: step(x), autograph=False)  # as Keras calls a model's step
    assert [float(train(one)) for _ in range(2)] == [1, 2]
    with pytest.raises(tf.errors.InvalidArgumentError, match="above 0"):
        train(-one)
    assert float(made[0]) == 2
    functions = train.get_concrete_function(one).graph.as_graph_def().library.function
    assert "VarIsInitializedOp" not in {node.op for each in functions for node in each.node_def}
