"""The loss of several labels an example."""

from typing import Any

import keras
from keras import ops

from keras_softmaxes.losses.base import EvidenceLoss
from keras_softmaxes.ops.checks import Tensor
from keras_softmaxes.ops.compile import xla_compiled
from keras_softmaxes.ops.labels import multi_hot
from keras_softmaxes.ops.paired import paired_cross_entropy


@xla_compiled
def _paired_cross_entropy(labels: Tensor, evidence: Tensor) -> Tensor:
    return paired_cross_entropy(labels, *ops.unstack(evidence, axis=1))


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class PairedCrossentropy(EvidenceLoss):
    """Cross-entropy of positive and negative evidence for each label an example may have.

        - sum_i [ y_i log sigm(a+_i) + (1 - y_i) log sigm(a-_i) ]

    the sum over the labels, where Keras's binary cross-entropy takes the mean. Use it in a
    `keras_softmaxes.models.Classifier`, which hands it the evidence of
    `keras_softmaxes.layers.PairedGSoftmax`, of whichever form.

    Args:
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type the loss is computed in, None being `keras.config.floatx()`; float32 takes
            the place of half precision.

    Call arguments:
        y_true: y, (batch, labels), of zeros and ones of any type.
        y_pred: the head's evidence, (batch, 2, labels).

    Raises:
        ValueError: `y_pred` that is not the evidence of a PairedGSoftmax head; labels of another
            shape or that are neither 0 nor 1. In a graph, as in `fit`, TensorFlow raises
            InvalidArgumentError for the values of labels; inside XLA or `jax.jit`, where nothing
            can be raised, they give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> outputs = ks.layers.PairedGSoftmax(3)(keras.ops.ones((2, 5)))
        >>> labels = [[1, 0, 1], [0, 0, 0]]
        >>> loss = ks.losses.PairedCrossentropy()(labels, outputs["evidence"])

    Reference:
        Luo et al., G-softmax, IEEE TNNLS 2019, Eq. 15 (https://arxiv.org/abs/1904.04317).
    """

    heads = ("PairedGSoftmax",)
    rows = (2,)

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "paired_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def read(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the labels as zeros and ones of the evidence's type."""
        return multi_hot(y_true, y_pred[:, 0])

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the cross-entropy of each example, (batch,)."""
        return _paired_cross_entropy(y_true, y_pred)
