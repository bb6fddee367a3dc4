"""The loss of the L-Softmax head."""

from typing import Any

import keras
from keras import ops

from keras_softmaxes.losses.base import EvidenceLoss
from keras_softmaxes.ops.checks import Tensor
from keras_softmaxes.ops.compile import xla_compiled
from keras_softmaxes.ops.lsoftmax import lsoftmax_cross_entropy


@xla_compiled
def _objective(labels: Tensor, evidence: Tensor) -> Tensor:
    return lsoftmax_cross_entropy(labels, *ops.unstack(evidence, axis=1))


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class LSoftmaxLoss(EvidenceLoss):
    """Cross-entropy of `keras_softmaxes.layers.LSoftmax`, the target at its margin logit.

        -log [ exp(g_t) / ( exp(g_t) + sum_{j != t} exp(f_j) ) ],  t the target

    Use it in a `keras_softmaxes.models.Classifier`, which hands it the head's evidence. The margin
    and its annealing are the head's. While lambda falls, the loss may rise.

    Args:
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type the loss is computed in, None being `keras.config.floatx()`; float32 takes
            the place of half precision.

    Call arguments:
        y_true: (batch,) or (batch, 1) integers, or (batch, K) one-hot.
        y_pred: the head's evidence, (batch, 2, K).

    Raises:
        ValueError: `y_pred` that is not the evidence of an LSoftmax head; labels out of range, of
            another shape, or float labels that are not one-hot. In a graph, as in `fit`, TensorFlow
            raises InvalidArgumentError for the values of labels; inside XLA or `jax.jit`, where
            nothing can be raised, they give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> outputs = ks.layers.LSoftmax(3)(keras.ops.ones((2, 5)), training=True)
        >>> loss = ks.losses.LSoftmaxLoss()([0, 2], outputs["evidence"])

    Reference:
        Liu et al., Large-Margin Softmax Loss for Convolutional Neural Networks, ICML 2016, Eq. 4
        (https://arxiv.org/abs/1612.02295).
    """

    heads = ("LSoftmax",)
    rows = (2,)

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "lsoftmax_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the cross-entropy of each example, (batch,)."""
        return _objective(y_true, y_pred)
