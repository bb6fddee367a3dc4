"""What the losses of classes share."""

from typing import Any

import keras
from keras import ops

from keras_softmaxes.ops.checks import Tensor, invalid
from keras_softmaxes.ops.labels import class_indices


class Reduction(keras.losses.Loss):
    """Keras's own masking, weighting and reduction, for values that are losses already."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the values, which take the labels' place."""
        return y_true


class ClassLoss(keras.losses.Loss):
    """Base of the losses of class labels.

    Keras casts labels to the loss's float type, where a large class becomes another one. Here the
    labels are read before that, in one place, and reach `call` as int32 classes of the examples.

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
        dtype = keras.backend.result_type(self.dtype, "float32")
        self._reduction = Reduction(name=self.name, reduction=reduction, dtype=dtype)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """Return the weighted and reduced loss."""
        evidence = ops.convert_to_tensor(y_pred, dtype=self._reduction.dtype)
        self.check_predictions(evidence)
        losses = self.call(self.read(y_true, evidence), evidence)
        return self._reduction(losses, y_pred, aligned(sample_weight, losses))

    def read(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the labels as int32 classes, one for each example."""
        batch, *_, classes = y_pred.shape
        return class_indices(y_true, classes, (batch,))

    def check_predictions(self, y_pred: Tensor) -> None:
        """Raise ValueError unless `y_pred` has the shape that the loss understands."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "dtype": self._config_dtype}


class EvidenceLoss(ClassLoss):
    """Base of the losses that belong to evidence heads.

    Attributes:
        heads: the names of the heads.
        rows: how many rows of evidence it returns.
    """

    heads: tuple[str, ...]
    rows: tuple[int, ...]

    def check_predictions(self, y_pred: Tensor) -> None:
        """Raise ValueError unless `y_pred` is the evidence of the head."""
        shape = tuple(y_pred.shape)
        if len(shape) != 3 or shape[1] not in self.rows:
            heads = " or ".join(f"`keras_softmaxes.layers.{head}`" for head in self.heads)
            rows = " or ".join(map(str, self.rows))
            raise invalid(
                "y_pred",
                f"the evidence of {heads}, of shape (batch, {rows}, classes), which "
                "`keras_softmaxes.models.Classifier` passes on",
                f"a tensor of shape {shape}",
            )


def aligned(weights: Tensor, losses: Tensor) -> Tensor:
    """Return weights that multiply the losses as is meant, whichever shape they came in.

    Keras would align weights of the batch's rows with the last axis, and leaves a last axis of size
    1 for later.
    """
    if weights is None:
        return None
    weights = ops.convert_to_tensor(weights, dtype=losses.dtype)
    shape = tuple(weights.shape)
    missing = len(losses.shape) - len(shape)
    if missing == -1 and shape[-1] == 1:
        return ops.squeeze(weights, axis=-1)
    return ops.reshape(weights, (*ops.shape(weights), *(1,) * missing)) if shape else weights
