"""What the losses share."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from ..ops._likelihood import negative_log_likelihood
from ..support._arguments import Tensor, check_logits, check_same_shape, invalid
from ..support._configuration import serializable
from ..support._labels import check_ignore_class, class_indices, counted_classes
from ..support._tensors import weights_like


@serializable
class HeadLoss(keras.losses.Loss):
    """Base of the losses of what a head returns.

    A head (`keras_softmaxes.layers.Head`) returns a dict of named tensors, and a loss says by name
    what it reads of them. It trains any head that has these; another one is refused, with the names
    of both. A plain tensor, as `Dense` returns it, is `{"logits": tensor}`.

    A loss of your own sets `reads` and overrides `call`, which receives the labels as they were
    read, in one place and once, and returns one number per example.

    Args:
        ignore_class: an integer, in the range of the classes or not (-1, 255). Examples (pixels)
            of this class have no part in the loss, and the mean is that of the others, as in Keras.
            Under `tf.distribute` each replica takes its own mean.
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type the loss is computed in, None being `keras.config.floatx()`; float32 takes
            the place of half precision, which a sum over classes soon leaves.

    Attributes:
        reads: the names of the tensors that the loss cannot do without.
        may_read: the names of those that it reads where the head returns them.
        default_name: its name where it is given none; where this is None too, one that Keras makes.

    Call arguments:
        y_true: (...) or (..., 1) integers, or (..., K) one-hot, told apart by static shape and
            type. `...` is any shape: (batch,), or (batch, height, width) for segmentation.
        y_pred: the head's dict of (..., K) tensors, or a tensor of logits.
        sample_weight: one number per example, (...) or (..., 1), or per row of the batch, (batch,),
            or a number.

    Raises:
        ValueError: `y_pred` that has not what the loss reads; labels out of range, of another
            shape, or float labels that are not one-hot; weights of another shape. In a graph, as in
            `fit`, TensorFlow raises InvalidArgumentError for the values of labels; inside XLA or
            `jax.jit`, where nothing can be raised, they give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> class Brier(ks.losses.HeadLoss):
        ...     reads = ("probabilities",)
        ...
        ...     def call(self, y_true, y_pred):
        ...         target = keras.ops.one_hot(y_true, y_pred["probabilities"].shape[-1])
        ...         return keras.ops.sum((y_pred["probabilities"] - target) ** 2, axis=-1)
        >>> float(Brier()([0], {"probabilities": [[0.5, 0.5]]}))
        0.5
    """

    reads: tuple[str, ...] = ("logits",)
    may_read: tuple[str, ...] = ()
    default_name: str | None = None

    def __init__(
        self,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_ignore_class(ignore_class)
        super().__init__(reduction=reduction, name=name or self.default_name, dtype=dtype)
        self.ignore_class = None if ignore_class is None else int(ignore_class)

    def __call__(
        self, y_true: Tensor, y_pred: Tensor | dict[str, Tensor], sample_weight: Tensor = None
    ) -> Tensor:
        """Return the weighted and reduced loss."""
        names = self.reads, self.may_read
        return self._reduced(self.call, names, (y_true, y_pred, sample_weight), self.reduction)

    def evaluate(
        self, y_true: Tensor, y_pred: dict[str, Tensor], sample_weight: Tensor = None
    ) -> Tensor:
        """Return the mean negative log-likelihood of the probabilities.

        It reads labels and weights as the loss does, which it is the counterpart of in evaluation.
        """

        def likelihood(labels: Tensor, outputs: dict[str, Tensor]) -> Tensor:
            return self.negative_log_likelihood(labels, outputs["probabilities"])

        data = y_true, y_pred, sample_weight
        return self._reduced(likelihood, (("probabilities",), ()), data, "sum_over_batch_size")

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the loss of each example.

        Args:
            y_true: (...) int32, the class of each example.
            y_pred: of what the head returned the tensors that the loss reads, float32 or float64.

        Returns:
            (...).
        """
        raise NotImplementedError

    def read(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the labels as `call` takes them: (...) int32 classes, read once.

        Args:
            y_true: as the loss takes them.
            y_pred: a tensor of the head, (..., K).
        """
        return class_indices(y_true, y_pred)

    def negative_log_likelihood(self, y_true: Tensor, probabilities: Tensor) -> Tensor:
        """Return -log p_t of each example, from the labels that were read."""
        return negative_log_likelihood(y_true, probabilities)

    def _reduced(self, function: Any, names: Any, data: tuple[Any, ...], reduction: Any) -> Tensor:
        """Return the mean of a function of labels and outputs, weighted, masked and reduced."""
        y_true, y_pred, sample_weight = data
        reduce = ReductionOnly(
            self.name, reduction, keras.backend.result_type(self.dtype, "float32")
        )
        y_pred = y_pred if isinstance(y_pred, dict) else {"logits": y_pred}
        reads, may_read = names
        check_names(self, reads, y_pred)
        outputs = {
            name: ops.convert_to_tensor(y_pred[name], dtype=reduce.dtype)
            for name in (*reads, *may_read)
            if name in y_pred
        }
        first, masked = outputs[reads[0]], y_pred[reads[0]]
        check_logits(reads[0], first)
        check_same_shape(**outputs)
        if self.ignore_class is None:
            losses = function(self.read(y_true, first), outputs)
            weights = None
        else:
            labels, counted = counted_classes(y_true, first, self.ignore_class)
            # What is ignored may hold NaN, of which no zero weight would rid the gradient.
            is_kept = ops.expand_dims(counted, axis=-1)
            outputs = {name: ops.where(is_kept, each, 0) for name, each in outputs.items()}
            losses = ops.where(counted, function(labels, outputs), 0)
            weights = reduce.counted_weights(ops.cast(counted, losses.dtype), masked)
        if sample_weight is not None:
            # One for each example: Keras's weighted mean divides by the sum of what it is given.
            ones = ops.ones_like(losses) if weights is None else weights
            weights = ones * weights_like(sample_weight, losses)
        return reduce(losses, masked, weights)


class ReductionOnly(keras.losses.Loss):
    """Keras's own masking, weighting and reduction, for losses that are computed already."""

    def __init__(self, name: str, reduction: str | None, dtype: str) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the losses, which take the labels' place."""
        return y_true

    def counted_weights(self, counted: Tensor, y_pred: Tensor) -> Tensor:
        """Return the weights under which Keras treats ignored examples as it does masked ones.

        Keras takes the mean of a loss over the examples that are not masked.
        """
        if self.reduction not in ("sum_over_batch_size", "mean"):
            return counted
        mask = ReductionOnly("mask", None, counted.dtype)(ops.ones_like(counted), y_pred)
        return counted * ops.divide_no_nan(ops.sum(mask), ops.sum(mask * counted))


def check_names(loss: Any, reads: Iterable[str], names: Iterable[str]) -> None:
    """Raise ValueError unless the names of a head's tensors hold all that a loss reads."""
    if not set(reads) <= set(names):
        owner = type(loss).__name__
        expected = f"a head that returns {_listed(reads)}, which `{owner}` reads"
        raise invalid("loss", expected, f"{owner}, of a head that returns {_listed(names)}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
