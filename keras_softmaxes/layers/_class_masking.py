"""What the heads share that drop classes at random."""

from typing import TYPE_CHECKING

import keras
from keras import ops

from ..ops._class_masking import masked_logits
from ..support._arguments import Tensor
from ..support._tensors import at_least_float32
from ._head import StochasticHead
from ._random import draw_uniform

if TYPE_CHECKING:
    from ..losses import MaskedCrossentropy


class ClassMasking(StochasticHead):
    """Base of the heads whose loss sees a random set of classes, and inference all of them."""

    def draw_log_masks(
        self, logits: Tensor, generator: keras.random.SeedGenerator
    ) -> dict[str, Tensor]:
        """Draw what the head returns beside the logits.

        Args:
            logits: (..., K); only their shape and type matter.
            generator: state of the random numbers; it advances by one draw.

        Returns:
            Logarithms of masks, (..., K) each: 0 where a class stays, minus infinity elsewhere.
            The last one is a mask that needs no label.
        """
        raise NotImplementedError

    def call(self, features: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return the class probabilities, and what `MaskedCrossentropy` reads."""
        logits = at_least_float32(self.logits(features))
        if training:
            log_masks = self.draw_log_masks(logits, self.seed_generator)
        else:
            log_masks = {"log_mask": ops.zeros_like(logits)}
        return {"probabilities": ops.softmax(logits, axis=-1), "logits": logits, **log_masks}

    def default_loss(self) -> "MaskedCrossentropy":
        """Return `keras_softmaxes.losses.MaskedCrossentropy`."""
        from ..losses import MaskedCrossentropy  # which stands above the layers

        return MaskedCrossentropy()

    def sample_probabilities(
        self, outputs: dict[str, Tensor], generator: keras.random.SeedGenerator
    ) -> Tensor:
        """Draw a mask and return the class probabilities it leaves.

        Args:
            outputs: what the head returned at inference.
            generator: state of the random numbers; it advances by one draw.

        Returns:
            (..., K).
        """
        logits = outputs["logits"]
        *_, log_mask = self.draw_log_masks(logits, generator).values()
        return ops.softmax(masked_logits(logits, log_mask), axis=-1)


def uniform_like(logits: Tensor, generator: keras.random.SeedGenerator) -> Tensor:
    """Draw from [0, 1) in the shape and type of the logits."""
    dtype = keras.backend.standardize_dtype(logits.dtype)
    return draw_uniform(ops.shape(logits), dtype, generator)


def log_mask_of(kept: Tensor, logits: Tensor) -> Tensor:
    """Return 0 where a class stays and minus infinity elsewhere, in the type of the logits."""
    return ops.where(kept, ops.zeros_like(logits), float("-inf"))
