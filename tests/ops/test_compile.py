import keras
import numpy as np
import pytest
from keras import ops

from keras_softmaxes.ops.compile import is_inside_kernel, xla_compiled


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
    import tensorflow as tf

    kernel = xla_compiled(square_plus_one)
    outer = tf.function(lambda x: kernel(x) + kernel(2 * x), jit_compile=True)
    assert outer(tf.constant(1.0)).numpy() == 7.0


def test_other_backends_get_the_function_itself():
    if keras.backend.backend() != "tensorflow":
        assert xla_compiled(square_plus_one) is square_plus_one
    else:
        inside = []
        xla_compiled(lambda x: inside.append(is_inside_kernel()) or x)(ops.zeros(()))
        assert inside == [True]
        assert not is_inside_kernel()
