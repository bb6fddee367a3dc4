"""Calibrated probabilities: what `keras_softmaxes.models.calibrate` puts after a model."""

from typing import TYPE_CHECKING, Any

import keras
import ml_dtypes
from keras import ops

from ..ops._likelihood import log
from ..support._arguments import Tensor
from ..support._configuration import serializable
from ..support._options import DType
from ..support._tensors import at_least_float32, largest
from ._head import Head

if TYPE_CHECKING:
    from ..losses import HeadLoss


class Calibration(keras.layers.Layer):
    """Base of the layers that rescale class scores: logits, or the logarithms of probabilities.

    Args:
        from_logits: whether it takes and returns logits, in place of probabilities.
        **kwargs: the arguments of every Keras layer.
    """

    def __init__(self, from_logits: bool = False, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.from_logits = from_logits

    def call(self, inputs: Tensor) -> Tensor:
        """Return logits or probabilities, as they came."""
        inputs = at_least_float32(inputs)
        scores = self.rescaled(deviations(inputs, self.from_logits))
        return scores if self.from_logits else ops.softmax(scores, axis=-1)

    def rescaled(self, scores: Tensor) -> Tensor:
        """Return the scores of the calibrated classes."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape


def deviations(outputs: Tensor, from_logits: bool) -> Tensor:
    """Return logits, or logarithms of probabilities, less the largest of the example.

    Logits that differ stay different: near numbers are subtracted exactly.
    """
    scores = outputs if from_logits else log(outputs)
    return scores - largest(scores)


@serializable
class Temperature(Calibration):
    """One temperature: softmax(z / T), z logits or the logarithms of probabilities.

    Whatever T > 0 rounds to, the most likely class stays the same.

    Args:
        from_logits: whether it takes and returns logits, in place of probabilities.
        **kwargs: the arguments of every Keras layer.
    """

    def build(self, input_shape: Any) -> None:
        """Create the temperature, 1."""
        self.temperature = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="temperature"
        )

    def rescaled(self, scores: Tensor) -> Tensor:
        """Return z / T."""
        return scores / self.temperature

    def call(self, inputs: Tensor) -> Tensor:
        """Return logits or probabilities, as they came; the largest stays the largest."""
        outputs = super().call(inputs)
        if self.from_logits:
            return outputs
        inputs = at_least_float32(inputs)
        dtype = keras.backend.standardize_dtype(outputs.dtype)
        below = (1 - float(ml_dtypes.finfo(dtype).eps)) * largest(outputs)
        return ops.where(inputs < largest(inputs), ops.minimum(outputs, below), outputs)


@serializable
class VectorScaling(Calibration):
    """A scale and a bias for each class: softmax(w z + b), z as for `Temperature`.

    Args:
        from_logits: whether it takes and returns logits, in place of probabilities.
        **kwargs: the arguments of every Keras layer.
    """

    def build(self, input_shape: Any) -> None:
        """Create the scales, 1, and the biases, 0."""
        self.scale, self.bias = (
            self.add_weight(
                shape=input_shape[-1:], initializer=initializer, trainable=False, name=name
            )
            for name, initializer in (("scale", "ones"), ("bias", "zeros"))
        )

    def rescaled(self, scores: Tensor) -> Tensor:
        """Return w z + b."""
        return scores * self.scale + self.bias


@serializable
class CalibratedHead(Head):
    """A head whose probabilities are calibrated.

    Its other tensors, its weights and its loss are those of the head within.

    Args:
        head: a `keras_softmaxes.layers.Head`.
        calibration: the layer that rescales its probabilities.
        name: name of the layer.
        dtype: its type or policy, that of the head by default.
    """

    def __init__(
        self, head: Head, calibration: Calibration, name: str | None = None, dtype: DType = None
    ) -> None:
        super().__init__(head.units, name=name, dtype=dtype or head.dtype_policy)
        self.head = head
        self.calibration = calibration

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the variables of the head and of the calibration."""
        super().build(input_shape)
        if not self.head.built:
            self.head.build(input_shape)
        if not self.calibration.built:
            self.calibration.build((*input_shape[:-1], self.units))

    def call(self, features: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return what the head returns, its probabilities calibrated."""
        outputs = self.head(features, training=training)
        return {**outputs, "probabilities": self.calibration(outputs["probabilities"])}

    def default_loss(self) -> "HeadLoss":
        """Return the loss of the head."""
        return self.head.default_loss()
