"""The center loss beside a linear head, as a head and a loss of one's own (docs/extending.md)."""

from typing import Any

import keras
from keras import ops

import keras_softmaxes as ks


@keras.saving.register_keras_serializable("examples")
class CenterHead(ks.layers.Head):
    """A `Dense` of logits, and how far the features are from a center of each class.

    Returns "probabilities" and "logits", and ||x - c_k||^2 / 2 twice, (batch, K) each: "distances"
    that move the features alone, and "center_distances" that move the centers alone. The centers
    c_k start at the origin. They follow their gradient by the optimizer's rate, where the paper
    moves them by a rate of their own.
    """

    def __init__(self, units: int, kernel_initializer: Any = "zeros", **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.logits = keras.layers.Dense(
            units, kernel_initializer=kernel_initializer, dtype=self.dtype_policy
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.logits.build(input_shape)
        shape = (self.units, input_shape[-1])
        self.centers = self.add_weight(shape=shape, initializer="zeros", name="centers")

    def call(self, features: Any) -> dict[str, Any]:
        logits = ops.cast(self.logits(features), "float32")
        return {
            "probabilities": ops.softmax(logits),
            "logits": logits,
            "distances": _distances(features, ops.stop_gradient(self.centers)),
            "center_distances": _distances(ops.stop_gradient(features), self.centers),
        }

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

    reads = ("logits", "distances", "center_distances")

    def __init__(self, weight: float = 0.003, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weight = weight

    def call(self, y_true: Any, y_pred: dict[str, Any]) -> Any:
        cross_entropy = ops.sparse_categorical_crossentropy(
            y_true, y_pred["logits"], from_logits=True
        )
        pull, learn = (_of_class(y_true, y_pred[name]) for name in self.reads[1:])
        # The centers learn whatever the weight is, and add nothing to the value.
        return cross_entropy + self.weight * pull + learn - ops.stop_gradient(learn)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}


def _distances(features: Any, centers: Any) -> Any:
    distances, _ = ks.ops.gaussian_distances(features, centers, ops.zeros_like(centers))
    return distances


def _of_class(classes: Any, values: Any) -> Any:
    return ops.squeeze(ops.take_along_axis(values, ops.expand_dims(classes, -1), axis=-1), -1)
