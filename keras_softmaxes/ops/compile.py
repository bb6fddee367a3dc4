"""The one helper that compiles a kernel by XLA."""

import contextvars
import functools
from collections.abc import Callable
from typing import Any

import keras

_inside_kernel = contextvars.ContextVar("inside_kernel", default=False)


def xla_compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Fuse a pure function of tensors into one kernel, where that is possible.

    On TensorFlow the function, and so its gradient, is compiled by XLA, whatever surrounds it:
    eager code, a graph, a replica of `tf.distribute.MirroredStrategy` (where compiling the whole
    step crashes in Keras 3.15). A caller that is itself compiled inlines it. On the other backends
    the function is returned as it is, because their training compiles the whole step.

    Args:
        function: a pure function. Its Python arguments are constants of the kernel.

    Returns:
        A function of the same signature.

    Example:
        >>> from keras_softmaxes.ops.compile import xla_compiled
        >>> double = xla_compiled(lambda x: 2 * x)
        >>> float(double(keras.ops.ones(())))
        2.0
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        token = _inside_kernel.set(True)
        try:
            return function(*args, **kwargs)
        finally:
            _inside_kernel.reset(token)

    return tf.function(traced, jit_compile=True, autograph=False)


def is_inside_kernel() -> bool:
    """Tell whether a kernel is being traced, in which nothing can be raised."""
    return _inside_kernel.get()
