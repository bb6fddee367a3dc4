"""The passes of one training step, as the perturbations see it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from ..layers import AdversarialDropout
from ..layers._random import draw_normal
from ..support._arguments import Tensor, invalid
from ..support._replicas import penalties, replica_count
from ..support._tensors import Computed
from ._predictions import log_probabilities, predictions


@dataclass(frozen=True)
class Parts:
    """A model in two.

    Attributes:
        cut: the layer where it is cut, or None where `above` is the whole model.
        below: what is below it, from the inputs to the features.
        above: what is above it, from the features to the outputs.
    """

    cut: AdversarialDropout | None
    below: Callable[..., Any]
    above: Callable[..., Any]

    def draw_mask(self, features: Any) -> Tensor | None:
        """Draw a mask of the units at random, (batch, units); None where there is no cut."""
        return self.cut.draw_mask(features) if self.cut else None

    def outputs(self, features: Any, mask: Tensor | None) -> Any:
        """Return the outputs in training of the features that a mask leaves."""
        if self.cut and mask is not None:
            features = self.cut(features, kept=mask)
        return self.above(features, training=True)


@dataclass(frozen=True)
class Step:
    """A training step after its clean pass, which the model's own loss sees.

    The features below the cut are computed once; a pass under another mask repeats what is above it
    alone. In a model without a cut the features are the inputs. Further passes leave no trace:
    statistics, counters and seeds move once a step, and what a layer adds by `add_loss` counts
    once. Unless said otherwise they see the noise of the clean pass, so that they differ from it by
    the perturbation alone.

    Attributes:
        model: the model that is trained.
        parts: where it is cut, and what is below and above.
        inputs: of the model.
        index: which example each row is, (batch,), or None where the data do not say.
        labels: as the data give them.
        sample_weight: likewise, or None.
        features: of the clean pass, below the cut.
        mask: the random mask of the clean pass, (batch, units), or None where there is no cut.
        outputs: of the clean pass.
        state: what the model's other variables held before the clean pass.
        tape: recorded the clean pass from the inputs, where a perturbation asked for it.
        generator: the random numbers of the perturbations.
    """

    model: Any
    parts: Parts
    inputs: Any
    index: Tensor | None
    labels: Any
    sample_weight: Any
    features: Any
    mask: Tensor | None
    outputs: Any
    state: list[tuple[keras.Variable, Tensor]]
    tape: Any
    generator: keras.random.SeedGenerator

    @property
    def iteration(self) -> Tensor:
        """The optimizer's step."""
        return self.model.optimizer.iterations

    def predictions(self, outputs: Any) -> Tensor:
        """Return the predictions of outputs: probabilities, if the loss is one of classes."""
        return predictions(outputs, self.model.loss)

    def log_probabilities(self, outputs: Any) -> Tensor:
        """Return the logarithms of the class probabilities, (batch, ..., classes)."""
        return log_probabilities(outputs, self.model.loss)

    def outputs_under(self, mask: Tensor | None) -> Any:
        """Return the outputs under another mask, (batch, units)."""
        with keras.StatelessScope(self.state):
            return self.parts.outputs(self.features, mask)

    def outputs_under_other_noise(self) -> Any:
        """Return the outputs under a mask, and other noise above the cut, drawn anew."""
        with keras.StatelessScope():
            return self.parts.outputs(self.features, self.parts.draw_mask(self.features))

    def outputs_at(self, inputs: Tensor) -> Any:
        """Return the outputs of other inputs, under the same mask."""
        with keras.StatelessScope(self.state):
            return self.parts.outputs(self.parts.below(inputs, training=True), self.mask)

    def adversarial_mask(self, divergence: Callable[[Any], Tensor]) -> Tensor:
        """Flip the entries of the random mask that raise a divergence the most.

        The gradient is taken where nothing is masked, as the paper does: at the random mask that of
        a divergence from the clean pass is zero.

        Args:
            divergence: a function from outputs to a scalar, a sum of terms of one example each.

        Returns:
            (batch, units), a constant for gradients.

        Raises:
            ValueError: a model without a cut.
        """
        import tensorflow as tf

        if self.parts.cut is None:
            expected = "a model with one `keras_softmaxes.layers.AdversarialDropout`"
            raise invalid("model", expected, type(self.model).__name__)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.features)
            value = divergence(self.outputs_of(self.features))
        gradient = tape.gradient(value, self.features, unconnected_gradients="zero")
        mask = self.parts.cut.adversarial_mask(self.mask, self.features, gradient)
        return ops.stop_gradient(mask)

    def outputs_of(self, features: Tensor) -> Any:
        """Return the outputs of features without a mask."""
        with keras.StatelessScope(self.state):
            return self.parts.above(features, training=True)

    def input_gradient(self, function: Callable[[Any], Tensor]) -> Tensor:
        """Return the gradient of a scalar of the clean pass's outputs for the inputs."""
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            outputs = keras.tree.map_structure(ops.stop_gradient, self.outputs)
            tape.watch(outputs)
            value = function(outputs)
        gradients = tape.gradient(value, outputs, unconnected_gradients="zero")
        gradient = self.tape.gradient(self.outputs, self.inputs, output_gradients=gradients)
        if gradient is None:
            expected = "inputs from which the outputs are differentiable"
            raise invalid("x", expected, "inputs without a gradient")
        return ops.stop_gradient(gradient)

    def draw_normal(self) -> Tensor:
        """Draw a standard normal number for each input, in float32."""
        return draw_normal(ops.shape(self.inputs), "float32", self.generator)

    def supervised_loss(self, outputs: Any) -> Tensor:
        """Return the model's own loss without penalties of weights, scaled for replicas."""
        loss = self.model.compute_loss(
            self.inputs, self.labels, outputs, self.sample_weight, training=True
        )
        return loss - penalties(self.model, loss.dtype)

    def summed_loss(self, outputs: Any) -> Tensor:
        """Return a multiple of `supervised_loss` whose gradient half precision can hold.

        Summed over examples rather than averaged: for directions, which have no scale.
        """
        loss = self.supervised_loss(outputs)
        return loss * ops.cast(self.rows * replica_count(), loss.dtype)

    @property
    def rows(self) -> Tensor:
        """The number of rows of the batch."""
        return ops.shape(keras.tree.flatten(self.outputs)[0])[0]

    def mean(self, divergences: Tensor) -> Tensor:
        """Return the mean over all rows, labelled or not, scaled for replicas.

        Positions that the outputs' mask of padding leaves out have no part in it, as in the loss.
        """
        dtype = keras.backend.standardize_dtype(divergences.dtype)
        outputs = keras.tree.flatten(self.outputs)[0]
        return Computed("mean", "sum_over_batch_size", dtype)(divergences, outputs)


def check_differentiable(inputs: Any) -> None:
    """Raise ValueError for inputs that are not one tensor of floats: only these have a gradient."""
    if keras.tree.is_nested(inputs) or "float" not in keras.backend.standardize_dtype(inputs.dtype):
        received = keras.tree.map_structure(
            lambda each: keras.backend.standardize_dtype(each.dtype), inputs
        )
        raise invalid("x", "one tensor of a float type, which can be perturbed", received)
