"""The large-margin loss, and its regulariser alone."""

from typing import Any, Unpack

from ..ops._large_margin import (
    Divergence,
    check_divergence,
    expected_large_margin_cross_entropy,
    expected_large_margin_divergence,
    large_margin_cross_entropy_of,
    large_margin_divergence,
)
from ..ops._linear_cross_entropy import linear_cross_entropy_of
from ..ops._sampled_cross_entropy import sampled_cross_entropy_of
from ..support._arguments import Tensor, check_not_negative, check_share, invalid
from ..support._configuration import serializable
from ..support._options import LossOptions
from ..support._xla import xla_compiled, xla_compiled_with_gradient
from ._head_loss import HeadLoss
from ._linear import LINEAR, SAMPLED, are_sampled

_divergence = xla_compiled(large_margin_divergence)


@xla_compiled_with_gradient
def _expectation(rows: Tensor, tensors: dict[str, Tensor], *settings: Any) -> Tensor:
    return expected_large_margin_cross_entropy(rows, tensors["logits"], *settings)


@xla_compiled_with_gradient
def _expected_divergence(rows: Tensor, tensors: dict[str, Tensor], divergence: Any) -> Tensor:
    return expected_large_margin_divergence(rows, tensors["logits"], divergence)


@serializable
class LargeMarginCrossentropy(HeadLoss):
    """Softmax cross-entropy with a regulariser that makes the non-target logits equal.

        cross-entropy(f - bias * onehot(y)) + weight * R(f)

    with R of `keras_softmaxes.ops.large_margin_divergence`. It takes the place of
    `keras.losses.SparseCategoricalCrossentropy(from_logits=True)` or of
    `keras.losses.CategoricalCrossentropy(from_logits=True)` and needs no other change. The model
    has to return logits. A last layer with a softmax raises; on JAX, where nothing can raise, it
    trains badly. With weight 0 it equals Keras's losses. With `bias=1` it is the paper's "modified
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
        ignore_class: a class, in range or not (-1, 255), whose examples (pixels) have no part in
            the cross-entropy or in R; see `keras_softmaxes.losses.HeadLoss`.
        reduction: as in every Keras loss. Sample and class weights act on the whole loss.
        name: name of the loss.
        dtype: the type of the computation; None is `keras.config.floatx()`. Half precision is
            computed in float32.
        class_weight: a number for each class; see `keras_softmaxes.losses.HeadLoss`.
        logit_adjustment: likewise.

    Call arguments:
        y_true: (...) or (..., 1) classes, or (..., C) one-hot or soft, `...` being any shape.
        y_pred: logits f, (..., C), or the dict of a head that returns logits.

    Raises:
        ValueError: bad arguments, and what `keras_softmaxes.losses.HeadLoss` raises. An example's
            NaN logit, or a non-target logit of plus infinity, gives NaN; other infinite logits give
            the limit, which may be infinite.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(10)])
        >>> loss = ks.losses.LargeMarginCrossentropy(weight=0.3)
        >>> model.compile("adam", loss=loss, metrics=["accuracy"])

    Reference:
        Kobayashi, Large Margin In Softmax Cross-Entropy Loss, BMVC 2019, Eqs. 11, 13, 15
        (https://github.com/tk1980/LargeMarginInSoftmax).
    """

    default_name = "large_margin_crossentropy"

    def __init__(
        self,
        weight: float = 0.3,
        divergence: Divergence = "symmetric",
        bias: float = 0.0,
        label_smoothing: float = 0.0,
        **kwargs: Unpack[LossOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.weight = float(check_not_negative("weight", weight))
        self.divergence = check_divergence(divergence)
        self.bias = float(check_not_negative("bias", bias))
        smoothing = check_share("label_smoothing", label_smoothing, below_one=True)
        self.label_smoothing = float(smoothing)

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the loss of each example, (...)."""
        settings = self.weight, self.divergence, self.bias, self.label_smoothing
        return large_margin_cross_entropy_of(y_true, y_pred["logits"], *settings)

    def expectation(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the expected loss of soft labels, (...)."""
        settings = self.weight, self.divergence, self.bias, self.label_smoothing
        return _expectation(y_true, y_pred, *settings)

    def of_linear(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the loss of each example whose logits are linear, by tiles of classes, (batch,).

        Of drawn classes it is the plain cross-entropy, `keras_softmaxes.ops.sampled_cross_entropy`,
        with the bias.

        Raises:
            ValueError: drawn classes, where there is a weight or label smoothing, which are of all.
        """
        features, kernel, bias = (y_pred[name] for name in LINEAR)
        if are_sampled(y_pred):
            if self.weight or self.label_smoothing:
                expected = "weight=0.0 and label_smoothing=0.0 where classes are drawn"
                raise invalid("loss", expected, f"{self.weight}, {self.label_smoothing}")
            classes, log_counts = (y_pred[name] for name in SAMPLED)
            return sampled_cross_entropy_of(
                y_true, features, kernel, bias, classes, log_counts, self.bias
            )
        settings = self.weight, self.divergence, self.bias, self.label_smoothing
        return linear_cross_entropy_of(y_true, features, kernel, bias, *settings)


@serializable
class LargeMarginDivergence(HeadLoss):
    """The regulariser of the large margin alone, to be added to the loss of another head.

        R(f) = 1/2 D(q || u) + 1/2 D(u || q)

    with q the softmax of the non-target logits and u their uniform distribution:
    `keras_softmaxes.ops.large_margin_divergence`. The paper says that it applies to other softmax
    losses. Alone it trains no classifier: the target's logit has no part in it.
    `keras_softmaxes.losses.LargeMarginCrossentropy` is the sum with the cross-entropy, in one pass.

    Args:
        divergence: "symmetric" (the paper's choice), "forward", D(q || u), or "reverse", D(u || q).
        ignore_class: a class, in range or not (-1, 255), whose examples do not count; see
            `keras_softmaxes.losses.HeadLoss`.
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type of the computation; None is `keras.config.floatx()`. Half precision is
            computed in float32.
        class_weight: a number for each class; see `keras_softmaxes.losses.HeadLoss`.
        logit_adjustment: likewise.

    Call arguments:
        y_true: (...) or (..., 1) classes, or (..., C) one-hot or soft.
        y_pred: logits f, (..., C), or the dict of a head that returns logits.

    Raises:
        ValueError: another divergence, and what `keras_softmaxes.losses.HeadLoss` raises.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> terms = [ks.losses.DropMaxLoss(), ks.losses.LargeMarginDivergence()]
        >>> loss = ks.losses.WeightedSum(terms, [1.0, 0.3])
        >>> head = ks.layers.DropMax(3, kernel_initializer="glorot_uniform")
        >>> outputs = head(keras.ops.ones((2, 5)), training=True)
        >>> float(loss([0, 2], outputs)) > float(terms[0]([0, 2], outputs))
        True

    Reference:
        Kobayashi, Large Margin In Softmax Cross-Entropy Loss, BMVC 2019, Eqs. 8, 10
        (https://github.com/tk1980/LargeMarginInSoftmax).
    """

    default_name = "large_margin_divergence"

    def __init__(self, divergence: Divergence = "symmetric", **kwargs: Unpack[LossOptions]) -> None:
        super().__init__(**kwargs)
        self.divergence = check_divergence(divergence)

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the divergence of each example, (...)."""
        return _divergence(y_true, y_pred["logits"], self.divergence)

    def expectation(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the expected divergence of soft labels, (...)."""
        return _expected_divergence(y_true, y_pred, self.divergence)
