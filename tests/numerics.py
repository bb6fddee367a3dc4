"""Values and gradients in every way a backend executes, and by finite differences."""

import keras
import numpy as np

MODES = {
    "tensorflow": ["eager", "graph", "xla"],
    "jax": ["eager", "jit"],
    "torch": ["eager"],
}[keras.backend.backend()]


def value_and_gradients(function, arrays, mode="eager", dtype="float32"):
    """Return sum(function(*arrays)) and its gradient for each array, in float64."""
    tensors = [keras.ops.convert_to_tensor(array, dtype=dtype) for array in arrays]
    differentiated = _differentiated(lambda *t: keras.ops.sum(function(*t)))
    value, gradients = _compiled(differentiated, mode)(*tensors)
    assert all(gradient.dtype == tensors[0].dtype for gradient in gradients)
    return _float64(value), [_float64(gradient) for gradient in gradients]


def execute(function, arrays, mode="eager", dtype="float32"):
    """Return function(*arrays) in float64."""
    tensors = [keras.ops.convert_to_tensor(array, dtype=dtype) for array in arrays]
    return _float64(_compiled(function, mode)(*tensors))


def _compiled(function, mode):
    if mode == "eager":
        return function
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=mode == "xla", autograph=False)


def _differentiated(function):
    if keras.backend.backend() == "jax":
        import jax

        return lambda *t: jax.value_and_grad(function, argnums=tuple(range(len(t))))(*t)
    if keras.backend.backend() == "torch":
        return _differentiated_by_torch(function)
    import tensorflow as tf

    def differentiate(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        return value, tape.gradient(value, tensors, unconnected_gradients="zero")

    return differentiate


def _differentiated_by_torch(function):
    import torch

    def differentiate(*tensors):
        leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        value = function(*leaves)
        return value, torch.autograd.grad(value, leaves, materialize_grads=True)

    return differentiate


def _float64(tensor):
    if keras.backend.standardize_dtype(tensor.dtype) != "float64":
        tensor = keras.ops.cast(tensor, "float32")  # NumPy has no bfloat16
    return keras.ops.convert_to_numpy(tensor).astype("float64")


def finite_differences(function, array, step=1e-5):
    """Return the gradient of a scalar function of a float64 array by central differences."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        shift = np.zeros_like(array)
        shift[index] = step
        gradient[index] = (function(array + shift) - function(array - shift)) / (2 * step)
    return gradient
