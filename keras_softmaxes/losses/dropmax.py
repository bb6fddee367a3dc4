"""The loss of the DropMax head."""

from typing import Any

import keras

from keras_softmaxes.losses.base import EvidenceLoss
from keras_softmaxes.ops.checks import Tensor, check_not_negative
from keras_softmaxes.ops.compile import xla_compiled
from keras_softmaxes.ops.dropmax import dropmax_terms, unstack_evidence


@xla_compiled
def _objective(labels: Tensor, evidence: Tensor, entropy_weight: float) -> Tensor:
    terms = dropmax_terms(labels, *unstack_evidence(evidence))
    fitted = terms["cross_entropy"] + terms["kl"] + terms["auxiliary"]
    return fitted + entropy_weight * terms["negative_entropy"]


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class DropMaxLoss(EvidenceLoss):
    """Variational objective of `keras_softmaxes.layers.DropMax`.

        cross-entropy + KL(posterior || prior) + auxiliary + entropy_weight * negative entropy

    with the terms of `keras_softmaxes.ops.dropmax_terms`. It is usually negative late in training.
    Use it in a `keras_softmaxes.models.Classifier`, which hands it the head's evidence.

    Args:
        entropy_weight: weight of the negative entropy of the retain probabilities. 1 in DropMax;
            gamma, searched in {1, 0.1, 0.01}, in the paper's q = p variant.
        reduction: as in every Keras loss. Sample weights act on the whole objective.
        name: name of the loss.
        dtype: the type the loss is computed in, None being `keras.config.floatx()`; float32 takes
            the place of half precision.

    Call arguments:
        y_true: (batch,) or (batch, 1) integers, or (batch, K) one-hot.
        y_pred: the head's evidence, (batch, 4, K), or (batch, 3, K) for posterior="prior".

    Raises:
        ValueError: an entropy_weight below 0; `y_pred` that is not the evidence of a DropMax head;
            labels out of range, of another shape, or float labels that are not one-hot. In a graph,
            as in `fit`, TensorFlow raises InvalidArgumentError for the values of labels; inside XLA
            or `jax.jit`, where nothing can be raised, they give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> outputs = ks.layers.DropMax(3)(keras.ops.ones((2, 5)), training=True)
        >>> loss = ks.losses.DropMaxLoss()([0, 2], outputs["evidence"])

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, Eqs. 8-13
        (https://arxiv.org/abs/1712.07834).
    """

    heads = ("DropMax",)
    rows = (3, 4)

    def __init__(
        self,
        entropy_weight: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "dropmax_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        check_not_negative("entropy_weight", entropy_weight)
        self.entropy_weight = float(entropy_weight)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the objective of each example, (batch,)."""
        return _objective(y_true, y_pred, self.entropy_weight)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "entropy_weight": self.entropy_weight}
