"""The Brier score of class probabilities."""

import keras
from keras import ops

from ..ops._brier_score import brier_score_of
from ..support._arguments import Tensor
from ..support._configuration import serializable
from ..support._options import DType
from ._scores import read_examples


@serializable
class BrierScore(keras.metrics.Metric):
    """Mean of the Brier score, `keras_softmaxes.ops.brier_score`, over the examples.

        mean sum_k ( p_k - [k = y] )^2,   from 0 to 2

    The same as scikit-learn's `brier_score_loss(..., scale_by_half=False)`.

    Args:
        name: name of the metric.
        dtype: the type of the metric's result.

    Call arguments:
        y_true: (...) or (..., 1) integers, or (..., classes) one-hot, `...` being any shape.
        y_pred: probabilities, (..., classes).
        sample_weight: weights of the examples, (...), or of the rows of the batch, (batch,).

    Raises:
        ValueError: labels out of range or of neither form; rows that are no probabilities of two
            classes or more, as logits are not. In a graph, as in `fit`, TensorFlow raises
            InvalidArgumentError for values; inside XLA or `jax.jit`, where nothing can be raised,
            they make the result NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> metric = ks.metrics.BrierScore()
        >>> metric.update_state([0, 1], [[0.5, 0.5], [0.0, 1.0]])
        >>> float(metric.result())
        0.25

    Reference:
        Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review
        1950, Eq. 2.
    """

    def __init__(self, name: str = "brier_score", dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", dtype="float32", name="total")
        self.weight = self.add_variable((), "zeros", dtype="float32", name="weight")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Add the examples of a batch."""
        classes, probabilities, weights = read_examples(y_true, y_pred, sample_weight)
        scores = weights * brier_score_of(classes, probabilities)
        self.total.assign_add(ops.cast(ops.sum(scores), "float32"))
        self.weight.assign_add(ops.cast(ops.sum(weights), "float32"))

    def result(self) -> Tensor:
        """Return the mean of the examples so far, 0 before the first."""
        return ops.cast(ops.divide_no_nan(ops.copy(self.total), self.weight), self.dtype)
