"""The head that draws a fixed number of classes, the sampled softmax."""

from typing import Unpack

import keras

from ..ops._class_masking import sampled_classes
from ..support._arguments import Tensor, check_share, invalid
from ..support._configuration import serializable
from ..support._options import LinearOptions
from ..support._xla import xla_compiled
from ._class_masking import ClassMasking, log_mask_of, uniform_like

_sampled_classes = xla_compiled(sampled_classes)


@serializable
class ClassSampling(ClassMasking):
    """Softmax over a fixed number of classes drawn anew for each example, the target among them.

    Replaces the last `Dense(classes)` of a classifier. In training the softmax runs over n =
    round(fraction * K) classes of each example: the target and n - 1 others, drawn uniformly
    without replacement. This is the DropMax paper's baseline; the sampled softmax of Jean et al.
    draws one set per batch and skips the other logits. This layer computes all logits: its purpose
    is generalisation, not speed. At inference nothing is drawn: the class probabilities are the
    plain softmax. `keras_softmaxes.models.monte_carlo` averages draws of n classes instead.

    The head does not know the label. It draws n - 1 classes, and one in reserve, which
    `keras_softmaxes.losses.MaskedCrossentropy` takes where the target is among the n - 1.

    Args:
        units: the number of classes K, at least 2.
        fraction: the share of the classes that are drawn, in (0, 1], at least two of them. The
            paper searches it in {0.2, 0.4, 0.6}; with 1 this is a plain softmax.
        seed: integer that fixes the draws; None takes it from `keras.utils.set_random_seed`.
        kernel_initializer: initialiser of the kernel.
        bias_initializer: initialiser of the bias.
        kernel_regularizer: regulariser of the kernel.
        bias_regularizer: regulariser of the bias.
        **kwargs: the arguments of every Keras layer.

    Input:
        Features of shape (batch, ..., features).

    Output:
        A dict of (..., K) tensors, float32 or float64: "probabilities", "logits", and in training
        the logarithms of two masks, "log_mask" of n - 1 classes and "reserve_log_mask" of these and
        the one in reserve. At inference "log_mask" is 0.

    Raises:
        ValueError: units that are not an integer of at least 2, a fraction that is not in (0, 1] or
            leaves fewer than two classes, or features of rank 1.

    Example:
        >>> import keras_softmaxes as ks
        >>> network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
        >>> model = ks.models.Classifier(network, ks.layers.ClassSampling(10, fraction=0.6))
        >>> model.compile("adam", metrics=["accuracy"])  # trains by `MaskedCrossentropy`

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, section 5, baseline 3
        (https://arxiv.org/abs/1712.07834); Jean et al., On Using Very Large Target Vocabulary for
        Neural Machine Translation, ACL 2015 (https://arxiv.org/abs/1412.2007).
    """

    def __init__(
        self,
        units: int,
        fraction: float = 0.4,
        seed: int | None = None,
        **kwargs: Unpack[LinearOptions],
    ) -> None:
        super().__init__(units, seed, **kwargs)
        self.fraction = float(check_share("fraction", fraction, above_zero=True))
        self.drawn = round(self.fraction * self.units)
        if self.drawn < 2:
            raise invalid("fraction", f"a share of at least two of {units} classes", repr(fraction))

    def draw_log_masks(
        self, logits: Tensor, generator: keras.random.SeedGenerator
    ) -> dict[str, Tensor]:
        """Draw the classes of the smallest of uniform numbers; see `ClassMasking`."""
        fewer, all_drawn = _sampled_classes(uniform_like(logits, generator), self.drawn)
        log_mask, reserve_log_mask = (log_mask_of(kept, logits) for kept in (fewer, all_drawn))
        return {"log_mask": log_mask, "reserve_log_mask": reserve_log_mask}
