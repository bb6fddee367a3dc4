"""The accuracy of a head of many classes."""

import keras
from keras import ops

from ..ops._linear_top_k import linear_ranks_of
from ..ops._tiles import logits_spec, read_linear
from ..support._arguments import Tensor, check_integer, invalid
from ..support._configuration import serializable
from ..support._labels import check_ignore_class, counted_classes
from ..support._options import DType
from ..support._tensors import weights_like


@serializable
class TopKAccuracy(keras.metrics.MeanMetricWrapper):
    """Share of the examples whose class is among the k first, for a head of many classes.

    The head, `keras_softmaxes.layers.ManyClasses`, computes no probabilities that Keras's
    accuracies could read. The metric costs one more pass through the classes: one product, where
    the loss and its gradient take four.

    Args:
        k: how many classes count as right, at least 1; 1 is the accuracy.
        ignore_class: a class, in range or not, whose examples do not count.
        name: name of the metric.
        dtype: the type of the metric's result.

    Call arguments:
        y_true: (...) or (..., 1) integers, or (..., C) one-hot, `...` being any shape.
        y_pred: a dict of "features", (..., d), "kernel", (C, d), and "bias", (C,).
        sample_weight: weights of the examples, (...), or of the rows of the batch, (batch,).

    Attributes:
        reads: the head's tensors that a `keras_softmaxes.models.Classifier` passes to it.

    Raises:
        ValueError: a k that is no integer of at least 1; labels out of range or of neither form;
            probabilities, as a dense head has them.

    Example:
        >>> import keras_softmaxes as ks
        >>> metric = ks.metrics.TopKAccuracy()
        >>> kernel, bias = [[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]
        >>> outputs = {"features": [[3.0, 1.0], [3.0, 1.0]], "kernel": kernel, "bias": bias}
        >>> metric.update_state([0, 1], outputs)
        >>> float(metric.result())
        0.5
    """

    reads = ("features", "kernel", "bias")

    def __init__(
        self,
        k: int = 1,
        ignore_class: int | None = None,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        self.k = int(check_integer("k", k, least=1))
        check_ignore_class(ignore_class)
        own = "accuracy" if self.k == 1 else f"top_{self.k}_accuracy"
        super().__init__(_values, name=name or own, dtype=dtype)
        self.ignore_class = None if ignore_class is None else int(ignore_class)

    def update_state(
        self, y_true: Tensor, y_pred: dict[str, Tensor], sample_weight: Tensor = None
    ) -> None:
        """Add the examples of a batch."""
        if not isinstance(y_pred, dict) or not set(self.reads) <= y_pred.keys():
            expected = (
                f"a dict of {', '.join(map(repr, self.reads))}; of probabilities the metric is "
                "`keras.metrics.SparseTopKCategoricalAccuracy`"
            )
            raise invalid("y_pred", expected, f"a {type(y_pred).__name__}")
        linear = read_linear(*(y_pred[name] for name in self.reads))
        labels, counted = counted_classes(y_true, logits_spec(linear), self.ignore_class)
        weights = ops.cast(counted, linear.features.dtype)
        if sample_weight is not None:
            weights = weights * weights_like(sample_weight, weights)
        is_right = ops.cast(linear_ranks_of(labels, linear) < self.k, weights.dtype)
        super().update_state(is_right, linear.features, weights)


def _values(values: Tensor, y_pred: Tensor) -> Tensor:
    """Return the values, which take the labels' place: they are computed already."""
    return values
