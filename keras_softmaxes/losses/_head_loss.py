"""What the losses share."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import keras
from keras import ops

from ..ops._likelihood import (
    expected_negative_log_likelihood,
    negative_log_likelihood,
    reweighted,
)
from ..support._arguments import (
    Tensor,
    alike,
    check_logits,
    check_numbers,
    checked,
    invalid,
)
from ..support._configuration import serializable
from ..support._labels import SOFT, UNREADABLE, Labels, check_ignore_class, read_labels
from ..support._options import DType, Numbers, Reduction
from ..support._tensors import Computed, unmasked, weights_like
from ._linear import (
    PER_CLASS,
    are_linear,
    hold_linear,
    linear_likelihood,
    losses_by_rows,
    of_any_shape,
    read_linear,
)

# Of labels that were read, and of what the loss reads of a head: a number per example.
Function = Callable[[Tensor, dict[str, Tensor]], Tensor]
Functions = tuple[Function, Function]


@serializable
class HeadLoss(keras.losses.Loss):
    """Base of the losses that read a head's tensors.

    A head (`keras_softmaxes.layers.Head`) returns a dict of named tensors, and a loss names those
    that it reads. It trains any head that returns these; another head raises an error that names
    both. A plain tensor, as `Dense` returns it, is `{"logits": tensor}`.

    A loss of your own sets `reads` and overrides `call`, which receives the labels as integer
    classes and returns one number per example.

    Soft labels, rows that sum to 1 as MixUp, CutMix and distillation make them, mean the
    expectation of the loss over the label's distribution. The losses of this package have it in
    closed form, by `expectation`; a loss of your own takes rows with at most two classes, and is
    called once for each.

    Args:
        ignore_class: an integer, in the range of the classes or not (-1, 255). Examples (pixels)
            of this class have no part in the loss, and the mean is that of the others, as in Keras.
            Under `tf.distribute` each replica takes its own mean.
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type of the computation; None is `keras.config.floatx()`. Half precision is
            computed in float32, as a sum over classes would overflow.
        class_weight: a number of at least 0 for each class, by which the losses of its examples
            (pixels) are multiplied, as by sample weights; of a soft label the expectation of the
            weighted losses. Unlike that of `fit` it takes labels of any shape and sample weights
            beside it.
        logit_adjustment: a number for each class, added to the logits in the loss alone. Tau times
            the logarithm of the class's frequency, tau being 1 in the paper, corrects for rare
            classes as if the data were balanced (Menon et al., Long-tail Learning via Logit
            Adjustment, ICLR 2021, Eq. 10, https://arxiv.org/abs/2007.07314). A loss that reads
            probabilities p receives p_k exp(number_k), over their sum.

    Attributes:
        reads: the names of the tensors that the loss cannot do without.
        may_read: the names of those that it reads where the head returns them.
        default_name: the name if none is given; if this is None too, Keras makes one.

    Call arguments:
        y_true: (...) or (..., 1) whole numbers, or (..., K) one-hot or soft rows, told apart by
            static shape. `...` is any shape: (batch,), or (batch, height, width) for segmentation.
        y_pred: the head's dict of (..., K) tensors, or a tensor of logits.
        sample_weight: one number per example, (...) or (..., 1), or per row of the batch, (batch,),
            or a number.

    Raises:
        ValueError: `y_pred` without what the loss reads, or what a softmax returned in place of
            logits; labels out of range or of another shape; rows that do not sum to 1; weights of
            another shape. In a graph, as in `fit`, TensorFlow raises InvalidArgumentError for the
            values of labels; inside XLA or `jax.jit`, where nothing can be raised, they give NaN.

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
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
        dtype: DType = None,
        class_weight: Numbers | None = None,
        logit_adjustment: Numbers | None = None,
    ) -> None:
        check_ignore_class(ignore_class)
        super().__init__(reduction=reduction, name=name or self.default_name, dtype=dtype)
        self.ignore_class = None if ignore_class is None else int(ignore_class)
        self.class_weight = check_numbers("class_weight", class_weight, least=0)
        self.logit_adjustment = check_numbers("logit_adjustment", logit_adjustment)

    def __call__(
        self, y_true: Tensor, y_pred: Tensor | dict[str, Tensor], sample_weight: Tensor = None
    ) -> Tensor:
        """Return the weighted and reduced loss."""
        y_pred = y_pred if isinstance(y_pred, dict) else {"logits": _logits(y_pred, self.reads)}
        functions: Functions = (self.call, self.expectation)
        if are_linear(y_pred, self.reads):
            functions = self._of_linear(self.of_linear)
        functions = self._adjusted(functions[0]), self._adjusted(functions[1])
        names = self.reads, self.may_read
        data = y_true, y_pred, sample_weight
        return self._reduced(functions, names, data, self.reduction, self.class_weight)

    def evaluate(
        self, y_true: Tensor, y_pred: dict[str, Tensor], sample_weight: Tensor = None
    ) -> Tensor:
        """Return the mean negative log-likelihood of the probabilities.

        It is the loss of evaluation, and reads labels and weights as that of training does.
        """

        def likelihood(labels: Tensor, outputs: dict[str, Tensor]) -> Tensor:
            return self.negative_log_likelihood(labels, outputs["probabilities"])

        def expected(rows: Tensor, outputs: dict[str, Tensor]) -> Tensor:
            return expected_negative_log_likelihood(rows, outputs["probabilities"])

        reads = ("probabilities",)
        functions: Functions = (likelihood, expected)
        if are_linear(y_pred, reads):
            functions = self._of_linear(linear_likelihood)
        data = y_true, y_pred, sample_weight
        return self._reduced(functions, (reads, ()), data, "sum_over_batch_size", None)

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the loss of each example.

        Args:
            y_true: (...) int32, the class of each example.
            y_pred: of what the head returned the tensors that the loss reads, float32 or float64.

        Returns:
            (...).
        """
        raise NotImplementedError

    def expectation(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the expected loss of each example, whose label is a distribution.

        Here by two calls, for rows of at most two classes, as MixUp and CutMix make them; a loss
        whose expectation has a closed form overrides it.

        Args:
            y_true: (..., K), rows of numbers of at least 0 that sum to 1.
            y_pred: as for `call`.

        Returns:
            (...).
        """
        return _of_two_classes(self.call, type(self).__name__, y_true, y_pred)

    def of_linear(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the loss of each example, of linear logits that are not all in memory.

        It passes tiles of examples with all their logits to `call`, and computes them once more for
        the gradient. A loss that needs only sums over the classes overrides it.

        Args:
            y_true: (batch,) int32, the class of each example.
            y_pred: "features", (batch, features), "kernel", (K, features), and "bias", (K,), as
                `keras_softmaxes.layers.ManyClasses` returns them; with drawn classes also
                "sampled_classes" and "log_counts", (n,).

        Returns:
            (batch,).

        Raises:
            ValueError: drawn classes, which do not give the logits of all classes.
        """
        return losses_by_rows(self, y_true, y_pred)

    def read(self, y_true: Tensor, y_pred: Tensor) -> Labels:
        """Return the labels as `call` and `expectation` take them, read once.

        Args:
            y_true: as the loss takes them.
            y_pred: a tensor of the head, (..., K), or its symbolic `keras.KerasTensor`, of a batch
                that is None, where labels are read before the head is called.
        """
        return read_labels(y_true, y_pred, self.ignore_class)

    def negative_log_likelihood(self, y_true: Tensor, probabilities: Tensor) -> Tensor:
        """Return -log p_t of each example, from the labels that were read."""
        return negative_log_likelihood(y_true, probabilities)

    def adjust(self, y_pred: dict[str, Tensor], adjustment: Tensor) -> dict[str, Tensor]:
        """Return what the loss reads with the adjustment, (K,), added to the logits.

        Probabilities are those of the adjusted logits.

        Raises:
            ValueError: neither logits nor probabilities; a loss of other tensors overrides this.
        """
        adjusted = {
            name: y_pred[name] + adjustment for name in {"logits", "margin_logits"} & y_pred.keys()
        }
        if "probabilities" in y_pred:
            adjusted["probabilities"] = reweighted(y_pred["probabilities"], adjustment)
        if not adjusted:
            owner = type(self).__name__
            expected = f"None, as {owner} reads {_listed(y_pred)} and has no `adjust` of its own"
            raise invalid("logit_adjustment", expected, "numbers")
        return y_pred | adjusted

    def _of_linear(self, function: Function) -> Functions:
        """Return a function of linear logits and its expectation, of examples of any shape."""
        hard = of_any_shape(function)
        return hard, partial(_of_two_classes, hard, f"{type(self).__name__} of linear logits")

    def _adjusted(self, function: Function) -> Function:
        numbers = self.logit_adjustment
        if numbers is None:
            return function

        def adjusted(labels: Tensor, outputs: dict[str, Tensor]) -> Tensor:
            if hold_linear(outputs):
                adjustment = _of_classes("logit_adjustment", numbers, outputs["bias"])
                return function(labels, outputs | {"bias": outputs["bias"] + adjustment})
            adjustment = _of_classes("logit_adjustment", numbers, next(iter(outputs.values())))
            return function(labels, self.adjust(outputs, adjustment))

        return adjusted

    def _reduced(
        self,
        functions: Functions,
        names: Any,
        data: tuple[Any, dict[str, Tensor], Any],
        reduction: Any,
        class_weight: Any,
    ) -> Tensor:
        """Return the mean of a function of labels and outputs, weighted, masked and reduced."""
        y_true, y_pred, sample_weight = data
        reduce = ReductionOnly(
            self.name, reduction, keras.backend.result_type(self.dtype, "float32")
        )
        reads, may_read = names
        check_names(self, reads, y_pred)
        if are_linear(y_pred, reads):
            outputs, first = read_linear(y_pred, reduce.dtype)
            masked = y_pred["features"]
        else:
            outputs, first = _read_each(y_pred, (*reads, *may_read), reduce.dtype)
            masked = y_pred[reads[0]]
        labels = self.read(y_true, first)
        counted = None if self.ignore_class is None else labels.classes != self.ignore_class
        if counted is not None:
            # Ignored examples may hold NaN. A weight of zero would leave it in the gradient.
            is_kept = ops.expand_dims(counted, axis=-1)
            of_examples = outputs.keys() - PER_CLASS
            outputs |= {name: ops.where(is_kept, outputs[name], 0) for name in of_examples}
            labels = labels._replace(classes=ops.where(counted, labels.classes, 0))
        of_classes, labels = _weighted(class_weight, labels, first)
        losses = _hard_or_soft(functions, labels, outputs)
        weights = None
        if counted is not None:
            losses = ops.where(counted, losses, 0)
            weights = reduce.counted_weights(ops.cast(counted, losses.dtype), masked)
        for given in (sample_weight, of_classes):
            if given is not None:
                # One per example: Keras's weighted mean divides by the sum of what it is given.
                ones = ops.ones_like(losses) if weights is None else weights
                weights = ones * weights_like(given, losses)
        return reduce(losses, masked, weights)


class ReductionOnly(Computed):
    """Losses that are computed already, of which some examples may be ignored."""

    def counted_weights(self, counted: Tensor, y_pred: Tensor) -> Tensor:
        """Return the weights under which Keras treats ignored examples as it does masked ones.

        Keras takes the mean of a loss over the examples that are not masked.
        """
        if self.reduction not in ("sum_over_batch_size", "mean"):
            return counted
        mask = unmasked(counted, y_pred)
        return counted * ops.divide_no_nan(ops.sum(mask), ops.sum(mask * counted))


def check_names(loss: Any, reads: Iterable[str], names: Iterable[str]) -> None:
    """Raise ValueError unless the names of a head's tensors hold all that a loss reads."""
    if not set(reads) <= set(names) and not are_linear(names, reads):
        owner = type(loss).__name__
        expected = f"a head that returns {_listed(reads)}, which `{owner}` reads"
        if hold_linear(names):
            expected += ", as the head of its own; of many classes a loss can read the logits alone"
        raise invalid("loss", expected, f"{owner}, of a head that returns {_listed(names)}")


def _logits(y_pred: Tensor, reads: Iterable[str]) -> Tensor:
    """Return a plain tensor; raise ValueError if it is known not to be the logits that are read."""
    # By this Keras's own losses know what a softmax or a sigmoid returned.
    if "logits" in reads and getattr(y_pred, "_keras_logits", None) is not None:
        expected = "logits, as a last `Dense` without an activation returns them"
        raise invalid("y_pred", expected, "what a softmax or a sigmoid returned")
    return y_pred


def _read_each(
    y_pred: dict[str, Tensor], names: Iterable[str], dtype: Any
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the tensors that a loss reads, (..., K) each, and the first of them."""
    outputs = {
        name: ops.convert_to_tensor(y_pred[name], dtype=dtype) for name in names if name in y_pred
    }
    first, like = next(iter(outputs.items()))
    check_logits(first, like)
    return dict(zip(outputs, alike(**outputs), strict=True)), like


def _of_two_classes(
    function: Function, owner: str, rows: Tensor, outputs: dict[str, Tensor]
) -> Tensor:
    """Return the expected value of a function of classes, of rows of at most two."""
    places = ops.arange(rows.shape[-1], dtype="int32")
    first = ops.cast(ops.argmax(rows, axis=-1), "int32")
    others = ops.where(places == ops.expand_dims(first, axis=-1), 0, rows)
    second = ops.cast(ops.argmax(others, axis=-1), "int32")
    shares = ops.max(rows, axis=-1), ops.max(others, axis=-1)
    is_of_two = ops.sum(rows, axis=-1) - sum(shares) < 1e-4
    expected = f"rows of at most two classes, as {owner} takes soft labels"
    shares, first, second = checked((shares, first, second), is_of_two, "labels", expected, rows)
    losses = sum(
        ops.where(share == 0, 0, share * function(each, outputs))
        for share, each in zip(shares, (first, second), strict=True)
    )
    return ops.where(is_of_two, losses, float("nan"))


def _hard_or_soft(functions: Functions, labels: Labels, outputs: dict[str, Tensor]) -> Tensor:
    """Return the losses of classes, as long as no row of the batch is soft."""
    hard, soft = functions
    is_readable = labels.classes != UNREADABLE
    if labels.rows is None:
        losses = hard(labels.classes, outputs)
        if "int" not in keras.backend.standardize_dtype(labels.classes.dtype):
            return losses  # of several labels, each of which is read by itself
        return ops.where(is_readable, losses, float("nan"))
    is_hard = ops.all(labels.classes > SOFT)
    if keras.backend.backend() == "tensorflow" and not hold_linear(outputs):
        losses = ops.cond(
            is_hard,
            lambda: hard(labels.classes, outputs),
            lambda: soft(labels.rows, outputs),
        )
    else:  # both: on JAX, and by tiles, no custom gradient knows what a branch got from outside
        expected = soft(labels.rows, outputs)
        losses = ops.where(is_hard, hard(ops.maximum(labels.classes, 0), outputs), expected)
    return ops.where(is_readable, losses, float("nan"))


def _weighted(class_weight: Any, labels: Labels, like: Tensor) -> tuple[Tensor | None, Labels]:
    """Return the weights of the examples, and their labels.

    A soft label p weighs sum_k w_k p_k, and is then w_k p_k over that sum: their product is the
    expectation of the weighted losses.
    """
    if class_weight is None:
        return None, labels
    weights = _of_classes("class_weight", class_weight, like)
    if labels.rows is None:
        return ops.take(weights, ops.maximum(labels.classes, 0)), labels
    rows = labels.rows * weights
    total = ops.sum(rows, axis=-1)
    share = ops.expand_dims(ops.where(total == 0, 1, total), axis=-1)
    rows = ops.where(ops.expand_dims(total == 0, axis=-1), labels.rows, rows / share)
    return total, labels._replace(rows=rows)


def _of_classes(argument: str, numbers: list[float], like: Tensor) -> Tensor:
    if len(numbers) != like.shape[-1]:
        raise invalid(argument, f"{like.shape[-1]} numbers, one per class", f"{len(numbers)}")
    return ops.convert_to_tensor(numbers, dtype=like.dtype)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
