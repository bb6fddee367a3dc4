"""The bias of the margin."""

from typing import Any

import keras
from keras import ops

from keras_softmaxes.ops.checks import Tensor
from keras_softmaxes.ops.labels import counted_classes
from keras_softmaxes.ops.margin import margin_bias


@keras.saving.register_keras_serializable(package="keras_softmaxes")
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
        y_pred: logits f, (..., C). The heads that need a `keras_softmaxes.models.Classifier` give
            their metrics probabilities, of which the bias means nothing.
        sample_weight: weights of the examples, (...).

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

    def __init__(
        self, ignore_class: int | None = None, name: str = "margin_bias", dtype: Any = None
    ) -> None:
        super().__init__(margin_bias, name=name, dtype=dtype)
        self.ignore_class = ignore_class

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        """Add the examples of a batch."""
        if self.ignore_class is not None:
            y_true, counted = counted_classes(y_true, y_pred, self.ignore_class)
            weights = ops.cast(counted, self.dtype)
            sample_weight = weights if sample_weight is None else weights * sample_weight
        super().update_state(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"ignore_class": self.ignore_class, "name": self.name, "dtype": self.dtype}
