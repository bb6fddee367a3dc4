"""The loss of the attention head."""

from typing import Unpack

from ..ops._class_attention import attention_terms, expected_attention_terms
from ..support._arguments import Tensor, check_boolean
from ..support._configuration import serializable
from ..support._options import LossOptions
from ..support._xla import xla_compiled_with_gradient
from ._dropmax import NON_TARGETS, check_non_targets, non_target_weight
from ._head_loss import HeadLoss


@xla_compiled_with_gradient
def _objective(
    labels: Tensor, tensors: dict[str, Tensor], supervised: bool, non_target_weight: float
) -> Tensor:
    terms = attention_terms(labels, **tensors, non_target_weight=non_target_weight)
    return _sum(terms, supervised)


@xla_compiled_with_gradient
def _expectation(
    rows: Tensor, tensors: dict[str, Tensor], supervised: bool, non_target_weight: float
) -> Tensor:
    terms = expected_attention_terms(rows, **tensors, non_target_weight=non_target_weight)
    return _sum(terms, supervised)


def _sum(terms: dict[str, Tensor], supervised: bool) -> Tensor:
    return terms["cross_entropy"] + terms["supervision"] if supervised else terms["cross_entropy"]


@serializable
class AttentionCrossentropy(HeadLoss):
    """Cross-entropy of `keras_softmaxes.layers.ClassAttention`, its attention supervised or not.

        cross-entropy [ + binary cross-entropy of the attention ]

    with the terms of `keras_softmaxes.ops.attention_terms`. Without supervision this is the DropMax
    paper's Deterministic Attention, with it its Deterministic DropMax.

    The supervision is a sum over the classes, whose non-targets are weighted from 29 classes on, as
    `keras_softmaxes.losses.DropMaxLoss` weighs its own.

    Args:
        supervised: whether the attention learns the label, a class at a time.
        non_targets: the number of classes that the non-targets of an example count as in the
            supervision, above 0; see `keras_softmaxes.losses.DropMaxLoss`. None is the plain sum.
        ignore_class: a class, in range or not (-1, 255), whose examples do not count; see
            `keras_softmaxes.losses.HeadLoss`.
        reduction: as in every Keras loss. Sample weights act on both terms.
        name: name of the loss.
        dtype: the type of the computation; None is `keras.config.floatx()`. Half precision is
            computed in float32.
        class_weight: a number for each class; see `keras_softmaxes.losses.HeadLoss`.
        logit_adjustment: likewise.

    Call arguments:
        y_true: (...) or (..., 1) classes, or (..., K) one-hot or soft.
        y_pred: what the head returns: "logits" and "attention_logits".

    Raises:
        ValueError: `supervised` that is not a boolean; non_targets not above 0; what
            `keras_softmaxes.losses.HeadLoss` raises.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> outputs = ks.layers.ClassAttention(3)(keras.ops.ones((2, 5)))
        >>> loss = ks.losses.AttentionCrossentropy(supervised=True)([0, 2], outputs)

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, section 5, baselines 5
        and 6 (https://arxiv.org/abs/1712.07834).
    """

    reads = ("logits", "attention_logits")
    default_name = "attention_crossentropy"

    def __init__(
        self,
        supervised: bool = False,
        non_targets: float | None = NON_TARGETS,
        **kwargs: Unpack[LossOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.supervised = check_boolean("supervised", supervised)
        self.non_targets = check_non_targets(non_targets)

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the objective of each example, (...)."""
        weight = non_target_weight(self.non_targets, y_pred)
        return _objective(y_true, y_pred, self.supervised, weight)

    def expectation(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the expected objective of soft labels, (...)."""
        weight = non_target_weight(self.non_targets, y_pred)
        return _expectation(y_true, y_pred, self.supervised, weight)
