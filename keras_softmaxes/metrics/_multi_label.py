"""Precision, recall and F1 for several labels per example."""

from typing import Any, Literal

import keras
from keras import ops

from ..support._arguments import Tensor, check_finite
from ..support._configuration import serializable
from ..support._labels import MISSING, multi_hot_or_missing
from ..support._options import DType
from ..support._tensors import example_weights
from ._scores import check_average, read_scores


class MultiLabelMetric(keras.metrics.Metric):
    """Base of the metrics that count, for each label, the examples predicted to have it.

    Labels that are NaN are missing and have no part in them.

    Args:
        average: as scikit-learn has them, "macro", the mean over the labels, "micro", which counts
            all labels together, or None, which leaves a number for each, (labels,). The paper calls
            the first two "class" and "overall"; its F1 of "class" is another.
        threshold: the probability from which a label is predicted; 0 for logits.
        name: name of the metric, that of its class by default.
        dtype: the type of the metric's result.

    Call arguments:
        y_true: (batch, labels), of zeros and ones, and NaN in a float type.
        y_pred: (batch, labels), probabilities, or logits with the threshold 0.
        sample_weight: weights of the examples, (batch,) or (batch, 1), or a number.

    Raises:
        ValueError: another average; a threshold that is not a number; another number of labels than
            in the first batch; labels that are not 0, 1 or NaN. In a graph, as in `fit`, TensorFlow
            raises InvalidArgumentError for their values; inside XLA or `jax.jit`, where nothing can
            be raised, they make the result NaN.

    Reference:
        Luo et al., G-softmax, IEEE TNNLS 2019, Eq. 22 (https://arxiv.org/abs/1904.04317).
    """

    default_name: str

    def __init__(
        self,
        average: Literal["macro", "micro", "class", "overall"] | None = "class",
        threshold: float = 0.5,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name or self.default_name, dtype=dtype)
        self.average = check_average(average, ("macro", "micro", "class", "overall"))
        self.threshold = float(check_finite("threshold", threshold))
        self.correct: Any = None
        self.predicted: Any = None
        self.present: Any = None

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Count the examples of a batch."""
        scores = read_scores(y_pred, None if self.correct is None else self.correct.shape[0])
        if self.correct is None:
            self.correct, self.predicted, self.present = (
                self.add_variable(scores.shape[1:], "zeros", dtype=scores.dtype, name=name)
                for name in ("correct", "predicted", "present")
            )
        present = multi_hot_or_missing(y_true, scores)
        weights = ops.where(present == MISSING, 0, example_weights(sample_weight, scores))
        predicted = ops.cast(scores >= self.threshold, scores.dtype)
        predicted = ops.where(ops.isnan(scores) & (weights > 0), scores, predicted)
        for counter, counted in (
            (self.correct, present * predicted),
            (self.predicted, predicted),
            (self.present, present),
        ):
            counter.assign_add(ops.sum(weights * counted, axis=0))

    def share_correct(self, counted: Tensor) -> Tensor:
        """Return the share of the predicted, or of the present, that is both; 0 if there are none.

        Args:
            counted: `predicted` for the precision, `present` for the recall, None before a batch.
        """
        if counted is None:
            return ops.zeros((), dtype=self.dtype)
        correct = ops.copy(self.correct)
        if self.average in ("micro", "overall"):
            correct, counted = ops.sum(correct), ops.sum(counted)
        share = ops.divide_no_nan(correct, counted)
        return ops.cast(share if self.average is None else ops.mean(share), self.dtype)


@serializable
class MultiLabelPrecision(MultiLabelMetric):
    """Precision for several labels per example: C-P by "class", O-P "overall".

        C-P = mean_i N^c_i / N^p_i,   O-P = sum_i N^c_i / sum_i N^p_i

    N^p_i is the number of examples predicted to have label i, and N^c_i of those that have it. A
    label that is never predicted has precision 0.

    Args:
        average: "macro" or the paper's "class", "micro" or the paper's "overall", or None.
        threshold: the probability from which a label is predicted; 0 for logits.
        name: name of the metric.
        dtype: the type of the metric's result.

    Call arguments:
        y_true: (batch, labels), of zeros and ones, and NaN in a float type.
        y_pred: (batch, labels), probabilities or logits.
        sample_weight: weights of the examples, (batch,) or (batch, 1), or a number.

    Raises:
        ValueError: as for `MultiLabelMetric`.

    Example:
        >>> import keras_softmaxes as ks
        >>> metric = ks.metrics.MultiLabelPrecision()
        >>> metric.update_state([[1, 0], [1, 1]], [[0.9, 0.6], [0.2, 0.7]])
        >>> float(metric.result())
        0.75

    Reference:
        Luo et al., G-softmax, IEEE TNNLS 2019, Eq. 22 (https://arxiv.org/abs/1904.04317).
    """

    default_name = "multi_label_precision"

    def result(self) -> Tensor:
        """Return the precision of the examples so far."""
        return self.share_correct(self.predicted)


@serializable
class MultiLabelRecall(MultiLabelMetric):
    """Recall for several labels per example: C-R by "class", O-R "overall".

        C-R = mean_i N^c_i / N^g_i,   O-R = sum_i N^c_i / sum_i N^g_i

    N^g_i is the number of examples that have label i, and N^c_i of those predicted to have it. A
    label that no example has gets recall 0.

    Args:
        average: "macro" or the paper's "class", "micro" or the paper's "overall", or None.
        threshold: the probability from which a label is predicted; 0 for logits.
        name: name of the metric.
        dtype: the type of the metric's result.

    Call arguments:
        y_true: (batch, labels), of zeros and ones, and NaN in a float type.
        y_pred: (batch, labels), probabilities or logits.
        sample_weight: weights of the examples, (batch,) or (batch, 1), or a number.

    Raises:
        ValueError: as for `MultiLabelMetric`.

    Example:
        >>> import keras_softmaxes as ks
        >>> metric = ks.metrics.MultiLabelRecall()
        >>> metric.update_state([[1, 0], [1, 1]], [[0.9, 0.6], [0.2, 0.7]])
        >>> float(metric.result())
        0.75

    Reference:
        Luo et al., G-softmax, IEEE TNNLS 2019, Eq. 22 (https://arxiv.org/abs/1904.04317).
    """

    default_name = "multi_label_recall"

    def result(self) -> Tensor:
        """Return the recall of the examples so far."""
        return self.share_correct(self.present)


@serializable
class MultiLabelF1(MultiLabelMetric):
    """F1 for several labels per example: C-F1 by "class", O-F1 "overall".

        2 P R / (P + R)

    of C-P and C-R, or of O-P and O-R. C-F1 is not the mean of the labels' own F1, which is "macro".

    Args:
        average: "macro", the paper's "class", "micro" or the paper's "overall", or None.
        threshold: the probability from which a label is predicted; 0 for logits.
        name: name of the metric.
        dtype: the type of the metric's result.

    Call arguments:
        y_true: (batch, labels), of zeros and ones, and NaN in a float type.
        y_pred: (batch, labels), probabilities or logits.
        sample_weight: weights of the examples, (batch,) or (batch, 1), or a number.

    Raises:
        ValueError: as for `MultiLabelMetric`.

    Example:
        >>> import keras_softmaxes as ks
        >>> metric = ks.metrics.MultiLabelF1("overall")
        >>> metric.update_state([[1, 0], [1, 1]], [[0.9, 0.6], [0.2, 0.7]])
        >>> round(float(metric.result()), 4)
        0.6667

    Reference:
        Luo et al., G-softmax, IEEE TNNLS 2019, Eq. 22 (https://arxiv.org/abs/1904.04317).
    """

    default_name = "multi_label_f1"

    def result(self) -> Tensor:
        """Return the F1 of the examples so far, 0 where precision and recall are."""
        if self.average != "class" and self.correct is not None:
            return self.share_correct((self.predicted + self.present) / 2)
        precision, recall = map(self.share_correct, (self.predicted, self.present))
        return ops.divide_no_nan(2 * precision * recall, precision + recall)
