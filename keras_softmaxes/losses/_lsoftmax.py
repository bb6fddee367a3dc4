"""The loss of the L-Softmax head."""

from ..ops._lsoftmax import lsoftmax_cross_entropy
from ..ops._soft_labels import margin_cross_entropy
from ..support._arguments import Tensor
from ..support._configuration import serializable
from ..support._xla import xla_compiled_with_gradient
from ._head_loss import HeadLoss


@xla_compiled_with_gradient
def _cross_entropy(labels: Tensor, tensors: dict[str, Tensor]) -> Tensor:
    return lsoftmax_cross_entropy(labels, **tensors)


@xla_compiled_with_gradient
def _expectation(rows: Tensor, tensors: dict[str, Tensor]) -> Tensor:
    return margin_cross_entropy(rows, tensors["logits"], tensors["margin_logits"])


@serializable
class LSoftmaxLoss(HeadLoss):
    """Cross-entropy of `keras_softmaxes.layers.LSoftmax`, the target at its margin logit.

        -log [ exp(g_t) / ( exp(g_t) + sum_{j != t} exp(f_j) ) ],  t the target

    The margin and its annealing are the head's. The loss may rise while lambda falls.

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
        y_true: (...) or (..., 1) classes, or (..., K) one-hot or soft.
        y_pred: what the head returns: "logits" and "margin_logits".

    Raises:
        ValueError: what `keras_softmaxes.losses.HeadLoss` raises.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> outputs = ks.layers.LSoftmax(3)(keras.ops.ones((2, 5)), training=True)
        >>> loss = ks.losses.LSoftmaxLoss()([0, 2], outputs)

    Reference:
        Liu et al., Large-Margin Softmax Loss for Convolutional Neural Networks, ICML 2016, Eq. 4
        (https://arxiv.org/abs/1612.02295).
    """

    reads = ("logits", "margin_logits")
    default_name = "lsoftmax_loss"

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the cross-entropy of each example, (...)."""
        return _cross_entropy(y_true, y_pred)

    def expectation(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the expected cross-entropy of soft labels, (...)."""
        return _expectation(y_true, y_pred)
