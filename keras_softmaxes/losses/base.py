"""What every loss of classes shares."""

from typing import Any

import keras
from keras import ops

from keras_softmaxes.ops.checks import Tensor
from keras_softmaxes.ops.labels import class_indices


class _Reduction(keras.losses.Loss):
    """Keras's own weighting and reduction, for values that are losses already."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return y_pred


class ClassLoss(keras.losses.Loss):
    """Base of the losses of class labels.

    Keras casts labels to the loss's float type, where a large class becomes another one. Here the
    labels are read before that, in one place, and reach `call` as int32 classes of shape (batch,).

    Args:
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type the loss is computed in, None being `keras.config.floatx()`; float32 takes
            the place of half precision, which a sum over classes soon leaves.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self._config_dtype = None if dtype is None else self.dtype
        self._reduction = _Reduction(
            name=self.name,
            reduction=reduction,
            dtype=keras.backend.result_type(self.dtype, "float32"),
        )

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """Return the weighted and reduced loss."""
        y_pred = ops.convert_to_tensor(y_pred, dtype=self._reduction.dtype)
        self.check_predictions(y_pred)
        losses = self.call(class_indices(y_true, y_pred.shape[-1]), y_pred)
        return self._reduction(losses, losses, sample_weight)

    def check_predictions(self, y_pred: Tensor) -> None:
        """Raise ValueError unless `y_pred` has the shape that the loss understands."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "dtype": self._config_dtype}
