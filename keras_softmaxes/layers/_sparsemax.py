"""The head of sparsemax."""

from typing import TYPE_CHECKING, Unpack

from ..ops._sparsemax import sparsemax
from ..support._arguments import Tensor, check_positive
from ..support._configuration import serializable
from ..support._options import LinearOptions
from ..support._tensors import at_least_float32
from ._head import LinearHead

if TYPE_CHECKING:
    from ..losses import SparsemaxLoss

RIVALS = 9  # non-targets up to which the logits are those of the paper: docs/results/many_classes


@serializable
class Sparsemax(LinearHead):
    """Sparsemax, of whose class probabilities many are exactly 0.

    Replaces the last `Dense(classes)` of a classifier. From features h it computes

        z = scale * (W h + b)      logits
        p = sparsemax(z)

    Sparsemax gives a gradient to the few classes near the largest logit alone. The more classes,
    the sooner their logits are further apart than that: with hundreds of them it stays at chance,
    because logits that are all equal have less loss than most others. So the logits grow more
    slowly with more than ten classes: at 964 characters of 16 drawings each that is the difference
    between 99.9 % test error and 16.9 %, where softmax has 21.7 (docs/results/many_classes).

    Args:
        units: the number of classes K, at least 2.
        scale: what the logits are multiplied by, above 0. None is min(1, 9 / (K - 1)); the paper
            has 1.
        kernel_initializer: initialiser of the kernel.
        bias_initializer: initialiser of the bias.
        kernel_regularizer: regulariser of the kernel.
        bias_regularizer: regulariser of the bias.
        **kwargs: the arguments of every Keras layer.

    Input:
        Features of shape (batch, ..., features).

    Output:
        A dict of (..., K) tensors, float32 or float64: "probabilities" p and "logits" z.

    Raises:
        ValueError: units that are not an integer of at least 2, a scale that is not above 0, or
            features of rank 1.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
        >>> model = ks.models.Classifier(network, ks.layers.Sparsemax(100))
        >>> model.compile("adam", metrics=["accuracy"])  # trains by `SparsemaxLoss`

    Reference:
        Martins & Astudillo, From Softmax to Sparsemax: A Sparse Model of Attention and Multi-Label
        Classification, ICML 2016 (https://arxiv.org/abs/1602.02068).
    """

    def __init__(
        self, units: int, scale: float | None = None, **kwargs: Unpack[LinearOptions]
    ) -> None:
        super().__init__(units, **kwargs)
        self.scale = None if scale is None else float(check_positive("scale", scale))

    def call(self, features: Tensor) -> dict[str, Tensor]:
        """Return the class probabilities, and what `SparsemaxLoss` reads."""
        scale = min(1.0, RIVALS / (self.units - 1)) if self.scale is None else self.scale
        logits = scale * at_least_float32(self.logits(features))
        return {"probabilities": sparsemax(logits), "logits": logits}

    def default_loss(self) -> "SparsemaxLoss":
        """Return `keras_softmaxes.losses.SparsemaxLoss`."""
        from ..losses import SparsemaxLoss  # which stands above the layers

        return SparsemaxLoss()
