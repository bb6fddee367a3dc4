"""The one helper that compiles a kernel by XLA."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import keras

from ._gradient import with_gradient

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


def xla_compiled(function: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """Fuse a pure function of tensors into one kernel, where that is possible.

    On TensorFlow the function, and so its gradient, is compiled by XLA, whatever surrounds it:
    eager code, a graph, a replica of `tf.distribute.MirroredStrategy` (where compiling the whole
    step crashes in Keras 3.15). Inside a computation that is compiled already it is left alone:
    there a kernel of its own would be compiled again at every step where the batch size is unknown.
    On the other backends the function is returned as it is, because their training compiles the
    whole step.

    Args:
        function: a pure function. Its Python arguments are constants of the kernel.

    Returns:
        A function of the same signature.

    Example:
        >>> from keras_softmaxes.support._xla import xla_compiled
        >>> double = xla_compiled(lambda x: 2 * x)
        >>> float(double(keras.ops.ones(())))
        2.0
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    kernel = tf.function(function, jit_compile=True, autograph=False)

    @functools.wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Value:
        value: Value = (function if is_compiled() else kernel)(*args, **kwargs)
        return value

    return call


def xla_compiled_with_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Fuse a function and its gradient into one kernel, where that is possible.

    `xla_compiled` makes two kernels, and the first hands every intermediate result to the second
    through memory. It is for functions whose results each depend on tensors of their own alone: the
    loss of an example on its scores, the mask of a class on its logit. What arrives at a result is
    then multiplied with its part of the gradient. The gradient can be differentiated once more.

    Args:
        function: a pure function of a tensor, which is not differentiated, of a dict of tensors
            (...) or (..., classes), and of Python arguments. It returns a tensor (...).

    Returns:
        A function of the same arguments, in that order.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    def value_and_gradient(
        constant: Any, tensors: dict[str, Any], *settings: Any
    ) -> tuple[Any, dict[str, Any]]:
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(constant, tensors, *settings)
        return value, tape.gradient(value, tensors, unconnected_gradients="zero")

    value_and_gradient.__name__ = f"{function.__name__}_and_gradient"
    kernel = xla_compiled(value_and_gradient)

    @functools.wraps(function)
    def call(constant: Any, tensors: dict[str, Any], *settings: Any) -> Any:
        def compute(*values: Any) -> tuple[Any, tuple[Any, ...]]:
            value, gradient = kernel(constant, dict(zip(tensors, values, strict=True)), *settings)
            return value, tuple(gradient[name] for name in tensors)

        return with_gradient(compute)(*tensors.values())

    return call


def is_compiled() -> bool:
    """Tell whether XLA compiles what runs now, on TensorFlow. Nothing can be raised there.

    This is the one place that reads something private of TensorFlow, which marks the graph of
    `tf.function(jit_compile=True)` by a control-flow context and has no public reader of it. Not to
    ask would cost much: a kernel of its own inside such a graph is compiled anew at every step
    where the batch size is unknown.
    """
    import tensorflow as tf

    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False
