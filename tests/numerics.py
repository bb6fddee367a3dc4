"""Values and gradients in every way a backend executes, and by finite differences."""

import keras
import numpy as np

MODES = ["eager", "graph", "xla"] if keras.backend.backend() == "tensorflow" else ["eager", "jit"]


def value_and_gradients(function, arrays, mode="eager", dtype="float32"):
    """Return sum(function(*arrays)) and its gradient for each array, in float64."""
    tensors = [keras.ops.convert_to_tensor(array, dtype=dtype) for array in arrays]
    run = _tensorflow if keras.backend.backend() == "tensorflow" else _jax
    value, gradients = run(lambda *t: keras.ops.sum(function(*t)), tensors, mode)
    assert all(gradient.dtype == tensors[0].dtype for gradient in gradients)
    return _float64(value), [_float64(gradient) for gradient in gradients]


def _tensorflow(function, tensors, mode):
    import tensorflow as tf

    def differentiate(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        gradients = tape.gradient(value, tensors, unconnected_gradients="zero")
        return value, gradients

    if mode != "eager":
        differentiate = tf.function(differentiate, jit_compile=mode == "xla", autograph=False)
    return differentiate(*tensors)


def _jax(function, tensors, mode):
    import jax

    differentiate = jax.value_and_grad(function, argnums=tuple(range(len(tensors))))
    return (jax.jit(differentiate) if mode == "jit" else differentiate)(*tensors)


def _float64(tensor):
    return np.asarray(
        keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
        if keras.backend.standardize_dtype(tensor.dtype) != "float64"
        else keras.ops.convert_to_numpy(tensor),
        dtype="float64",
    )


def finite_differences(function, array, step=1e-5):
    """Return the gradient of a scalar function of a float64 array by central differences."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        shift = np.zeros_like(array)
        shift[index] = step
        gradient[index] = (function(array + shift) - function(array - shift)) / (2 * step)
    return gradient
