import keras
import numpy as np
import pytest
from keras import ops

from keras_softmaxes.support import is_compiled, xla_compiled


def square_plus_one(x):
    """A kernel."""
    return x * x + 1


def test_the_kernel_computes_and_keeps_its_name():
    kernel = xla_compiled(square_plus_one)
    np.testing.assert_array_equal(ops.convert_to_numpy(kernel(ops.arange(3.0))), [1, 2, 5])
    assert (kernel.__name__, kernel.__doc__) == ("square_plus_one", "A kernel.")


@pytest.mark.tensorflow
def test_value_and_gradient_are_compiled_by_xla():
    import tensorflow as tf

    kernel = xla_compiled(square_plus_one)

    @tf.function
    def differentiate(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = kernel(x)
        return tape.gradient(y, x)

    x = tf.constant([3.0])
    assert differentiate(x).numpy() == [6.0]
    functions = differentiate.get_concrete_function(x).graph.as_graph_def().library.function
    compiled = [f for f in functions if f.attr["_XlaMustCompile"].b]
    assert len(compiled) >= 2  # forward and backward


@pytest.mark.tensorflow
def test_a_compiled_caller_inlines_the_kernel():
    """A nested kernel would be compiled anew at every step where the batch size is unknown."""
    import tensorflow as tf

    kernel = xla_compiled(square_plus_one)

    @tf.function(jit_compile=True, input_signature=[tf.TensorSpec([None])])
    def outer(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cond(tf.size(x) > 0, lambda: kernel(x), lambda: x)
        return tape.gradient(y, x)

    assert outer(tf.constant([1.0])).numpy() == [2.0]
    functions = outer.get_concrete_function().graph.as_graph_def().library.function
    assert not [f for f in functions if f.attr["_XlaMustCompile"].b]


@pytest.mark.tensorflow
def test_it_is_told_where_xla_compiles():
    import tensorflow as tf

    def told():
        return is_compiled()

    assert not told()
    assert tf.function(told, jit_compile=True)()
    assert not tf.function(told)()
    assert xla_compiled(told)()


def test_other_backends_get_the_function_itself():
    is_same = xla_compiled(square_plus_one) is square_plus_one
    assert is_same == (keras.backend.backend() != "tensorflow")
