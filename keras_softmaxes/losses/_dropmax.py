"""The loss of the DropMax head."""

from typing import Unpack

from ..ops._dropmax import dropmax_objective_of, expected_dropmax_objective
from ..support._arguments import Tensor, check_not_negative, check_positive
from ..support._configuration import serializable
from ..support._options import LossOptions
from ..support._xla import xla_compiled_with_gradient
from ._head_loss import HeadLoss

NON_TARGETS = 27.0  # chosen on validation images: docs/results/many_classes


@xla_compiled_with_gradient
def _objective(labels: Tensor, tensors: dict[str, Tensor], *weights: float) -> Tensor:
    entropy, non_target = weights
    return dropmax_objective_of(
        labels, **tensors, entropy_weight=entropy, non_target_weight=non_target
    )


@xla_compiled_with_gradient
def _expectation(rows: Tensor, tensors: dict[str, Tensor], *weights: float) -> Tensor:
    entropy, non_target = weights
    return expected_dropmax_objective(
        rows, **tensors, entropy_weight=entropy, non_target_weight=non_target
    )


def check_non_targets(non_targets: float | None) -> float | None:
    """Return the number as how many the non-targets count, or None, for each as one."""
    return None if non_targets is None else float(check_positive("non_targets", non_targets))


def non_target_weight(non_targets: float | None, y_pred: dict[str, Tensor]) -> float:
    """Return the weight under which the non-targets of an example count as so many of them."""
    others = y_pred["logits"].shape[-1] - 1
    return 1.0 if non_targets is None else min(1.0, non_targets / others)


@serializable
class DropMaxLoss(HeadLoss):
    """Variational objective of `keras_softmaxes.layers.DropMax`.

        cross-entropy + KL(posterior || prior) + auxiliary + entropy_weight * negative entropy

    with the terms of `keras_softmaxes.ops.dropmax_terms`. It is usually negative late in training.

    The last three are sums over the classes. From 29 classes on, the parts of the non-targets are
    weighted, so that together they stay as large as with 28: with the paper's plain sum 964 classes
    of 16 images each stay at chance (docs/results/many_classes).

    Args:
        entropy_weight: weight of the negative entropy of the retain probabilities. 1 in DropMax;
            gamma, searched in {1, 0.1, 0.01}, in the paper's q = p variant.
        non_targets: the number of classes that the non-targets of an example count as in the last
            three terms, above 0. With K classes each non-target has the weight min(1, non_targets /
            (K - 1)). None is the paper's sum, in which each has the weight 1.
        ignore_class: a class, in range or not (-1, 255), whose examples do not count; see
            `keras_softmaxes.losses.HeadLoss`.
        reduction: as in every Keras loss. Sample weights act on the whole objective.
        name: name of the loss.
        dtype: the type of the computation; None is `keras.config.floatx()`. Half precision is
            computed in float32.
        class_weight: a number for each class; see `keras_softmaxes.losses.HeadLoss`.
        logit_adjustment: likewise.

    Call arguments:
        y_true: (...) or (..., 1) classes, or (..., K) one-hot or soft.
        y_pred: what the head returns: "logits", "retain_logits", "log_mask" and, but for
            posterior="prior", "posterior_shift".

    Raises:
        ValueError: an entropy_weight below 0, non_targets not above 0; what
            `keras_softmaxes.losses.HeadLoss` raises.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> outputs = ks.layers.DropMax(3)(keras.ops.ones((2, 5)), training=True)
        >>> loss = ks.losses.DropMaxLoss()([0, 2], outputs)

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, Eqs. 8-13
        (https://arxiv.org/abs/1712.07834).
    """

    reads = ("logits", "retain_logits", "log_mask")
    may_read = ("posterior_shift",)
    default_name = "dropmax_loss"

    def __init__(
        self,
        entropy_weight: float = 1.0,
        non_targets: float | None = NON_TARGETS,
        **kwargs: Unpack[LossOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.entropy_weight = float(check_not_negative("entropy_weight", entropy_weight))
        self.non_targets = check_non_targets(non_targets)

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the objective of each example, (...)."""
        return _objective(y_true, y_pred, *self._weights(y_pred))

    def expectation(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the expected objective of soft labels, (...)."""
        return _expectation(y_true, y_pred, *self._weights(y_pred))

    def _weights(self, y_pred: dict[str, Tensor]) -> tuple[float, float]:
        return self.entropy_weight, non_target_weight(self.non_targets, y_pred)
