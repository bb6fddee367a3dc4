"""The heads that drop classes at random: random DropMax and sampled softmax."""

from typing import Any

import keras
from keras import ops

from keras_softmaxes.layers.head import StochasticHead
from keras_softmaxes.layers.noise import draw_uniform
from keras_softmaxes.ops.checks import Tensor, check_share, invalid
from keras_softmaxes.ops.compile import xla_compiled
from keras_softmaxes.ops.masked import masked_logits, sampled_classes
from keras_softmaxes.ops.precision import at_least_float32

_sampled_classes = xla_compiled(sampled_classes)


class ClassMasking(StochasticHead):
    """Base of the heads whose loss sees a random set of classes, and inference all of them.

    Attributes:
        masks: how many rows of evidence follow the logits.
    """

    masks: int

    def draw_log_masks(self, logits: Tensor, generator: keras.random.SeedGenerator) -> list[Tensor]:
        """Draw the rows of evidence that follow the logits.

        Args:
            logits: (batch, K), of which shape and type alone matter.
            generator: state of the random numbers; it advances by one draw.

        Returns:
            Logarithms of masks, (batch, K) each: 0 where a class stays, minus infinity elsewhere.
            The last one is a mask that needs no label.
        """
        raise NotImplementedError

    def call(self, features: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return the class probabilities and the evidence for `MaskedCrossentropy`."""
        logits = at_least_float32(self.logits(features))
        if training:
            log_masks = self.draw_log_masks(logits, self.seed_generator)
        else:
            log_masks = self.masks * [ops.zeros_like(logits)]
        return {
            "probabilities": ops.softmax(logits, axis=-1),
            "evidence": ops.stack([logits, *log_masks], axis=1),
        }

    def sample_probabilities(
        self, evidence: Tensor, generator: keras.random.SeedGenerator
    ) -> Tensor:
        """Draw a mask and return the class probabilities it leaves.

        Args:
            evidence: what the layer returned at inference, (batch, rows, K).
            generator: state of the random numbers; it advances by one draw.

        Returns:
            (batch, K).
        """
        logits, *_ = ops.unstack(evidence, axis=1)
        *_, log_mask = self.draw_log_masks(logits, generator)
        return ops.softmax(masked_logits(logits, log_mask), axis=-1)


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class ClassDropout(ClassMasking):
    """Softmax whose non-target classes are dropped at random, the DropMax paper's Random DropMax.

    Replaces the last `Dense(classes)` of a classifier. In training each class of each example stays
    with the probability `retain`, whatever the features, and
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
        Features of shape (batch, features).

    Output:
        A dict: "probabilities", (batch, K), and "evidence", (batch, 2, K): the logits and the
        logarithm of the mask. Both are float32 or float64.

    Raises:
        ValueError: units that are not an integer of at least 2, retain that is not in (0, 1], or
            features that are not of rank 2.

    Example:
        >>> import keras_softmaxes as ks
        >>> inputs = keras.Input((64,))
        >>> model = ks.models.Classifier(inputs, ks.layers.ClassDropout(10, retain=0.6)(inputs))
        >>> model.compile("adam", loss=ks.losses.MaskedCrossentropy(), metrics=["accuracy"])

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, section 5, baseline 4
        (https://arxiv.org/abs/1712.07834).
    """

    masks = 1

    def __init__(
        self,
        units: int,
        retain: float = 0.4,
        seed: int | None = None,
        *,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            seed,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            **kwargs,
        )
        check_share("retain", retain, above_zero=True)
        self.retain = float(retain)

    def draw_log_masks(self, logits: Tensor, generator: keras.random.SeedGenerator) -> list[Tensor]:
        """Draw each class by itself; see `ClassMasking`."""
        return [_log_mask(_uniform(logits, generator) < self.retain, logits)]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "retain": self.retain}


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class ClassSampling(ClassMasking):
    """Softmax over a fixed number of classes drawn anew for each example, the target among them.

    Replaces the last `Dense(classes)` of a classifier. In training the softmax runs over
    n = round(fraction * K) classes of each example: the target and n - 1 others, drawn uniformly
    without replacement. This is the DropMax paper's baseline; the sampled softmax of Jean et al.
    draws one set for a batch and spares the computation of the others, which this does not: it is
    there for what it does to generalisation. At inference nothing is drawn: the class probabilities
    are the plain softmax. `keras_softmaxes.models.monte_carlo` averages draws of n classes instead.

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
        Features of shape (batch, features).

    Output:
        A dict: "probabilities", (batch, K), and "evidence", (batch, 3, K): the logits, and the
        logarithms of the masks of n - 1 and of n classes. Both are float32 or float64.

    Raises:
        ValueError: units that are not an integer of at least 2, a fraction that is not in (0, 1] or
            leaves fewer than two classes, or features that are not of rank 2.

    Example:
        >>> import keras_softmaxes as ks
        >>> inputs = keras.Input((64,))
        >>> model = ks.models.Classifier(inputs, ks.layers.ClassSampling(10, fraction=0.6)(inputs))
        >>> model.compile("adam", loss=ks.losses.MaskedCrossentropy(), metrics=["accuracy"])

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, section 5, baseline 3
        (https://arxiv.org/abs/1712.07834); Jean et al., On Using Very Large Target Vocabulary for
        Neural Machine Translation, ACL 2015 (https://arxiv.org/abs/1412.2007).
    """

    masks = 2

    def __init__(
        self,
        units: int,
        fraction: float = 0.4,
        seed: int | None = None,
        *,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            seed,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            **kwargs,
        )
        check_share("fraction", fraction, above_zero=True)
        self.fraction = float(fraction)
        self.drawn = round(self.fraction * self.units)
        if self.drawn < 2:
            raise invalid("fraction", f"a share of at least two of {units} classes", repr(fraction))

    def draw_log_masks(self, logits: Tensor, generator: keras.random.SeedGenerator) -> list[Tensor]:
        """Draw the classes of the smallest of uniform numbers; see `ClassMasking`."""
        drawn = _sampled_classes(_uniform(logits, generator), self.drawn)
        return [_log_mask(kept, logits) for kept in drawn]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "fraction": self.fraction}


def _uniform(logits: Tensor, generator: keras.random.SeedGenerator) -> Tensor:
    dtype = keras.backend.standardize_dtype(logits.dtype)
    return draw_uniform(ops.shape(logits), dtype, generator)


def _log_mask(kept: Tensor, logits: Tensor) -> Tensor:
    return ops.where(kept, ops.zeros_like(logits), float("-inf"))
