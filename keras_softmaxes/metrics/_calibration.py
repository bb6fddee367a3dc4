"""The calibration error of class probabilities."""

from typing import Any, Literal

from keras import ops

from ..ops._calibration import NORMS, bin_sums, calibration_error_of, judged_columns
from ..support._arguments import MOST, Tensor, check_boolean, check_choice, check_integer
from ..support._configuration import serializable
from ..support._options import DType
from ._kept_rows import KeptRows
from ._scores import check_width, read_examples, read_labelled


@serializable
class CalibrationError(KeptRows):
    """How far confidences are from how often they are right, in bins of the confidence.

        l1   sum_b  w_b | accuracy_b - confidence_b |               expected calibration error
        l2   sqrt( sum_b  w_b ( accuracy_b - confidence_b )^2 )     its root mean square
        max  max_b | accuracy_b - confidence_b |                    maximum calibration error

    w_b is the share of the examples in bin b; `keras_softmaxes.ops.reliability` returns the bins.
    Class-wise it is the mean over the classes of the error of each one's own probabilities. Of
    several labels per example each probability is judged by whether its label is there, all labels
    together, or class-wise each label by itself.

    It is no proper score: a model that gives every example the frequencies of the classes has none,
    so read it beside the error, the likelihood or `BrierScore`. Bins of equal width need a state of
    fixed size, and adaptive ones all confidences: they are kept until `reset_state`, 12 bytes an
    example, and class-wise for each class of each. Both are exact, and the same however the
    examples are split into batches or between the replicas of a `tf.distribute` strategy. Before
    the first example the error is 0, as metrics of Keras are.

    torchmetrics' and torch-uncertainty's errors are the same, but that a confidence of 1 has a bin
    of its own there, and adaptive bins hold whole examples, those of equal confidence in any order.

    Args:
        bins: their number, 15 in the paper.
        norm: "l1", "l2" or "max".
        adaptive: whether each bin holds the same weight, in place of the same width. Examples of
            equal confidence are shared evenly between bins.
        class_wise: whether each class is judged by its own probabilities, be it the most likely or
            not, in place of the most likely class alone.
        multi_label: whether an example has any number of labels, each with a probability of its
            own, in place of one class.
        capacity: how many examples adaptive bins can hold; of several labels that are not judged
            class-wise, how many labels of examples.
        name: name of the metric.
        dtype: the type of the metric's result.

    Call arguments:
        y_true: (...) or (..., 1) integers, or (..., classes) one-hot, `...` being any shape. Of
            several labels (..., labels) zeros and ones, and NaN where a label is missing.
        y_pred: probabilities, (..., classes) or (..., labels).
        sample_weight: weights of the examples, (...), or of the rows of the batch, (batch,), at
            least 0.

    Raises:
        ValueError: bins or a capacity that are not integers of at least 1, another norm; labels out
            of range or of neither form; rows that are no probabilities of two classes or more, as
            logits are not; weights below 0 or not finite; another number of classes than in the
            first batch, where they are judged each; more examples than the capacity. In a graph, as
            in `fit`, TensorFlow raises InvalidArgumentError for values; inside XLA or `jax.jit`,
            where nothing can be raised, they make the result NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> metric = ks.metrics.CalibrationError()
        >>> metric.update_state([0, 1], [[0.9, 0.1], [0.9, 0.1]])
        >>> round(float(metric.result()), 4)  # right in half of the cases
        0.4

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017, Eqs. 3 and 5
        (https://arxiv.org/abs/1706.04599). Adaptive: Nixon et al., Measuring Calibration in Deep
        Learning, 2019 (https://arxiv.org/abs/1904.01685). Class-wise: Kull et al., Beyond
        temperature scaling, NeurIPS 2019 (https://arxiv.org/abs/1910.12656).
    """

    def __init__(
        self,
        bins: int = 15,
        norm: Literal["l1", "l2", "max"] = "l1",
        adaptive: bool = False,
        class_wise: bool = False,
        multi_label: bool = False,
        capacity: int = 10_000,
        name: str = "calibration_error",
        dtype: DType = None,
    ) -> None:
        super().__init__(capacity, name=name, dtype=dtype)
        self.bins = int(check_integer("bins", bins, least=1, most=MOST))
        self.norm = check_choice("norm", norm, NORMS)
        self.adaptive = check_boolean("adaptive", adaptive)
        self.class_wise = check_boolean("class_wise", class_wise)
        self.multi_label = check_boolean("multi_label", multi_label)
        self.sums: Any = None

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Add the examples of a batch."""
        confidences, hits, weights = self._judged(y_true, y_pred, sample_weight)
        if self.adaptive:
            self.keep(ops.concatenate([confidences, hits, weights], axis=1))
            return
        sums = bin_sums(confidences, hits, weights, self.bins, adaptive=False)
        if self.sums is None:
            self.sums = self.add_variable(sums.shape, "zeros", dtype=sums.dtype, name="sums")
        self.sums.assign_add(ops.cast(sums, self.sums.dtype))

    def result(self) -> Tensor:
        """Return the error of the examples so far, 0 before the first."""
        if self._columns() is None:
            return ops.zeros((), dtype=self.dtype)
        if not self.adaptive:
            return ops.cast(calibration_error_of(ops.copy(self.sums), self.norm), self.dtype)
        confidences, hits, weights = ops.split(self.rows, 3, axis=1)
        sums = bin_sums(confidences, hits, weights, self.bins, adaptive=True)
        return self.of_kept(calibration_error_of(sums, self.norm))

    def _judged(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor) -> tuple[Tensor, ...]:
        """Return the confidences, hits and weights of a batch, (examples, columns) each."""
        read = read_labelled if self.multi_label else read_examples
        labels, probabilities, weights = read(y_true, y_pred, sample_weight)
        if self.class_wise:
            check_width(probabilities, self._columns())
        if not self.multi_label:
            return judged_columns(labels, probabilities, weights, self.class_wise)
        columns = probabilities, labels, weights
        return columns if self.class_wise else tuple(ops.reshape(each, (-1, 1)) for each in columns)

    def _columns(self) -> Any:
        """Return how many columns are judged, None before the first batch."""
        if self.adaptive:
            return None if self.rows is None else self.rows.shape[1] // 3
        return None if self.sums is None else self.sums.shape[1]
