"""The loss of the heads that drop classes at random."""

from ..ops._class_masking import (
    completed_log_mask,
    expected_masked_cross_entropy,
    masked_cross_entropy_of,
)
from ..support._arguments import Tensor
from ..support._configuration import serializable
from ..support._labels import one_hot
from ..support._xla import xla_compiled_with_gradient
from ._head_loss import HeadLoss


@xla_compiled_with_gradient
def _objective(labels: Tensor, tensors: dict[str, Tensor]) -> Tensor:
    logits, log_mask = tensors["logits"], tensors["log_mask"]
    target = one_hot(labels, logits)
    if "reserve_log_mask" in tensors:
        log_mask = completed_log_mask(target, log_mask, tensors["reserve_log_mask"])
    return masked_cross_entropy_of(target, logits, log_mask)


@xla_compiled_with_gradient
def _expectation(rows: Tensor, tensors: dict[str, Tensor]) -> Tensor:
    return expected_masked_cross_entropy(
        rows, tensors["logits"], tensors["log_mask"], tensors.get("reserve_log_mask")
    )


@serializable
class MaskedCrossentropy(HeadLoss):
    """Cross-entropy of the softmax over the classes that a random mask leaves.

        -log [ exp(o_t) / ( exp(o_t) + sum_{k != t} z_k exp(o_k) ) ],  t the target

    with z_k + 1e-20 for z_k, as in `keras_softmaxes.ops.masked_cross_entropy`. The mask is that of
    `keras_softmaxes.layers.ClassDropout` or of `keras_softmaxes.layers.ClassSampling`; the target
    is never dropped.

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
        y_pred: what the head returns: "logits", "log_mask" and, from ClassSampling,
            "reserve_log_mask".

    Raises:
        ValueError: what `keras_softmaxes.losses.HeadLoss` raises.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> outputs = ks.layers.ClassDropout(3)(keras.ops.ones((2, 5)), training=True)
        >>> loss = ks.losses.MaskedCrossentropy()([0, 2], outputs)

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, Eq. 3
        (https://arxiv.org/abs/1712.07834).
    """

    reads = ("logits", "log_mask")
    may_read = ("reserve_log_mask",)
    default_name = "masked_crossentropy"

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the cross-entropy of each example, (...)."""
        return _objective(y_true, y_pred)

    def expectation(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the expected cross-entropy of soft labels, (...)."""
        return _expectation(y_true, y_pred)
