"""What the regularisers of weights share: layers around a layer with kernels."""

from typing import Any, Unpack

import keras

from ..support._arguments import invalid
from ..support._options import LayerOptions


def check_layer(argument: str, layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return `layer`; raise ValueError unless it is one."""
    if not isinstance(layer, keras.layers.Layer):
        raise invalid(argument, "a Keras layer", repr(layer))
    return layer


def kernel_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return the kernels of a built layer, biases and the like left out.

    Raises:
        ValueError: a layer without a kernel.
    """
    found = [variable for variable in layer.variables if variable.name.endswith("kernel")]
    if not found:
        raise invalid("layer", "a layer with a kernel, as `Dense` or `Conv2D`", layer)
    return found


def mask_of(layer: keras.layers.Layer, inputs: Any, mask: Any) -> Any:
    """Return the mask of a layer's outputs."""
    return layer.compute_mask(inputs, mask) if layer.supports_masking else None


class KernelWrapper(keras.layers.Wrapper):
    """Base of the wrappers that act on kernels: shapes and masks are those of the layer."""

    def __init__(self, layer: keras.layers.Layer, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(check_layer("layer", layer), **kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any = None) -> None:
        """Build the layer, and check that it has a kernel."""
        super().build(input_shape)
        kernel_variables(self.layer)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Return the mask of the layer's outputs."""
        return mask_of(self.layer, inputs, previous_mask)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the layer's outputs."""
        return self.layer.compute_output_shape(input_shape)
