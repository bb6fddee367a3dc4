"""Temporal ensembling."""

import weakref
from typing import Any

import keras
from keras import ops

from ..layers import Head
from ..ops._divergences import squared_distance
from ..support._arguments import (
    INDEX,
    Tensor,
    agree,
    check_integer,
    check_share,
    checked,
    invalid,
    static_shape,
)
from ..support._configuration import serializable
from ..support._options import Schedule
from ._perturbation import Perturbation
from ._step import Step


@serializable
class TemporalEnsembling(Perturbation):
    """Temporal ensembling: the squared distance to what was predicted for the example before.

        L = || f(x) - z ||^2,   z = Z / (1 - momentum^t)

    over all rows, labelled or not, where Z is the example's moving average, Z <- momentum Z + (1 -
    momentum) f(x), and t the number of its updates, one in each step whose batch holds the example;
    an example that occurs twice is updated by the mean. An example that was not seen before adds
    nothing.

    Examples are identified by their number: train on
    `{"inputs": x, "keras_softmaxes_index": index}`, the index being integers of shape (batch,) in
    [0, examples), as `keras_softmaxes.datasets.semi_supervised(..., indexed=True)` gives them.
    `evaluate` and `predict` take the inputs alone, as ever.

    Memory: (classes + 1) * examples float32 numbers, on every replica: 2.6 MB for MNIST; a step
    touches the rows of its batch alone. They are part of the model's own state: saved with it, and
    with its weights, but not exported. A model with the mixin and without this perturbation loads
    such weights too. This perturbation starts anew if the weights hold no averages.

    Args:
        weight: a number of at least 0 or a schedule. Laine & Aila divide the squared distance by
            the number of classes; their weight of 30 is 3 here for ten classes.
        momentum: the share of Z that is kept, in [0, 1). The paper's is 0.6.
        examples: how many training examples there are, at least 1.
        classes: how many numbers the model predicts per example. None takes it from the model,
            whose output shape has to be known.
        name: what the term is logged as in training.

    Raises:
        ValueError: arguments outside the ranges above; in compile, a subclassed model where
            `classes` is None; in training, an output that is not (batch, classes), data without an
            index, or an index out of range (in a graph, InvalidArgumentError; where XLA compiles
            the step, such an example adds NaN).

    Example:
        >>> import keras_softmaxes as ks
        >>> perturbation = ks.perturbations.TemporalEnsembling(weight=3.0, examples=60_000)

    Reference:
        Laine & Aila, Temporal Ensembling for Semi-Supervised Learning, ICLR 2017, section 2.2
        (https://arxiv.org/abs/1610.02242).
    """

    default_name = "temporal_ensembling"

    def __init__(
        self,
        weight: float | Schedule = 1.0,
        momentum: float = 0.6,
        examples: int = 65_536,
        classes: int | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(weight, name=name)
        self.momentum = check_share("momentum", momentum, below_one=True)
        self.examples = check_integer("examples", examples, least=1)
        self.classes = classes if classes is None else check_integer("classes", classes, least=1)
        self._model: Any = None
        self._state: list[keras.Variable] = []

    def check(self, model: keras.Model, loss: Any, cut: Any) -> None:
        """Raise for a model whose number of predictions is unknown, and for a second model."""
        if self.classes is None:
            _classes(model)
        if self._model is not None and self._model() not in (None, model):
            expected = "an object of its own for each model, whose averages it holds"
            raise invalid("perturbations", expected, f"`{self.name}` of another model")

    def build(self, model: keras.Model) -> None:
        """Create the moving averages, all zero, unless the model has them already."""
        if self._model is None or self._model() is not model:
            classes = self.classes or _classes(model)
            self._model = weakref.ref(model)
            self._state = [
                _variable((self.examples, classes), "ensemble"),
                _variable((self.examples,), "updates"),
            ]

    @property
    def variables(self) -> list[keras.Variable]:
        """The moving averages, (examples, classes), and the numbers of updates, (examples,)."""
        return self._state

    def term(self, step: Step) -> Tensor:
        """Return the mean squared distance, and update the moving averages."""
        predictions = step.predictions(step.outputs)
        shape, classes = tuple(predictions.shape), self.variables[0].shape[1]
        if len(shape) != 2 or shape[1] != classes:
            expected = f"a model with outputs (batch, classes), and {classes} classes, as averaged"
            raise invalid("model", expected, f"an output of shape {shape}")
        index, in_range = self.read_ahead(step.outputs, step.index)
        average, updates = (
            ops.cast(ops.take(each.value, index, axis=0), predictions.dtype)
            for each in self.variables
        )
        target = ops.divide_no_nan(average, 1 - ops.power(self.momentum, updates)[:, None])
        distance = ops.where(updates > 0, squared_distance(predictions, target), 0)
        self._update(index, ops.stop_gradient(predictions) - average, updates)
        return step.mean(ops.where(in_range, distance, float("nan")))

    def read_ahead(self, inputs: Any, index: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the index as int32, and which entries are in range; raise if one is not."""
        if index is None:
            expected = (
                f'{{"inputs": x, "{INDEX}": index}}, which identifies the examples, as '
                "`keras_softmaxes.datasets.semi_supervised(..., indexed=True)` gives it"
            )
            raise invalid("x", expected, "inputs alone")
        given = ops.convert_to_tensor(index)
        shape, dtype = static_shape("index", given), given.dtype
        expected = "integers of shape (batch,), one for each row"
        like = keras.tree.flatten(inputs)[0]
        is_integer = "int" in keras.backend.standardize_dtype(dtype)
        if not agree(shape, tuple(like.shape[:1])) or not is_integer:
            raise invalid("index", expected, f"{dtype} of shape {shape}")
        count = ops.convert_to_tensor(ops.shape(given)[0])
        index = checked(given, ops.equal(count, ops.shape(like)[0]), "index", expected, count)
        index = ops.cast(index, "int64")  # in which no type of integers wraps around
        in_range = (index >= 0) & (index < self.examples)
        expected = f"integers in [0, {self.examples}), the `examples`"
        index = ops.cast(ops.where(in_range, index, 0), "int32")
        return checked(index, in_range, "index", expected, given), in_range

    def _update(self, index: Tensor, change: Tensor, updates: Tensor) -> None:
        """Write the rows of all replicas on each of them, so that their copies stay equal.

        An example that is there several times counts once, with the mean of its changes; one whose
        predictions overflowed, as they may in half precision, does not count.
        """
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        if replica.num_replicas_in_sync > 1:
            index, change, updates = replica.all_gather((index, change, updates), axis=0)
        is_finite = ops.all(ops.isfinite(change), axis=-1)
        is_counted = (index[:, None] == index) & is_finite
        times = ops.sum(ops.cast(is_counted, change.dtype), axis=-1)
        change = (1 - self.momentum) * ops.where(is_finite[:, None], change, 0)
        change = ops.divide_no_nan(change, times[:, None])
        updates = ops.where(times > 0, updates + 1, updates)
        ensemble, counter = (variable.value for variable in self.variables)
        ensemble.scatter_add(tf.IndexedSlices(ops.cast(change, "float32"), index))
        counter.scatter_update(tf.IndexedSlices(ops.cast(updates, "float32"), index))


def _classes(model: Any) -> int:
    if isinstance(head := getattr(model, "head", None), Head):
        return head.units
    output = getattr(model, "output", None)
    if output is None:
        expected = "the number of classes, which only a functional model knows by itself"
        raise invalid("classes", expected, None)
    classes: int = output.shape[-1]
    return classes


def _variable(shape: tuple[int, ...], name: str) -> keras.Variable:
    """Return zeros that each replica updates by itself."""
    return keras.Variable("zeros", shape, "float32", trainable=False, aggregation="none", name=name)
