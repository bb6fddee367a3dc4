"""Temporal ensembling."""

from typing import Any

import keras
from keras import ops

from keras_softmaxes.layers.adversarial_dropout import AdversarialDropout
from keras_softmaxes.ops.checks import Tensor, check_integer, invalid, require
from keras_softmaxes.ops.divergences import squared_distance
from keras_softmaxes.perturbations.base import Perturbation, Schedule
from keras_softmaxes.perturbations.step import Step


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class TemporalEnsembling(Perturbation):
    """Temporal ensembling: the squared distance to what was predicted for the example before.

        L = || f(x) - z ||^2,   z = Z / (1 - momentum^t)

    over all rows, labelled or not, where Z is the example's moving average,
    Z <- momentum Z + (1 - momentum) f(x), and t the number of its updates, one in each step that
    holds it. An example that was not seen yet adds nothing.

    Examples are identified by their number: train on `{"inputs": x, "index": index}`, the index
    being integers of shape (batch,) in [0, examples), as
    `keras_softmaxes.datasets.semi_supervised(..., indexed=True)` gives them. `evaluate` and
    `predict` take the inputs alone, as ever.

    Memory: (classes + 1) * examples float32 numbers, on every replica: 2.6 MB for MNIST. They are
    part of the model's own state: saved with it, and with its weights, but not exported.

    Args:
        weight: a number of at least 0 or a schedule. Laine & Aila divide the squared distance by
            the number of classes; their weight of 30 is 3 here for ten classes.
        momentum: the share of Z that is kept, in [0, 1). The paper's is 0.6.
        examples: how many training examples there are, at least 1.
        classes: how many numbers the model predicts for an example. None takes it from the model,
            which must be a functional one.

    Raises:
        ValueError: arguments outside the ranges above; in compile, a subclassed model where
            `classes` is None; in training, data without an index, or an index out of range (in a
            graph, InvalidArgumentError; where XLA compiles the step, such an example adds NaN).

    Example:
        >>> import keras_softmaxes as ks
        >>> perturbation = ks.perturbations.TemporalEnsembling(weight=3.0, examples=60_000)

    Reference:
        Laine & Aila, Temporal Ensembling for Semi-Supervised Learning, ICLR 2017, section 2.2
        (https://arxiv.org/abs/1610.02242).
    """

    def __init__(
        self,
        weight: float | Schedule = 1.0,
        momentum: float = 0.6,
        examples: int = 65_536,
        classes: int | None = None,
    ) -> None:
        super().__init__(weight)
        if isinstance(momentum, bool) or not 0 <= momentum < 1:
            raise invalid("momentum", "a number of at least 0 and below 1", repr(momentum))
        check_integer("examples", examples, least=1)
        if classes is not None:
            check_integer("classes", classes, least=1)
        self.momentum, self.examples, self.classes = momentum, examples, classes
        self.ensemble: keras.Variable | None = None
        self.updates: keras.Variable | None = None

    def compile(self, model: keras.Model, cut: AdversarialDropout) -> None:
        """Create the moving averages, all zero, unless they exist."""
        if self.ensemble is None:
            shape = (self.examples, self.classes or _classes(model))
            self.ensemble = _variable(shape, "ensemble")
            self.updates = _variable(shape[:1], "updates")

    @property
    def variables(self) -> list[keras.Variable]:
        """The moving averages and the number of updates."""
        return [self.ensemble, self.updates]

    def term(self, step: Step) -> Tensor:
        """Return the mean squared distance, and update the moving averages."""
        predictions = step.predictions(step.outputs)
        index, in_range = self._checked_index(step)
        average, updates = (ops.take(ops.copy(each), index, axis=0) for each in self.variables)
        bias = 1 - ops.power(self.momentum, updates)
        target = ops.divide_no_nan(average, bias[:, None])
        distance = squared_distance(predictions, target)
        average = self.momentum * average + (1 - self.momentum) * ops.stop_gradient(predictions)
        self._update(index, average, updates + 1)
        distance = ops.where(updates > 0, distance, ops.zeros_like(distance))
        return step.mean(ops.where(in_range, distance, float("nan")))

    def _checked_index(self, step: Step) -> tuple[Tensor, Tensor]:
        if step.index is None:
            expected = '{"inputs": x, "index": index}, which tells the examples apart'
            raise invalid("x", expected, "inputs alone")
        index = ops.cast(step.index, "int32")
        in_range = (index >= 0) & (index < self.examples)
        require(in_range, "index", f"integers in [0, {self.examples})", index)
        return ops.where(in_range, index, 0), in_range

    def _update(self, index: Tensor, average: Tensor, updates: Tensor) -> None:
        """Write the rows of all replicas on each of them, so that their copies stay equal."""
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        if replica.num_replicas_in_sync > 1:
            index, average, updates = replica.all_gather((index, average, updates), axis=0)
        for variable, rows in zip(self.variables, (average, updates), strict=True):
            variable.assign(ops.scatter_update(ops.copy(variable), index[:, None], rows))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "examples": self.examples,
            "classes": self.classes,
        }


def _classes(model: keras.Model) -> int:
    output = getattr(model, "output", None)
    if isinstance(output, dict):
        output = output.get("probabilities")
    if output is None:
        expected = "the number of classes, which only a functional model tells by itself"
        raise invalid("classes", expected, None)
    return output.shape[-1]


def _variable(shape: tuple[int, ...], name: str) -> keras.Variable:
    """Return zeros that each replica updates by itself."""
    return keras.Variable(
        initializer="zeros",
        shape=shape,
        dtype="float32",
        trainable=False,
        aggregation="none",
        name=name,
    )
