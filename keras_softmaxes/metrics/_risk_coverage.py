"""What is left of the error where a classifier may abstain."""

from typing import Literal

from keras import ops

from ..ops._calibration import judged_columns
from ..ops._risk_coverage import risk_coverage_of
from ..support._arguments import Tensor, check_choice, check_share
from ..support._configuration import serializable
from ..support._options import DType
from ._kept_rows import KeptRows
from ._scores import read_examples

MEASURES = ("aurc", "augrc", "coverage")


@serializable
class RiskCoverage(KeptRows):
    """What is left of the error where the least certain examples are not answered.

        aurc      area under the risk-coverage curve: the mean, over the examples, of the error of
                  those that are as certain or more
        augrc     area under the generalised risk, which is the share of all examples that are
                  answered wrong: the risk of an error that goes unnoticed
        coverage  the largest share of the examples that is answered with a risk as asked for

    with the largest probability as the confidence; `keras_softmaxes.ops.risk_coverage` has the
    formulas and takes any other confidence. The first two are the lower the better, between 0 and
    1. They count wrong answers and their order alone: any temperature leaves the order within an
    example, but not that of the examples, so that it may change them a little. Of several labels an
    example they are not defined.

    Exact, and the same however the examples are split into batches or between the replicas of a
    `tf.distribute` strategy. A ranking needs all confidences: they are kept until `reset_state`, 12
    bytes per example, and ranked again at each `result`, which Keras asks for after each batch.
    Before the first example the result is 0, as metrics of Keras are. "coverage" is
    torch-uncertainty's `CovAtxRisk`, but 0 where no example may be answered, in place of NaN. How
    its areas differ is in the op's docstring.

    Args:
        measure: "aurc", "augrc" or "coverage".
        risk: the error, from 0 to 1, that "coverage" allows.
        capacity: how many examples it can hold, which the replicas of a strategy share evenly.
        name: name of the metric; None is that of the measure.
        dtype: the type of the metric's result.

    Call arguments:
        y_true: (...) or (..., 1) integers, or (..., classes) one-hot, `...` being any shape.
        y_pred: probabilities, (..., classes).
        sample_weight: weights of the examples, (...), or of the rows of the batch, (batch,), at
            least 0.

    Raises:
        ValueError: another measure, a risk outside of [0, 1], a capacity that is not an integer of
            at least 1; labels out of range or of neither form; rows that are no probabilities of
            two classes or more, as logits are not; weights below 0 or not
            finite; more examples than the capacity. In a graph, as
            in `fit`, TensorFlow raises InvalidArgumentError for values; inside XLA or `jax.jit`,
            where nothing can be raised, they make the result NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> metric = ks.metrics.RiskCoverage("coverage", risk=0.0)
        >>> metric.update_state([0, 1, 0], [[0.9, 0.1], [0.3, 0.7], [0.4, 0.6]])
        >>> round(float(metric.result()), 4)  # all but the least certain
        0.6667

    Reference:
        Geifman et al., Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers, ICLR 2019
        (https://arxiv.org/abs/1805.08206); AUGRC: Traub et al., Overcoming Common Flaws in the
        Evaluation of Selective Classification Systems, NeurIPS 2024
        (https://arxiv.org/abs/2407.01032).
    """

    def __init__(
        self,
        measure: Literal["aurc", "augrc", "coverage"] = "aurc",
        risk: float = 0.05,
        capacity: int = 10_000,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        check_choice("measure", measure, MEASURES)
        super().__init__(capacity, name=name or measure, dtype=dtype)
        self.measure = measure
        self.risk = float(check_share("risk", risk))

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Keep the confidences of a batch."""
        classes, probabilities, weights = read_examples(y_true, y_pred, sample_weight)
        columns = judged_columns(classes, probabilities, weights, class_wise=False)
        self.keep(ops.concatenate(columns, axis=1))

    def result(self) -> Tensor:
        """Return the measure of the examples so far, 0 before the first."""
        if self.rows is None:
            return ops.zeros((), dtype=self.dtype)
        confidence, hits, weights = ops.unstack(ops.copy(self.rows), 3, axis=1)
        curve = risk_coverage_of(1 - hits, confidence, weights)
        if self.measure != "coverage":
            return self.of_kept(curve[self.measure])
        allowed = ops.where(curve["risk"] <= self.risk, curve["coverage"], 0)
        # A curve without areas is that of a model that diverged.
        return self.of_kept(ops.max(allowed) + 0 * curve["aurc"])
