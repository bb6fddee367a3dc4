"""What the losses of classes share."""

from typing import Any

import keras
from keras import ops

from keras_softmaxes.ops.checks import Tensor, invalid
from keras_softmaxes.ops.labels import class_indices


class _Reduction(keras.losses.Loss):
    """Keras's own masking, weighting and reduction, for values that are losses already."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
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
        ignore_class: a class, in range or not, whose examples have no part in the loss.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self._config_dtype = None if dtype is None else self.dtype
        self.ignore_class = ignore_class
        dtype = keras.backend.result_type(self.dtype, "float32")
        self._reduction = _Reduction(name=self.name, reduction=reduction, dtype=dtype)
        self._masking = _Reduction(name="mask", reduction=None, dtype=dtype)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """Return the weighted and reduced loss."""
        evidence = ops.convert_to_tensor(y_pred, dtype=self._reduction.dtype)
        self.check_predictions(evidence)
        labels = self.read(y_true, evidence)
        if self.ignore_class is None:
            losses = self.call(labels, evidence)
            return self._reduction(losses, y_pred, _aligned(sample_weight, losses))
        counted = labels != self.ignore_class
        # What is ignored may hold NaN, of which no zero weight would rid the gradient.
        evidence = ops.where(ops.expand_dims(counted, axis=-1), evidence, 0)
        losses = ops.where(counted, self.call(ops.where(counted, labels, 0), evidence), 0)
        weights = self._weights(counted, y_pred, _aligned(sample_weight, losses))
        return self._reduction(losses, y_pred, weights)

    def read(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the labels as int32 classes, one for each example."""
        *_, classes = y_pred.shape
        return class_indices(y_true, classes, self.examples(y_pred), self.ignore_class)

    def examples(self, y_pred: Tensor) -> tuple[int | None, ...]:
        """Return the static shape of the examples that `y_pred` holds."""
        return tuple(y_pred.shape[:1])

    def check_predictions(self, y_pred: Tensor) -> None:
        """Raise ValueError unless `y_pred` has the shape that the loss understands."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "dtype": self._config_dtype}

    def _weights(self, counted: Tensor, y_pred: Tensor, sample_weight: Tensor) -> Tensor:
        """Return the weights under which Keras treats ignored examples as it does masked ones.

        Keras takes the mean of a loss over the examples that are not masked.
        """
        weights = ops.cast(counted, self._reduction.dtype)
        if self.reduction in ("sum_over_batch_size", "mean"):
            unmasked = self._masking(ops.ones_like(weights), y_pred)
            weights *= ops.divide_no_nan(ops.sum(unmasked), ops.sum(unmasked * weights))
        return weights if sample_weight is None else weights * sample_weight


class EvidenceLoss(ClassLoss):
    """Base of the losses that belong to an evidence head.

    Attributes:
        head: the name of the head.
        rows: how many rows of evidence it returns.
    """

    head: str
    rows: tuple[int, ...]

    def check_predictions(self, y_pred: Tensor) -> None:
        """Raise ValueError unless `y_pred` is the evidence of the head."""
        shape = tuple(y_pred.shape)
        if len(shape) != 3 or shape[1] not in self.rows:
            rows = " or ".join(map(str, self.rows))
            raise invalid(
                "y_pred",
                f"the evidence of `keras_softmaxes.layers.{self.head}`, of shape (batch, {rows}, "
                "classes), which `keras_softmaxes.models.Classifier` passes on",
                f"a tensor of shape {shape}",
            )


def _aligned(weights: Tensor, losses: Tensor) -> Tensor:
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
