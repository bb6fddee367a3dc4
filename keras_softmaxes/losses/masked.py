"""The loss of the heads that drop classes at random."""

from typing import Any

import keras
from keras import ops

from keras_softmaxes.losses.base import EvidenceLoss
from keras_softmaxes.ops.checks import Tensor
from keras_softmaxes.ops.compile import xla_compiled
from keras_softmaxes.ops.masked import completed_log_mask, masked_cross_entropy


@xla_compiled
def _objective(labels: Tensor, evidence: Tensor) -> Tensor:
    logits, log_mask, *with_reserve = ops.unstack(evidence, axis=1)
    if with_reserve:
        log_mask = completed_log_mask(labels, log_mask, *with_reserve)
    return masked_cross_entropy(labels, logits, log_mask)


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class MaskedCrossentropy(EvidenceLoss):
    """Cross-entropy of the softmax over the classes that a random mask leaves.

        -log [ exp(o_t) / ( exp(o_t) + sum_{k != t} z_k exp(o_k) ) ],  t the target

    with z_k + 1e-20 for z_k, as in `keras_softmaxes.ops.masked_cross_entropy`. The mask is that of
    `keras_softmaxes.layers.ClassDropout` or of `keras_softmaxes.layers.ClassSampling`; the target
    is never dropped. Use it in a `keras_softmaxes.models.Classifier`, which hands it the head's
    evidence.

    Args:
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type the loss is computed in, None being `keras.config.floatx()`; float32 takes
            the place of half precision.

    Call arguments:
        y_true: (batch,) or (batch, 1) integers, or (batch, K) one-hot.
        y_pred: the head's evidence, (batch, 2, K) or, for ClassSampling, (batch, 3, K).

    Raises:
        ValueError: `y_pred` that is not the evidence of such a head; labels out of range, of
            another shape, or float labels that are not one-hot. In a graph, as in `fit`, TensorFlow
            raises InvalidArgumentError for the values of labels; inside XLA or `jax.jit`, where
            nothing can be raised, they give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> outputs = ks.layers.ClassDropout(3)(keras.ops.ones((2, 5)), training=True)
        >>> loss = ks.losses.MaskedCrossentropy()([0, 2], outputs["evidence"])

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, Eq. 3
        (https://arxiv.org/abs/1712.07834).
    """

    heads = ("ClassDropout", "ClassSampling")
    rows = (2, 3)

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "masked_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the cross-entropy of each example, (batch,)."""
        return _objective(y_true, y_pred)
