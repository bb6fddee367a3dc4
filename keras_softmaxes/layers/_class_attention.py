"""The head of deterministic attention to classes."""

from typing import TYPE_CHECKING, Unpack

import keras
from keras import ops

from ..ops._dropmax import dropmax_log_probabilities
from ..support._arguments import Tensor
from ..support._configuration import serializable
from ..support._options import Initializer, LinearOptions
from ..support._tensors import at_least_float32
from ._head import LinearHead

if TYPE_CHECKING:
    from ..losses import AttentionCrossentropy


@serializable
class ClassAttention(LinearHead):
    """Softmax whose classes are weighted by attention, the DropMax paper's Deterministic Attention.

    Replaces the last `Dense(classes)` of a classifier. From features h it computes

        o = W h + b          logits
        a = W' h + b'        logits of the attention to each class
        p = softmax(o + log sigm(a))

    in training as at inference: DropMax without its mask. With
    `keras_softmaxes.losses.AttentionCrossentropy(supervised=True)`, which teaches the attention the
    label, it is the paper's Deterministic DropMax.

    Regularisers act on the logits' branch alone, as in `keras_softmaxes.layers.DropMax`.

    Args:
        units: the number of classes K, at least 2.
        branch_initializer: initialiser of the kernel of a.
        kernel_initializer: initialiser of the logits' kernel.
        bias_initializer: initialiser of the biases of both.
        kernel_regularizer: regulariser of the logits' kernel.
        bias_regularizer: regulariser of the logits' bias.
        **kwargs: the arguments of every Keras layer.

    Input:
        Features of shape (batch, ..., features).

    Output:
        A dict of (..., K) tensors, float32 or float64: "probabilities", "logits" o and
        "attention_logits" a.

    Raises:
        ValueError: units that are not an integer of at least 2, or features of rank 1.

    Example:
        >>> import keras_softmaxes as ks
        >>> network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
        >>> model = ks.models.Classifier(network, ks.layers.ClassAttention(10))
        >>> model.compile("adam", metrics=["accuracy"])  # trains by `AttentionCrossentropy`

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, section 5, baselines 5
        and 6 (https://arxiv.org/abs/1712.07834).
    """

    def __init__(
        self,
        units: int,
        *,
        branch_initializer: Initializer = "glorot_uniform",
        **kwargs: Unpack[LinearOptions],
    ) -> None:
        super().__init__(units, **kwargs)
        self.branch_initializer = keras.initializers.get(branch_initializer)
        self.attention = self.branch("attention", self.branch_initializer)

    def call(self, features: Tensor) -> dict[str, Tensor]:
        """Return the class probabilities, and what `AttentionCrossentropy` reads."""
        logits = at_least_float32(self.logits(features))
        attention_logits = at_least_float32(self.attention(features))
        return {
            "probabilities": ops.exp(dropmax_log_probabilities(logits, attention_logits)),
            "logits": logits,
            "attention_logits": attention_logits,
        }

    def default_loss(self) -> "AttentionCrossentropy":
        """Return `keras_softmaxes.losses.AttentionCrossentropy`."""
        from ..losses import AttentionCrossentropy  # which stands above the layers

        return AttentionCrossentropy()
