"""Several losses of one head, added."""

from collections.abc import Sequence
from typing import Any

from ..support._arguments import Tensor, check_not_negative, invalid
from ..support._configuration import serializable
from ._head_loss import HeadLoss


@serializable
class WeightedSum(HeadLoss):
    """Weighted sum of losses that read the same head and the same labels.

        sum_i weight_i * loss_i

    Args:
        losses: at least one `keras_softmaxes.losses.HeadLoss`, all of classes or all of several
            labels. What they say of reductions, types and ignored classes is the sum's to say.
        weights: a number of at least 0 for each of them.
        ignore_class: a class, in range or not (-1, 255), whose examples do not count; see
            `keras_softmaxes.losses.HeadLoss`.
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type the loss is computed in, None being `keras.config.floatx()`; float32 takes
            the place of half precision.

    Call arguments:
        y_true: as the losses take it.
        y_pred: what the head returns: all that the losses read.

    Raises:
        ValueError: losses that are none, that read labels in two ways, or of which one ignores a
            class; as many weights as there are not losses, or one below 0; and what
            `keras_softmaxes.losses.HeadLoss` refuses.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> terms = [ks.losses.LSoftmaxLoss(), ks.losses.LargeMarginDivergence()]
        >>> network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
        >>> model = ks.models.Classifier(network, ks.layers.LSoftmax(10))
        >>> model.compile("adam", ks.losses.WeightedSum(terms, [1.0, 0.3]))
    """

    def __init__(
        self,
        losses: Sequence[HeadLoss],
        weights: Sequence[float],
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "weighted_sum",
        dtype: Any = None,
    ) -> None:
        super().__init__(ignore_class, reduction, name, dtype)
        _check(losses, weights)
        self.losses = list(losses)
        self.weights = [float(weight) for weight in weights]
        self.reads = tuple(dict.fromkeys(name for loss in losses for name in loss.reads))
        self.may_read = tuple(name for loss in losses for name in loss.may_read)

    def read(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the labels as all the losses take them."""
        return self.losses[0].read(y_true, y_pred)

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of each example, (...)."""
        total = 0.0
        for weight, loss in zip(self.weights, self.losses, strict=True):
            names = {*loss.reads, *loss.may_read} & y_pred.keys()
            total += weight * loss.call(y_true, {name: y_pred[name] for name in names})
        return total

    def negative_log_likelihood(self, y_true: Tensor, probabilities: Tensor) -> Tensor:
        """Return the negative log-likelihood of each example, as the losses have it."""
        return self.losses[0].negative_log_likelihood(y_true, probabilities)


def _check(losses: Any, weights: Any) -> None:
    if not isinstance(losses, Sequence) or not losses:
        raise invalid("losses", "a list of at least one loss", repr(losses))
    for loss in losses:
        if not isinstance(loss, HeadLoss):
            raise invalid("losses", "instances of `keras_softmaxes.losses.HeadLoss`", repr(loss))
        if loss.ignore_class is not None:
            expected = "losses without `ignore_class`, which is an argument of the sum"
            raise invalid("losses", expected, f"one that ignores {loss.ignore_class}")
    if len({type(loss).read for loss in losses}) > 1:
        raise invalid("losses", "losses that read labels in one way", repr(losses))
    if not isinstance(weights, Sequence) or len(weights) != len(losses):
        raise invalid("weights", f"a list of {len(losses)} numbers, one a loss", repr(weights))
    for weight in weights:
        check_not_negative("weights", weight)
