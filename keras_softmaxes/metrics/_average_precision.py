"""Mean average precision for several labels per example."""

from typing import Any, Literal

from keras import ops

from ..ops._average_precision import average_precision_of
from ..support._arguments import Tensor
from ..support._configuration import serializable
from ..support._labels import MISSING, multi_hot_or_missing
from ..support._options import DType
from ..support._tensors import example_weights
from ._kept_rows import KeptRows
from ._scores import check_average, read_scores


@serializable
class MeanAveragePrecision(KeptRows):
    """Mean over the labels of their average precision, `keras_softmaxes.ops.average_precision`.

    Labels that are NaN are missing and have no part in it.

    Exact, and the same however the examples are split into batches or between the replicas of a
    `tf.distribute` strategy. A ranking needs all scores: they are kept until `reset_state`, and
    ranked again at each `result`, which Keras asks for after each batch. Compile it into a model
    whose data are thousands; for more, update one by hand with what `predict` returns.

    Args:
        capacity: how many examples it can hold, which the replicas of a strategy share evenly. It
            takes 8 bytes for each label of each.
        average: as scikit-learn has them, "macro", the mean over the labels, "micro", the average
            precision of all pairs of an example and a label in one ranking, or None, that of each
            label, with a result (labels,).
        name: name of the metric.
        dtype: the type of the metric's result.

    Call arguments:
        y_true: (batch, labels), of zeros and ones, and NaN in a float type.
        y_pred: (batch, labels), probabilities or logits.
        sample_weight: weights of the examples, (batch,) or (batch, 1), or a number.

    Raises:
        ValueError: a capacity that is not an integer of at least 1, another average, another number
            of labels than in the first batch, more examples than the capacity, or labels that are
            not 0, 1 or NaN. In a graph, as in `fit`, TensorFlow raises InvalidArgumentError for the
            last two; inside XLA or `jax.jit`, where nothing can be raised, they make the result
            NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> metric = ks.metrics.MeanAveragePrecision()
        >>> metric.update_state([[1, 1], [0, 0]], [[0.9, 0.1], [0.8, 0.2]])
        >>> metric.update_state([[1, 0]], [[0.7, 0.3]])
        >>> round(float(metric.result()), 4)  # (5/6 + 1/3) / 2
        0.5833

    Reference:
        Luo et al., G-softmax, IEEE TNNLS 2019, Eq. 21 (https://arxiv.org/abs/1904.04317).
    """

    def __init__(
        self,
        capacity: int = 10_000,
        average: Literal["macro", "micro"] | None = "macro",
        name: str = "mean_average_precision",
        dtype: DType = None,
    ) -> None:
        super().__init__(capacity, name=name, dtype=dtype)
        self.average = check_average(average, ("macro", "micro"))

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Keep the scores of a batch."""
        scores = read_scores(y_pred, self._labels())
        present = multi_hot_or_missing(y_true, scores)
        weights = example_weights(sample_weight, scores)
        self.keep(ops.concatenate([scores, present, weights], axis=1))

    def result(self) -> Tensor:
        """Return the average precision of the examples so far, 0 before the first."""
        if self.rows is None:
            return ops.zeros((), dtype=self.dtype)
        labels = self._labels()
        scores, present, weights = ops.split(self.rows, (labels, 2 * labels), axis=1)
        known = present != MISSING
        columns = (ops.where(known, present, 0), scores, ops.where(known, weights, 0))
        if self.average == "micro":
            columns = tuple(ops.reshape(each, (-1, 1)) for each in columns)
        precision = average_precision_of(*columns)
        precision = precision if self.average is None else ops.mean(precision)
        return self.of_kept(precision)

    def _labels(self) -> Any:
        """Return how many labels the rows have, None before there are rows."""
        return None if self.rows is None else (self.rows.shape[1] - 1) // 2
