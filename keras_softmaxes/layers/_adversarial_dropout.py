"""The cut of adversarial dropout."""

from typing import Unpack

import keras
from keras import ops

from ..ops._adversarial_dropout import adversarial_mask, most_flips
from ..support._arguments import Tensor, check_seed, check_share, invalid, static_shape
from ..support._configuration import serializable
from ..support._options import LayerOptions
from ..support._tensors import at_least_float32
from ._random import Seeded, draw_uniform


@serializable
class AdversarialDropout(Seeded):
    """Dropout, whose mask a model with the mixin also chooses adversarially.

    In an ordinary model this is ordinary dropout: in training a unit stays with the probability
    1 - rate, and what stays is divided by that; at inference nothing happens. In a model with
    `keras_softmaxes.models.AdversarialDropoutMixin` it also marks where the network is cut: what is
    below it is computed once a step, and what is above it for each mask.

    A unit is an entry of the last axis: a feature of vectors, and of feature maps (images,
    sequences) a whole channel, which stays or goes at all positions, as in
    `keras.layers.SpatialDropout2D`.

    Args:
        rate: the probability with which a unit is dropped at random, in [0, 1). The paper's is 0.5.
            With 0 the random mask is all ones, which virtual adversarial dropout cannot start from.
        budget: the share of the units by which an adversarial mask may differ from the random one,
            in [0, 1]; see `keras_softmaxes.ops.adversarial_mask`. The paper's is 0.05; its released
            code has 0.005 for MNIST, 10 of 2,048 units, where 0.05 does harm. Begin with about ten
            units. A budget of less than one unit raises when a mask is computed.
        seed: integer that fixes the draws; None takes it from `keras.utils.set_random_seed`.
        **kwargs: the arguments of every Keras layer.

    Input:
        Features of shape (batch, ..., units), the number of units known.

    Output:
        The masked features, of the same shape and type.

    Raises:
        ValueError: a rate outside [0, 1), a budget outside [0, 1], features without a known last
            axis.

    Example:
        >>> import keras_softmaxes as ks
        >>> layer = ks.layers.AdversarialDropout(rate=0.5, budget=0.05)
        >>> float(keras.ops.max(layer(keras.ops.ones((8, 64)), training=True)))
        2.0

    Reference:
        Park et al., Adversarial Dropout for Supervised and Semi-supervised Learning, AAAI 2018
        (https://arxiv.org/abs/1707.03631).
    """

    def __init__(
        self,
        rate: float = 0.5,
        budget: float = 0.05,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.rate: float = check_share("rate", rate, below_one=True)
        self.budget: float = check_share("budget", budget)
        self.seed: int | None = check_seed(seed)
        self.seed_generator: keras.random.SeedGenerator = keras.random.SeedGenerator(self.seed)
        self.supports_masking: bool = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check the shape of the features."""
        if len(input_shape) < 2 or input_shape[-1] is None:
            expected = "shape (batch, ..., units) with a known number of units"
            raise invalid("features", expected, f"a tensor of shape {tuple(input_shape)}")
        self.input_spec = keras.layers.InputSpec(min_ndim=2)  # of later calls too

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the features."""
        return input_shape

    def call(self, features: Tensor, training: bool = False, kept: Tensor = None) -> Tensor:
        """Return the features under the mask `kept`, or in training under one drawn at random."""
        if kept is None and training and self.rate:
            kept = self.draw_mask(features)
        return features if kept is None else self.masked(features, kept)

    def draw_mask(self, features: Tensor) -> Tensor:
        """Draw masks at random.

        Args:
            features: (batch, ..., units); only their shape and type matter.

        Returns:
            Zeros and ones, (batch, units), of the features' type.
        """
        uniform = draw_uniform(
            (ops.shape(features)[0], features.shape[-1]), "float32", self.seed_generator
        )
        return ops.cast(uniform >= self.rate, features.dtype)

    def masked(self, features: Tensor, mask: Tensor) -> Tensor:
        """Return the features that a mask leaves, divided by the share that stays at random.

        Args:
            features: (batch, ..., units).
            mask: zeros and ones, (batch, units).

        Returns:
            The masked features, of the shape and type of `features`.
        """
        positions = (1,) * (len(static_shape("features", features)) - 2)
        mask = ops.reshape(mask, (-1, *positions, features.shape[-1]))
        return features * (mask / (1 - self.rate))

    def adversarial_mask(self, mask: Tensor, features: Tensor, gradient: Tensor) -> Tensor:
        """Flip the entries of a mask that raise a divergence D the most, within the budget.

        Args:
            mask: zeros and ones, (batch, units).
            features: h, (batch, ..., units).
            gradient: dD/dh where nothing is masked, of the same shape. J = h * dD/dh is summed over
                the positions that a unit has.

        Returns:
            Zeros and ones, (batch, units), of the type of `mask`.

        Raises:
            ValueError: a budget above 0 that is less than one unit.
        """
        units = features.shape[-1]
        if self.budget > 0 and most_flips(self.budget, units) == 0:
            expected = f"at least one of the {units} units, {1 / units:.2g} of them, or 0"
            raise invalid("budget", expected, self.budget)
        jacobian = at_least_float32(features) * at_least_float32(gradient)
        positions = tuple(range(1, len(jacobian.shape) - 1))
        return adversarial_mask(mask, ops.sum(jacobian, axis=positions), self.budget)
