"""The Brier score of class probabilities."""

import keras
from keras import ops

from ..ops._brier_score import brier_score_of
from ..support._arguments import Tensor, check_boolean
from ..support._configuration import serializable
from ..support._options import DType
from ._scores import read_examples, read_labelled


@serializable
class BrierScore(keras.metrics.Metric):
    """Mean of the Brier score, `keras_softmaxes.ops.brier_score`, over the examples.

        mean sum_k ( p_k - [k = y] )^2,   from 0 to 2
        mean ( p - y )^2,                 from 0 to 1, for several labels per example

    The same as scikit-learn's `brier_score_loss(..., scale_by_half=False)` and, of several labels,
    as that of all of them together, with its default. Before the first example it is 0, as metrics
    of Keras are.

    Args:
        multi_label: whether an example has any number of labels, each with a probability of its
            own, in place of one class.
        name: name of the metric.
        dtype: the type of the metric's result.

    Call arguments:
        y_true: (...) or (..., 1) integers, or (..., classes) one-hot, `...` being any shape. Of
            several labels (..., labels) zeros and ones, and NaN where a label is missing.
        y_pred: probabilities, (..., classes) or (..., labels).
        sample_weight: weights of the examples, (...), or of the rows of the batch, (batch,), at
            least 0.

    Raises:
        ValueError: labels out of range or of neither form; rows that are no probabilities of two
            classes (or labels) or more, as logits are not; weights below 0 or not finite. In a
            graph, as in `fit`, TensorFlow raises InvalidArgumentError for values; inside XLA or
            `jax.jit`, where nothing can be raised, they make the result NaN.

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

    def __init__(
        self, multi_label: bool = False, name: str = "brier_score", dtype: DType = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.multi_label = check_boolean("multi_label", multi_label)
        self.total = self.add_variable((), "zeros", dtype="float32", name="total")
        self.weight = self.add_variable((), "zeros", dtype="float32", name="weight")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Add the examples of a batch."""
        read = read_labelled if self.multi_label else read_examples
        labels, probabilities, weights = read(y_true, y_pred, sample_weight)
        if self.multi_label:
            scores = ops.square(probabilities - labels)
        else:
            scores = brier_score_of(labels, probabilities)
        self.total.assign_add(ops.cast(ops.sum(weights * scores), "float32"))
        self.weight.assign_add(ops.cast(ops.sum(weights), "float32"))

    def result(self) -> Tensor:
        """Return the mean of the examples so far, 0 before the first."""
        return ops.cast(ops.divide_no_nan(ops.copy(self.total), self.weight), self.dtype)
