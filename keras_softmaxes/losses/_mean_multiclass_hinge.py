"""The mean multiclass hinge loss."""

from ..ops._mean_multiclass_hinge import mean_multiclass_hinge
from ..support._arguments import Tensor
from ..support._configuration import serializable
from ..support._xla import xla_compiled
from ._head_loss import HeadLoss

_hinge = xla_compiled(mean_multiclass_hinge)


@serializable
class MeanMulticlassHinge(HeadLoss):
    """Mean over the non-target classes of the hinge of the logits.

        1 / (C - 1) sum_{c != y} max(0, f_c - f_y + 1)

    The large-margin paper builds it as a rival from the multiclass hinge loss. That has a gradient
    for two logits only, and trained no network there. It takes the logits of a plain
    `Dense(classes)`.

    Args:
        ignore_class: a class, in range or not (-1, 255), whose examples do not count; see
            `keras_softmaxes.losses.HeadLoss`.
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type of the computation; None is `keras.config.floatx()`. Half precision is
            computed in float32.
        class_weight: a number for each class; see `keras_softmaxes.losses.HeadLoss`.
        logit_adjustment: likewise.

    Call arguments:
        y_true: (...) or (..., 1) classes, or (..., K) one-hot or of at most two classes.
        y_pred: logits, (..., K), or the dict of a head that returns logits.

    Raises:
        ValueError: what `keras_softmaxes.losses.HeadLoss` raises.

    Example:
        >>> import keras_softmaxes as ks
        >>> float(ks.losses.MeanMulticlassHinge()([0], [[2.0, 1.5, 0.0]]))
        0.25

    Reference:
        Kobayashi, Large Margin In Softmax Cross-Entropy Loss, BMVC 2019, Eq. 14
        (https://github.com/tk1980/LargeMarginInSoftmax).
    """

    default_name = "mean_multiclass_hinge"

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the mean hinge of each example, (...)."""
        return _hinge(y_true, y_pred["logits"])
