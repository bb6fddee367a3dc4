"""The kernels of a layer, which the regularisers of weights act on."""

import keras

from keras_softmaxes.ops.checks import invalid


def kernels(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return the kernels of a built layer, biases and the like left out.

    Raises:
        ValueError: a layer without a kernel.
    """
    found = [variable for variable in layer.variables if variable.name.endswith("kernel")]
    if not found:
        raise invalid("layer", "a layer with a kernel, as `Dense` or `Conv2D`", layer)
    return found
