"""The center loss beside a linear head, as a head and a loss of one's own (docs/extending.md)."""

from typing import Any

import keras
from keras import ops

import keras_softmaxes as ks


@keras.saving.register_keras_serializable("examples")
class CenterHead(ks.layers.Head):
    """A `Dense` of logits, and how far the features are from a center of each class.

    Returns "probabilities", "logits" and "distances", ||x - c_k||^2 / 2, (batch, K) each. The
    centers c_k start at the origin and are learned by their gradient, where the paper moves them
    by a rule of its own.
    """

    def __init__(self, units: int, kernel_initializer: Any = "zeros", **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.logits = keras.layers.Dense(units, kernel_initializer=kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.logits.build(input_shape)
        shape = (self.units, input_shape[-1])
        self.centers = self.add_weight(shape=shape, initializer="zeros", name="centers")

    def call(self, features: Any) -> dict[str, Any]:
        logits = self.logits(features)
        unit_variances = ops.zeros_like(self.centers)
        distances, _ = ks.ops.gaussian_distances(features, self.centers, unit_variances)
        return {"probabilities": ops.softmax(logits), "logits": logits, "distances": distances}

    def default_loss(self) -> "CenterLoss":
        return CenterLoss()

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.logits.kernel_initializer)
        return {**super().get_config(), "units": self.units, "kernel_initializer": initializer}


@keras.saving.register_keras_serializable("examples")
class CenterLoss(ks.losses.HeadLoss):
    """Softmax cross-entropy + weight * ||x - c_t||^2 / 2 (Wen et al., ECCV 2016, Eq. 5).

    Args:
        weight: lambda, 0.003 in the paper.
        **kwargs: the arguments of every loss of a head.
    """

    reads = ("logits", "distances")

    def __init__(self, weight: float = 0.003, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weight = weight

    def call(self, y_true: Any, y_pred: dict[str, Any]) -> Any:
        cross_entropy = ops.sparse_categorical_crossentropy(
            y_true, y_pred["logits"], from_logits=True
        )
        own = ops.take_along_axis(y_pred["distances"], ops.expand_dims(y_true, -1), axis=-1)
        return cross_entropy + self.weight * ops.squeeze(own, -1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}
