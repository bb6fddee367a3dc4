"""The floor of precision."""

import keras
from keras import ops

from keras_softmaxes.ops.checks import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return the tensor in float32 where it is in half precision, which a sum soon leaves."""
    return ops.cast(tensor, keras.backend.result_type(tensor.dtype, "float32"))
