"""The passes of one training step, as the perturbations see it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_softmaxes.layers.adversarial_dropout import AdversarialDropout, Recording, recording
from keras_softmaxes.layers.noise import draw_normal
from keras_softmaxes.losses.base import Reduction
from keras_softmaxes.ops.checks import Tensor, invalid
from keras_softmaxes.ops.replicas import replica_count
from keras_softmaxes.perturbations.predictions import log_probabilities, predictions


@dataclass(frozen=True)
class Parts:
    """A model in two.

    Attributes:
        cut: the layer where it is cut.
        under: what is below it, from the inputs to the features.
        upper: what is above it, from the features to the outputs.
    """

    cut: AdversarialDropout
    under: keras.layers.Layer
    upper: keras.layers.Layer


@dataclass(frozen=True)
class Step:
    """A training step after its clean pass, the ordinary call of the model, which its loss sees.

    The features below the cut are computed once; a pass under another mask repeats what is above it
    alone. Further passes leave no trace: statistics, counters and seeds move once a step. Unless
    said otherwise they see the noise of the clean pass, so that they differ from it by the
    perturbation alone.

    Attributes:
        model: the model that is trained.
        parts: where it is cut, and what is below and above.
        inputs: of the model.
        index: which example each row is, (batch,), or None where the data do not say.
        labels: as the data give them.
        sample_weight: likewise, or None.
        outputs: of the clean pass.
        clean: its features below the cut, and the random mask.
        state: what the model's other variables held before the clean pass.
        tape: recorded the clean pass from the inputs, where a perturbation asked for it.
    """

    model: Any
    parts: Parts
    inputs: Any
    index: Tensor | None
    labels: Any
    sample_weight: Any
    outputs: Any
    clean: Recording
    state: list[tuple[keras.Variable, Tensor]]
    tape: Any

    @classmethod
    def begin(
        cls, model: Any, parts: Parts, data: tuple[Any, Any, Any, Any], watch: bool
    ) -> "Step":
        """Do the clean pass of a batch.

        Args:
            model: the model that is trained.
            parts: where it is cut, and what is below and above.
            data: inputs, index, labels and sample weights.
            watch: whether gradients with respect to the inputs will be asked for.
        """
        import tensorflow as tf

        inputs, index, labels, sample_weight = data
        if not model.built:
            model(inputs)  # creates the variables whose state is taken next
        state = [(each, ops.copy(each)) for each in model.variables if not each.trainable]
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            if watch:
                tape.watch(_differentiable(inputs))
            with recording() as clean:
                outputs = model(inputs, training=True)
        if clean.features is None:
            expected = "a model that passes its cut (one with the hooks defines no `call`)"
            raise invalid("model", expected, f"{type(model).__name__}, which does not")
        return cls(model, parts, inputs, index, labels, sample_weight, outputs, clean, state, tape)

    @property
    def iteration(self) -> Tensor:
        """The optimizer's step."""
        return self.model.optimizer.iterations

    def predictions(self, outputs: Any) -> Tensor:
        """Return what outputs predict; see `keras_softmaxes.perturbations.predictions`."""
        return predictions(outputs, self.model.loss)

    def log_probabilities(self, outputs: Any) -> Tensor:
        """Return the logarithms of the class probabilities, (batch, ..., classes)."""
        return log_probabilities(outputs, self.model.loss)

    def outputs_under(self, mask: Tensor) -> Any:
        """Return the outputs under another mask, (batch, units)."""
        with keras.StatelessScope(self.state):
            return self._upper(self.parts.cut.masked(self.clean.features, mask))

    def outputs_under_other_noise(self) -> Any:
        """Return the outputs under a mask, and other noise above the cut, drawn anew."""
        cut = self.parts.cut
        mask = cut.draw_mask(self.clean.features)
        with keras.StatelessScope():
            return self._upper(cut.masked(self.clean.features, mask))

    def outputs_at(self, inputs: Tensor) -> Any:
        """Return the outputs of other inputs, under the same mask."""
        with keras.StatelessScope(self.state):
            features = self.parts.under(inputs, training=True)
            return self._upper(self.parts.cut.masked(features, self.clean.mask))

    def adversarial_mask(self, divergence: Callable[[Any], Tensor]) -> Tensor:
        """Flip the entries of the random mask that raise a divergence the most.

        The gradient is taken where nothing is masked, as the paper does: at the random mask that of
        a divergence from the clean pass is zero.

        Args:
            divergence: a scalar of outputs, in which no term concerns two examples.

        Returns:
            (batch, units), a constant for gradients.
        """
        import tensorflow as tf

        features = ops.stop_gradient(self.clean.features)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(features)
            with keras.StatelessScope(self.state):
                outputs = self._upper(features)
            value = divergence(outputs)
        gradient = tape.gradient(value, features, unconnected_gradients="zero")
        mask = self.parts.cut.adversarial_mask(self.clean.mask, features, gradient)
        return ops.stop_gradient(mask)

    def _upper(self, features: Tensor) -> Any:
        return self.parts.upper(features, training=True)

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
            expected = "inputs of which the outputs are differentiable functions"
            raise invalid("x", expected, "inputs without a gradient")
        return ops.stop_gradient(gradient)

    def draw_normal(self) -> Tensor:
        """Draw a standard normal number for each input, in float32."""
        return draw_normal(ops.shape(self.inputs), "float32", self.parts.cut.seed_generator)

    def supervised_loss(self, outputs: Any) -> Tensor:
        """Return the model's own loss without penalties of weights, scaled for replicas."""
        loss = self.model.compute_loss(
            self.inputs, self.labels, outputs, self.sample_weight, training=True
        )
        penalties = [ops.sum(each) for each in self.model.losses]
        return loss - sum(penalties) / replica_count() if penalties else loss

    def magnified_loss(self, outputs: Any) -> Tensor:
        """Return a multiple of `supervised_loss` whose gradient half precision can hold.

        Summed over examples rather than averaged: for directions, which have no scale.
        """
        rows = ops.cast(ops.shape(self.clean.features)[0], "float32")
        loss = self.supervised_loss(outputs)
        return loss * ops.cast(rows * replica_count(), loss.dtype)

    def mean(self, divergences: Tensor) -> Tensor:
        """Return the mean over all rows, labelled or not, scaled for replicas."""
        return Reduction(dtype=keras.backend.standardize_dtype(divergences.dtype))(
            divergences, divergences
        )


def _differentiable(inputs: Any) -> Tensor:
    """Refuse inputs that are not one tensor of floats, which has no gradient."""
    if keras.tree.is_nested(inputs) or "float" not in keras.backend.standardize_dtype(inputs.dtype):
        received = keras.tree.map_structure(
            lambda each: keras.backend.standardize_dtype(each.dtype), inputs
        )
        raise invalid("x", "one tensor of a float type, which can be perturbed", received)
    return inputs
