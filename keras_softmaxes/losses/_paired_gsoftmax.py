"""The loss for several labels per example."""

from ..ops._likelihood import labels_negative_log_likelihood
from ..ops._paired_gsoftmax import paired_cross_entropy_of
from ..support._arguments import Tensor
from ..support._configuration import serializable
from ..support._labels import Labels, multi_hot_or_missing
from ..support._options import DType, Reduction
from ..support._xla import xla_compiled
from ._head_loss import HeadLoss

_cross_entropy = xla_compiled(paired_cross_entropy_of)


@serializable
class PairedCrossentropy(HeadLoss):
    """Cross-entropy of the evidence for and against each label.

        - sum_i [ y_i log sigm(a+_i) + (1 - y_i) log sigm(a-_i) ]

    the sum over the labels, where Keras's binary cross-entropy takes the mean. It reads
    the pair of `keras_softmaxes.layers.PairedGSoftmax`, of whichever form.

    Args:
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type of the computation; None is `keras.config.floatx()`. Half precision is
            computed in float32.

    Call arguments:
        y_true: y, (..., labels), of zeros and ones of any type. NaN marks an unknown label, which
            adds nothing.
        y_pred: what the head returns: "presence_logits" and "absence_logits".

    Raises:
        ValueError: labels of another shape or that are neither 0 nor 1, and what
            `keras_softmaxes.losses.HeadLoss` raises.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> outputs = ks.layers.PairedGSoftmax(3)(keras.ops.ones((2, 5)))
        >>> labels = [[1, 0, 1], [0, 0, 0]]
        >>> loss = ks.losses.PairedCrossentropy()(labels, outputs)

    Reference:
        Luo et al., G-softmax, IEEE TNNLS 2019, Eq. 15 (https://arxiv.org/abs/1904.04317).
    """

    reads = ("presence_logits", "absence_logits")

    def __init__(
        self,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = "paired_crossentropy",
        dtype: DType = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def read(self, y_true: Tensor, y_pred: Tensor) -> Labels:
        """Return the labels as zeros and ones of the head's type, -1 for those that are missing."""
        return Labels(multi_hot_or_missing(y_true, y_pred), None)

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the cross-entropy of each example, (...)."""
        return _cross_entropy(y_true, y_pred["presence_logits"], y_pred["absence_logits"])

    def negative_log_likelihood(self, y_true: Tensor, probabilities: Tensor) -> Tensor:
        """Return the negative log-likelihood of each example, the sum over its labels."""
        return labels_negative_log_likelihood(y_true, probabilities)
