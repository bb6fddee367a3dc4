"""The large-margin loss."""

from typing import Any

import keras
from keras import ops

from keras_softmaxes.losses.base import ClassLoss, Reduction, aligned
from keras_softmaxes.ops.checks import (
    Tensor,
    check_class_logits,
    check_integer,
    check_not_negative,
    invalid,
)
from keras_softmaxes.ops.labels import UNREADABLE, counted_classes
from keras_softmaxes.ops.margin import (
    Divergence,
    check_divergence,
    large_margin_cross_entropy,
)


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class LargeMarginCrossentropy(ClassLoss):
    """Softmax cross-entropy with a regulariser that makes the non-target logits equal.

        cross-entropy(f - bias * onehot(y)) + weight * R(f)

    with R of `keras_softmaxes.ops.large_margin_divergence`. It takes the place of
    `keras.losses.SparseCategoricalCrossentropy(from_logits=True)` or of
    `keras.losses.CategoricalCrossentropy(from_logits=True)` and needs no other change. The model
    returns logits: probabilities, as a last layer with a softmax gives them, are not told apart
    from logits. With weight 0 it equals Keras's losses. With `bias=1` it is the paper's "modified
    loss + regulariser". The more classes, the more there is to regularise; with two R is 0.

    Args:
        weight: lambda, the weight of R, at least 0. The paper uses 0.3 throughout, and up to 1 for
            few samples or noisy labels.
        divergence: how R compares the softmax q of the non-target logits with the uniform
            distribution u: "symmetric" (the paper's choice), "forward", D(q || u), or "reverse",
            D(u || q).
        bias: the hard margin of Eq. 15, subtracted from the target's logit, at least 0. 1 in the
            paper, where it is used at all.
        label_smoothing: share of the uniform distribution in the target, in [0, 1), as in Keras.
            It acts on the cross-entropy alone.
        ignore_class: an integer, in the range of the classes or not (-1, 255). Examples (pixels)
            of this class have no part in the cross-entropy or in R, and the mean is that of the
            others, as in Keras. Under `tf.distribute` each replica takes its own mean.
        reduction: as in every Keras loss. Sample and class weights act on the whole loss.
        name: name of the loss.
        dtype: the type the loss is computed in, None being `keras.config.floatx()`; float32 takes
            the place of half precision.

    Call arguments:
        y_true: (...) or (..., 1) integers, or (..., C) one-hot, told apart by static shape and
            type. `...` is any shape: (batch,), or (batch, height, width) for segmentation.
        y_pred: logits f, (..., C), at least two classes.
        sample_weight: one number per example, (...) or (..., 1), or per row of the batch, (batch,).

    Raises:
        ValueError: bad arguments, one class, labels out of range, of another shape, or float labels
            that are not one-hot. In a TensorFlow graph, as in `fit`, values are refused by
            InvalidArgumentError; inside XLA or `jax.jit`, where nothing can be raised, labels that
            cannot be read give NaN. So does an example's NaN logit, or a non-target logit of plus
            infinity; other infinite logits give the limit, which may be infinite.

    Example:
        >>> import keras_softmaxes as ks
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(10)])
        >>> loss = ks.losses.LargeMarginCrossentropy(weight=0.3)
        >>> model.compile("adam", loss=loss, metrics=["accuracy"])

    Reference:
        Kobayashi, Large Margin In Softmax Cross-Entropy Loss, BMVC 2019, Eqs. 11, 13, 15
        (https://github.com/tk1980/LargeMarginInSoftmax).
    """

    def __init__(
        self,
        weight: float = 0.3,
        divergence: Divergence = "symmetric",
        bias: float = 0.0,
        label_smoothing: float = 0.0,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "large_margin_crossentropy",
        dtype: Any = None,
    ) -> None:
        if ignore_class is not None:
            check_integer("ignore_class", ignore_class, least=UNREADABLE + 1)
            ignore_class = int(ignore_class)
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        check_not_negative("weight", weight)
        check_divergence(divergence)
        check_not_negative("bias", bias)
        check_not_negative("label_smoothing", label_smoothing)
        if label_smoothing >= 1:
            raise invalid("label_smoothing", "a number below 1", label_smoothing)
        self.weight = float(weight)
        self.divergence = divergence
        self.bias = float(bias)
        self.label_smoothing = float(label_smoothing)
        self.ignore_class = ignore_class

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """Return the weighted and reduced loss of the examples that are not ignored."""
        if self.ignore_class is None:
            return super().__call__(y_true, y_pred, sample_weight)
        logits = ops.convert_to_tensor(y_pred, dtype=self._reduction.dtype)
        self.check_predictions(logits)
        labels, counted = counted_classes(y_true, logits, self.ignore_class)
        # What is ignored may hold NaN, of which no zero weight would rid the gradient.
        logits = ops.where(ops.expand_dims(counted, axis=-1), logits, 0)
        losses = ops.where(counted, self.call(labels, logits), 0)
        weights = self._weights(ops.cast(counted, losses.dtype), y_pred)
        if sample_weight is not None:
            weights *= aligned(sample_weight, losses)
        return self._reduction(losses, y_pred, weights)

    def check_predictions(self, y_pred: Tensor) -> None:
        """Raise ValueError unless `y_pred` has the shape (..., C)."""
        check_class_logits("y_pred", y_pred)

    def read(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Leave the labels to the op, whose kernel reads them at no cost."""
        return y_true

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each example, (...)."""
        return large_margin_cross_entropy(
            y_true, y_pred, self.weight, self.divergence, self.bias, self.label_smoothing
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "weight": self.weight,
            "divergence": self.divergence,
            "bias": self.bias,
            "label_smoothing": self.label_smoothing,
            "ignore_class": self.ignore_class,
        }

    def _weights(self, counted: Tensor, y_pred: Tensor) -> Tensor:
        """Return the weights under which Keras treats ignored examples as it does masked ones.

        Keras takes the mean of a loss over the examples that are not masked.
        """
        if self.reduction not in ("sum_over_batch_size", "mean"):
            return counted
        masking = Reduction(name="mask", reduction=None, dtype=counted.dtype)
        unmasked = masking(ops.ones_like(counted), y_pred)
        return counted * ops.divide_no_nan(ops.sum(unmasked), ops.sum(unmasked * counted))
