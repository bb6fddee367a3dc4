"""The loss of the attention head."""

from typing import Any

import keras
from keras import ops

from keras_softmaxes.losses.base import EvidenceLoss
from keras_softmaxes.ops.attention import attention_terms
from keras_softmaxes.ops.checks import Tensor, invalid
from keras_softmaxes.ops.compile import xla_compiled


@xla_compiled
def _objective(labels: Tensor, evidence: Tensor, supervised: bool) -> Tensor:
    terms = attention_terms(labels, *ops.unstack(evidence, axis=1))
    return terms["cross_entropy"] + terms["supervision"] if supervised else terms["cross_entropy"]


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class AttentionCrossentropy(EvidenceLoss):
    """Cross-entropy of `keras_softmaxes.layers.ClassAttention`, its attention supervised or not.

        cross-entropy [ + binary cross-entropy of the attention ]

    with the terms of `keras_softmaxes.ops.attention_terms`. Without supervision this is the DropMax
    paper's Deterministic Attention, with it its Deterministic DropMax. Use it in a
    `keras_softmaxes.models.Classifier`, which hands it the head's evidence.

    Args:
        supervised: whether the attention learns the label, a class at a time.
        reduction: as in every Keras loss. Sample weights act on both terms.
        name: name of the loss.
        dtype: the type the loss is computed in, None being `keras.config.floatx()`; float32 takes
            the place of half precision.

    Call arguments:
        y_true: (batch,) or (batch, 1) integers, or (batch, K) one-hot.
        y_pred: the head's evidence, (batch, 2, K).

    Raises:
        ValueError: `supervised` that is not a boolean; `y_pred` that is not the evidence of a
            ClassAttention head; labels out of range, of another shape, or float labels that are not
            one-hot. In a graph, as in `fit`, TensorFlow raises InvalidArgumentError for the values
            of labels; inside XLA or `jax.jit`, where nothing can be raised, they give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> outputs = ks.layers.ClassAttention(3)(keras.ops.ones((2, 5)))
        >>> loss = ks.losses.AttentionCrossentropy(supervised=True)([0, 2], outputs["evidence"])

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, section 5, baselines 5
        and 6 (https://arxiv.org/abs/1712.07834).
    """

    heads = ("ClassAttention",)
    rows = (2,)

    def __init__(
        self,
        supervised: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "attention_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        if not isinstance(supervised, bool):
            raise invalid("supervised", "True or False", repr(supervised))
        self.supervised = supervised

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the objective of each example, (batch,)."""
        return _objective(y_true, y_pred, self.supervised)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "supervised": self.supervised}
