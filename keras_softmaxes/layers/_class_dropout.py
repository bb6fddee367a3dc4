"""The head that drops each class by itself, random DropMax."""

from typing import Unpack

import keras

from ..support._arguments import Tensor, check_share
from ..support._configuration import serializable
from ..support._options import LinearOptions
from ._class_masking import ClassMasking, log_mask_of, uniform_like


@serializable
class ClassDropout(ClassMasking):
    """Softmax whose non-target classes are dropped at random, the DropMax paper's Random DropMax.

    Replaces the last `Dense(classes)` of a classifier. In training each class of each example is
    kept with the probability `retain`, which does not depend on the features, and
    `keras_softmaxes.losses.MaskedCrossentropy` keeps the target's. At inference nothing is drawn:
    the class probabilities are the plain softmax. `keras_softmaxes.models.monte_carlo` averages
    draws instead.

    Args:
        units: the number of classes K, at least 2.
        retain: the probability with which a class stays, in (0, 1]. The paper searches it in
            {0.2, 0.4, 0.6}; with 1 this is a plain softmax.
        seed: integer that fixes the draws; None takes it from `keras.utils.set_random_seed`.
        kernel_initializer: initialiser of the kernel.
        bias_initializer: initialiser of the bias.
        kernel_regularizer: regulariser of the kernel.
        bias_regularizer: regulariser of the bias.
        **kwargs: the arguments of every Keras layer.

    Input:
        Features of shape (batch, ..., features).

    Output:
        A dict of (..., K) tensors, float32 or float64: "probabilities", "logits", and "log_mask",
        the logarithm of the mask, which is 0 at inference.

    Raises:
        ValueError: units that are not an integer of at least 2, retain that is not in (0, 1], or
            features of rank 1.

    Example:
        >>> import keras_softmaxes as ks
        >>> network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
        >>> model = ks.models.Classifier(network, ks.layers.ClassDropout(10, retain=0.6))
        >>> model.compile("adam", metrics=["accuracy"])  # trains by `MaskedCrossentropy`

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, section 5, baseline 4
        (https://arxiv.org/abs/1712.07834).
    """

    def __init__(
        self,
        units: int,
        retain: float = 0.4,
        seed: int | None = None,
        **kwargs: Unpack[LinearOptions],
    ) -> None:
        super().__init__(units, seed, **kwargs)
        self.retain = float(check_share("retain", retain, above_zero=True))

    def draw_log_masks(
        self, logits: Tensor, generator: keras.random.SeedGenerator
    ) -> dict[str, Tensor]:
        """Draw each class by itself; see `ClassMasking`."""
        kept = uniform_like(logits, generator) < self.retain
        return {"log_mask": log_mask_of(kept, logits)}
