"""Whether a model trains, told to the layers that it calls."""

from collections.abc import Callable
from typing import Any

import keras


class InCallContext(keras.layers.Layer):
    """A function that runs as the `call` of a layer does.

    Layers that are called within and are not told of `training` take it from there. Keras's JAX
    trainer runs a model's `call` outside of any such context: a subclass that does not pass
    `training` on would silently train without masks.

    Args:
        function: takes an argument `training`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(autocast=False)
        self.function = function
        self.built = True

    def call(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Return what the function returns."""
        return self.function(*args, training=training, **kwargs)
