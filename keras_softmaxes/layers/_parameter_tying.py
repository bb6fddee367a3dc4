"""Tying the parameters of two layers."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from ..support._arguments import Tensor, check_not_negative, invalid
from ..support._configuration import serializable
from ..support._options import LayerOptions
from ._kernel_wrapper import check_layer, kernel_variables, mask_of


@serializable
class ParameterTying(keras.layers.Layer):
    """Two layers whose kernels are drawn towards each other.

        Omega = weight * || W_A - W_B ||^2

    is added to the loss, in evaluation too, as Keras adds its regularisers. For two tasks of the
    same kind whose inputs differ. For equal rather than similar weights, call one layer twice.

    Args:
        first: layer A, with a kernel.
        second: layer B, with kernels of the same shapes.
        weight: the weight of the penalty, at least 0.
        **kwargs: the arguments of every Keras layer.

    Input:
        A pair of inputs, of A and of B.

    Output:
        The pair of their outputs.

    Raises:
        ValueError: a weight below 0; the same layer twice; inputs that are not a pair; layers
            without a kernel, or with kernels of different shapes.

    Example:
        >>> import keras_softmaxes as ks
        >>> pair = [keras.Input((4,)), keras.Input((4,))]
        >>> tied = ks.layers.ParameterTying(keras.layers.Dense(3), keras.layers.Dense(3), 0.1)
        >>> [output.shape for output in tied(pair)]
        [(None, 3), (None, 3)]

    Reference:
        Lasserre et al., Principled Hybrids of Generative and Discriminative Models, CVPR 2006;
        Goodfellow et al., Deep Learning, 2016, section 7.9 (https://www.deeplearningbook.org).
    """

    def __init__(
        self,
        first: keras.layers.Layer,
        second: keras.layers.Layer,
        weight: float,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if first is second:
            raise invalid("second", "another layer; to share `first`, call it twice", second)
        self.supports_masking: bool = True
        self.first: keras.layers.Layer = check_layer("first", first)
        self.second: keras.layers.Layer = check_layer("second", second)
        self.weight: float = check_not_negative("weight", weight)

    def build(self, input_shape: Sequence[Any]) -> None:
        """Build the layers, and compare the shapes of their kernels."""
        if len(input_shape) != 2 or not isinstance(input_shape[0], Sequence):
            raise invalid("inputs", "a pair of inputs, one for each layer", input_shape)
        for layer, shape in zip((self.first, self.second), input_shape, strict=True):
            if not layer.built:
                layer.build(shape)
        first, second = kernel_variables(self.first), kernel_variables(self.second)
        shapes = [[tuple(each.shape) for each in found] for found in (first, second)]
        if shapes[0] != shapes[1]:
            raise invalid("second", f"a layer with kernels of shapes {shapes[0]}", shapes[1])

    def compute_mask(self, inputs: Sequence[Any], previous_mask: Any) -> list[Any]:
        """Return the masks of both outputs."""
        masks = previous_mask or (None, None)
        layers = (self.first, self.second)
        return [mask_of(*each) for each in zip(layers, inputs, masks, strict=True)]

    def compute_output_shape(self, input_shape: Sequence[Any]) -> list[Any]:
        """Return the shapes of both outputs."""
        layers = zip((self.first, self.second), input_shape, strict=True)
        return [layer.compute_output_shape(shape) for layer, shape in layers]

    def call(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return both outputs, and add the penalty."""
        pairs = zip(kernel_variables(self.first), kernel_variables(self.second), strict=True)
        differences = (ops.cast(a, "float32") - ops.cast(b, "float32") for a, b in pairs)
        squares = [ops.sum(ops.square(difference)) for difference in differences]
        self.add_loss(self.weight * sum(squares))
        one, other = inputs
        return [self.first(one), self.second(other)]
