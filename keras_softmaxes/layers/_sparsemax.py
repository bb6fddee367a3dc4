"""The head of sparsemax."""

from typing import TYPE_CHECKING, Unpack

from ..ops._sparsemax import sparsemax
from ..support._arguments import Tensor, check_positive, invalid
from ..support._configuration import serializable
from ..support._options import LinearOptions
from ..support._tensors import at_least_float32
from ._head import LinearHead

if TYPE_CHECKING:
    from ..losses import SparsemaxLoss

COLDEST = 1e-6  # below, logits of a usual size would not be finite
RIVALS = 9  # non-targets up to which the temperature is the paper's


@serializable
class Sparsemax(LinearHead):
    """Sparsemax: a head whose class probabilities are exactly 0 for many classes.

    Replaces the last `Dense(classes)` of a classifier. From features h it computes

        z = (W h + b) / T      logits
        p = sparsemax(z)       probabilities

    Sparsemax gives a gradient to the few classes near the largest logit alone. The more classes,
    the sooner their logits are further apart than that. With hundreds of them training stays at
    chance: logits that are all equal have less loss than most others. So the temperature T grows
    with the classes from eleven on (docs/results/many_classes). All gradients shrink by T, which
    Adam evens out but for the first steps, where it helps; with SGD take T times the learning rate.

    Args:
        units: the number of classes K, at least 2.
        temperature: T, at least 1e-6. None is max(1, (K - 1) / 9); the paper has 1.
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
        ValueError: units that are not an integer of at least 2, a temperature that is not a finite
            number of at least 1e-6, or features of rank 1.

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
        self, units: int, temperature: float | None = None, **kwargs: Unpack[LinearOptions]
    ) -> None:
        super().__init__(units, **kwargs)
        if temperature is None:
            temperature = max(1.0, (self.units - 1) / RIVALS)
        self.temperature = check_positive("temperature", temperature)
        if self.temperature < COLDEST:
            raise invalid("temperature", f"a number of at least {COLDEST}", repr(temperature))

    def call(self, features: Tensor) -> dict[str, Tensor]:
        """Return the class probabilities, and what `SparsemaxLoss` reads."""
        logits = at_least_float32(self.logits(features)) / self.temperature
        return {"probabilities": sparsemax(logits), "logits": logits}

    def default_loss(self) -> "SparsemaxLoss":
        """Return `keras_softmaxes.losses.SparsemaxLoss`."""
        from ..losses import SparsemaxLoss  # which stands above the layers

        return SparsemaxLoss()
