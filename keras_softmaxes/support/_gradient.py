"""The one helper that differentiates by a gradient that is known."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

ValueAndGradients = Callable[..., tuple[Any, tuple[Any, ...]]]


def with_gradient(function: ValueAndGradients) -> Callable[..., Any]:
    """Differentiate a function by the gradients that it returns beside its value.

    Args:
        function: of tensors (...) or (..., classes). It returns a tensor (...) or (..., classes),
            and its gradient for each of the tensors. A result depends on tensors of its own alone.

    Returns:
        A function of the same tensors that returns the value. It can be differentiated twice.
    """
    is_recorded = keras.backend.backend() == "tensorflow"

    @ops.custom_gradient
    def value_of(*tensors: Any) -> Any:
        # TensorFlow would make ready to differentiate the gradients too, and take all that is
        # computed on the way out of a compiled kernel.
        given = [ops.stop_gradient(each) for each in tensors] if is_recorded else tensors
        value, gradients = function(*given)

        def backward(*upstreams: Any, upstream: Any = None) -> tuple[Any, ...] | Any:
            upstream = upstreams[0] if upstream is None else upstream
            if len(upstream.shape) < len(tensors[0].shape):
                upstream = ops.expand_dims(upstream, axis=-1)
            known = _as_function(function, tensors, gradients) if is_recorded else gradients
            products = tuple(upstream * each for each in known)
            return products if len(products) > 1 else products[0]

        return value, backward

    value: Callable[..., Any] = value_of
    return value


def _as_function(
    function: ValueAndGradients, tensors: tuple[Any, ...], gradients: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Return the gradients as what depends on the tensors: computed again if differentiated."""
    import tensorflow as tf

    @tf.custom_gradient
    def known(*tensors: Any) -> tuple[Any, ...]:
        def backward(*upstreams: Any) -> tuple[Any, ...]:
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                _, again = function(*tensors)
            return tuple(tape.gradient(again, tensors, upstreams, unconnected_gradients="zero"))

        return tuple(map(tf.identity, gradients)), backward

    return tuple(known(*tensors))
