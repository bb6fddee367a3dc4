"""The mean multiclass hinge loss."""

from typing import Any

import keras

from keras_softmaxes.losses.base import ClassLoss
from keras_softmaxes.ops.checks import Tensor, check_logits
from keras_softmaxes.ops.compile import xla_compiled
from keras_softmaxes.ops.hinge import mean_multiclass_hinge

_hinge = xla_compiled(mean_multiclass_hinge)


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class MeanMulticlassHinge(ClassLoss):
    """Mean over the non-target classes of the hinge of the logits.

        1 / (C - 1) sum_{c != y} max(0, f_c - f_y + 1)

    The rival that the large-margin paper builds from the multiclass hinge loss, whose gradient for
    two logits alone trained no network there. It takes the logits of a plain `Dense(classes)`.

    Args:
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type the loss is computed in, None being `keras.config.floatx()`; float32 takes
            the place of half precision.

    Call arguments:
        y_true: (batch,) or (batch, 1) integers, or (batch, C) one-hot.
        y_pred: logits, (batch, C).

    Raises:
        ValueError: logits of another rank; labels out of range, of another shape, or float labels
            that are not one-hot. In a graph, as in `fit`, TensorFlow raises InvalidArgumentError
            for the values of labels; inside XLA or `jax.jit`, where nothing can be raised, they
            give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> float(ks.losses.MeanMulticlassHinge()([0], [[2.0, 1.5, 0.0]]))
        0.25

    Reference:
        Kobayashi, Large Margin In Softmax Cross-Entropy Loss, BMVC 2019, Eq. 14
        (https://github.com/tk1980/LargeMarginInSoftmax).
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_multiclass_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def check_predictions(self, y_pred: Tensor) -> None:
        """Raise ValueError unless `y_pred` has the shape (batch, C)."""
        check_logits("y_pred", y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the mean hinge of each example, (batch,)."""
        return _hinge(y_true, y_pred)
