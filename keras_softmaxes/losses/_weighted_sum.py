"""Several losses of one head, added."""

from collections.abc import Sequence
from typing import Any, Unpack

from ..support._arguments import Tensor, check_not_negative, invalid
from ..support._configuration import serializable
from ..support._labels import Labels
from ..support._options import LossOptions
from ._head_loss import HeadLoss


@serializable
class WeightedSum(HeadLoss):
    """Weighted sum of losses that read the same head and the same labels.

        sum_i weight_i * loss_i

    Args:
        losses: at least one `keras_softmaxes.losses.HeadLoss`, all of classes or all of several
            labels. The reduction, the type and the ignored class are arguments of the sum.
        weights: a number of at least 0 for each of them.
        ignore_class: a class, in range or not (-1, 255), whose examples do not count; see
            `keras_softmaxes.losses.HeadLoss`.
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type of the computation; None is `keras.config.floatx()`. Half precision is
            computed in float32.
        class_weight: a number for each class; see `keras_softmaxes.losses.HeadLoss`.
        logit_adjustment: likewise.

    Call arguments:
        y_true: as the losses take it.
        y_pred: what the head returns: all that the losses read.

    Raises:
        ValueError: something that is not a loss; losses some of which read classes and others
            several labels; a loss with an `ignore_class`, `class_weight` or `logit_adjustment` of
            its own; a number of weights other than that of the losses; a weight below 0; and what
            `keras_softmaxes.losses.HeadLoss` raises.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> terms = [ks.losses.LSoftmaxLoss(), ks.losses.LargeMarginDivergence()]
        >>> network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
        >>> model = ks.models.Classifier(network, ks.layers.LSoftmax(10))
        >>> model.compile("adam", ks.losses.WeightedSum(terms, [1.0, 0.3]))
    """

    default_name = "weighted_sum"

    def __init__(
        self, losses: Sequence[HeadLoss], weights: Sequence[float], **kwargs: Unpack[LossOptions]
    ) -> None:
        super().__init__(**kwargs)
        _check(losses, weights)
        self.losses = list(losses)
        self.weights = [float(weight) for weight in weights]
        self.reads = tuple(dict.fromkeys(name for loss in losses for name in loss.reads))
        self.may_read = tuple(name for loss in losses for name in loss.may_read)

    def read(self, y_true: Tensor, y_pred: Tensor) -> Labels:
        """Return the labels as all the losses take them."""
        if self.ignore_class is None:
            return self.losses[0].read(y_true, y_pred)
        return super().read(y_true, y_pred)

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of each example, (...)."""
        return sum(
            weight * loss.call(y_true, _read_by(loss, y_pred))
            for weight, loss in zip(self.weights, self.losses, strict=True)
        )

    def expectation(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the expected sum of soft labels, (...)."""
        return sum(
            weight * loss.expectation(y_true, _read_by(loss, y_pred))
            for weight, loss in zip(self.weights, self.losses, strict=True)
        )

    def of_linear(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of each example whose logits are linear, (batch,)."""
        return sum(
            weight * loss.of_linear(y_true, y_pred)
            for weight, loss in zip(self.weights, self.losses, strict=True)
        )

    def adjust(self, y_pred: dict[str, Tensor], adjustment: Tensor) -> dict[str, Tensor]:
        """Return the tensors as each of the losses adjusts what it reads."""
        adjusted = dict(y_pred)
        for loss in self.losses:
            adjusted |= loss.adjust(_read_by(loss, y_pred), adjustment)
        return adjusted

    def negative_log_likelihood(self, y_true: Tensor, probabilities: Tensor) -> Tensor:
        """Return the negative log-likelihood of each example, as the losses have it."""
        return self.losses[0].negative_log_likelihood(y_true, probabilities)


def _read_by(loss: HeadLoss, y_pred: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what a loss reads of the tensors of a head."""
    names = {*loss.reads, *loss.may_read} & y_pred.keys()
    return {name: y_pred[name] for name in names}


def _check(losses: Any, weights: Any) -> None:
    if not isinstance(losses, Sequence) or not losses:
        raise invalid("losses", "a list of at least one loss", repr(losses))
    for loss in losses:
        if not isinstance(loss, HeadLoss):
            raise invalid("losses", "instances of `keras_softmaxes.losses.HeadLoss`", repr(loss))
        for argument in ("ignore_class", "class_weight", "logit_adjustment"):
            if (value := getattr(loss, argument)) is not None:
                expected = f"losses without `{argument}`, which is an argument of the sum"
                raise invalid("losses", expected, f"one of {argument}={value}")
    if len({type(loss).read for loss in losses}) > 1:
        raise invalid("losses", "losses that read labels in one way", repr(losses))
    if not isinstance(weights, Sequence) or len(weights) != len(losses):
        raise invalid("weights", f"a list of {len(losses)} numbers, one per loss", repr(weights))
    for weight in weights:
        check_not_negative("weights", weight)
