"""The bias of the margin."""

import keras
from keras import ops

from ..ops._large_margin import margin_bias_of
from ..support._arguments import Tensor
from ..support._configuration import serializable
from ..support._labels import check_ignore_class, counted_classes
from ..support._options import DType
from ..support._tensors import read_logits, weights_like


@serializable
class MarginBias(keras.metrics.MeanMetricWrapper):
    """Mean of the margin's bias, `keras_softmaxes.ops.margin_bias`, over the examples.

        rho = log sum_{c != y} exp( f_c - max_{c != y} f_c ),   from 0 to log(C - 1)

    The larger it is, the more alike are the non-target logits and the larger the margin that the
    softmax cross-entropy asks for. The paper's Fig. 3 follows it during training.

    Args:
        ignore_class: a class, in range or not, whose examples (pixels) do not count.
        name: name of the metric.
        dtype: the type of the metric's result.

    Call arguments:
        y_true: (...) or (..., 1) integers, or (..., C) one-hot, `...` being any shape.
        y_pred: logits f, (..., C); in a `keras_softmaxes.models.Classifier` those of its head.
        sample_weight: weights of the examples, (...), or of the rows of the batch, (batch,).

    Attributes:
        reads: the head's tensor that a `Classifier` passes to it.

    Raises:
        ValueError: labels out of range or of neither form; fewer than two classes.

    Example:
        >>> import keras_softmaxes as ks
        >>> metric = ks.metrics.MarginBias()
        >>> metric.update_state([0], [[3.0, 1.0, 1.0]])
        >>> round(float(metric.result()), 4)  # log 2
        0.6931

    Reference:
        Kobayashi, Large Margin In Softmax Cross-Entropy Loss, BMVC 2019, Eq. 7
        (https://github.com/tk1980/LargeMarginInSoftmax).
    """

    reads = "logits"

    def __init__(
        self, ignore_class: int | None = None, name: str = "margin_bias", dtype: DType = None
    ) -> None:
        check_ignore_class(ignore_class)
        super().__init__(_values, name=name, dtype=dtype)
        self.ignore_class = None if ignore_class is None else int(ignore_class)

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Add the examples of a batch."""
        logits = read_logits("y_pred", y_pred)
        labels, counted = counted_classes(y_true, logits, self.ignore_class)
        weights = ops.cast(counted, logits.dtype)
        if sample_weight is not None:
            weights = weights * weights_like(sample_weight, weights)
        # Ignored examples may hold NaN. A weight of zero would leave it in the mean.
        values = ops.where(weights == 0, 0, margin_bias_of(labels, logits))
        super().update_state(values, y_pred, weights)


def _values(values: Tensor, y_pred: Tensor) -> Tensor:
    """Return the values, which take the labels' place: they are computed already."""
    return values
