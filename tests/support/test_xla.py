import keras
import numpy as np
import pytest
from keras import ops

from keras_softmaxes.support._xla import (
    is_compiled,
    xla_compiled,
    xla_compiled_with_gradient,
)


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


def shared_square(shift, tensors, power):
    """Losses of examples: of one tensor alone the other's gradient is what stays."""
    return ops.sum((tensors["one"] - shift) ** power * ops.sin(tensors["other"]), axis=-1)


@pytest.mark.tensorflow
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("of_examples", [True, False])
def test_gradients_of_one_kernel_are_those_of_the_function(compiled, of_examples):
    """Weighted, of results of examples and of single classes, and once more differentiated."""
    import tensorflow as tf

    def by_class(shift, tensors, power):
        return (tensors["one"] - shift) ** power * ops.sin(tensors["other"])

    function = shared_square if of_examples else by_class
    rng = np.random.default_rng(0)
    one, other = (tf.constant(rng.normal(size=(4, 3))) for _ in range(2))
    weights = tf.constant(rng.normal(size=(4,) if of_examples else (4, 3)))

    def derivatives(function):
        tensors = {"one": one, "other": other}
        with tf.GradientTape() as outer:
            outer.watch(tensors)
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                value = tf.reduce_sum(weights * function(tf.constant(0.5, one.dtype), tensors, 3))
            first = tape.gradient(value, tensors)
            summed = tf.reduce_sum(tf.sin(first["one"])) + tf.reduce_sum(first["other"])
        return value, first, outer.gradient(summed, tensors)

    kernel = tf.function(derivatives, jit_compile=True) if compiled else derivatives
    kernel_of = xla_compiled_with_gradient(function)
    for ours, plain in zip(
        tf.nest.flatten(kernel(kernel_of)), tf.nest.flatten(derivatives(function)), strict=True
    ):
        np.testing.assert_allclose(ours, plain, rtol=1e-12)


@pytest.mark.tensorflow
def test_a_tensor_that_plays_no_part_has_a_gradient_of_zeros():
    import tensorflow as tf

    kernel = xla_compiled_with_gradient(lambda _, tensors: ops.sum(tensors["one"], axis=-1))
    tensors = {"one": tf.ones((2, 3)), "other": tf.ones((2, 3))}
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        losses = kernel(tf.zeros(()), tensors)
    gradients = tape.gradient(losses, tensors)
    np.testing.assert_array_equal(gradients["one"], np.ones((2, 3)))
    np.testing.assert_array_equal(gradients["other"], np.zeros((2, 3)))
