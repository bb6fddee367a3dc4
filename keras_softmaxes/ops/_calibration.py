"""Calibration: whether a class is right as often as its probability says.

Notation: c the confidence of an example, a its hit (1 where the class is right, else 0), w its
weight. A column has the confidences of one class, or those of the most likely class of each
example. Sums over a bin are of the weights, of the surplus w (c - a), and of the hits w a; the
surplus is summed itself, so that it keeps its digits.
"""

from keras import ops

from ..support._arguments import (
    MOST,
    Tensor,
    agree,
    check_boolean,
    check_integer,
    check_rows,
    invalid,
    readable_weights,
    static_shape,
)
from ..support._labels import class_indices, one_hot_rows
from ..support._tensors import largest, read_probabilities

NORMS = ("l1", "l2", "max")


def reliability(
    labels: Tensor,
    probabilities: Tensor,
    weights: Tensor,
    bins: int = 15,
    adaptive: bool = False,
    class_wise: bool = False,
) -> dict[str, Tensor]:
    """The reliability diagram: how often the class is right, by how probable it was said to be.

    The confidence of an example is its largest probability, and its class the one of that. Bins are
    equally wide, [b / B, (b + 1) / B), or, adaptively, hold equal weight of examples. Then one
    example may count in two bins, and examples of equal confidence are shared evenly.

    Args:
        labels: (examples,) or (examples, 1) integers, or (examples, classes) one-hot.
        probabilities: (examples, classes), a known number of examples.
        weights: (examples,), at least 0. An example of weight 0 is as if it were absent.
        bins: their number B, at least 1.
        adaptive: whether each bin holds the same weight.
        class_wise: whether each class is judged by its own probabilities, be it the most likely or
            not.

    Returns:
        A dict of tensors (bins,), or class-wise (classes, bins), each 0 where a bin is empty:
        "weight", "confidence", the mean of it, and "accuracy", the share of hits.

    Raises:
        ValueError: shapes that do not agree; labels out of range; rows that are no probabilities;
            weights below 0; bins that are not an integer of at least 1. In a graph TensorFlow
            raises InvalidArgumentError for values; inside XLA or `jax.jit` they give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> probabilities = [[0.9, 0.1], [0.3, 0.7], [0.2, 0.8]]
        >>> found = ks.ops.reliability([0, 1, 0], probabilities, [1, 1, 1], bins=2)
        >>> found["confidence"].numpy().round(4), found["accuracy"].numpy().round(4)
        (array([0. , 0.8], dtype=float32), array([0.    , 0.6667], dtype=float32))

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2
        (https://arxiv.org/abs/1706.04599). Equal weight: Nixon et al., Measuring Calibration in
        Deep Learning, 2019 (https://arxiv.org/abs/1904.01685).
    """
    bins = int(check_integer("bins", bins, least=1, most=MOST))
    check_boolean("adaptive", adaptive)
    check_boolean("class_wise", class_wise)
    probabilities = read_probabilities("probabilities", probabilities)
    check_rows("probabilities", probabilities)
    weights = read_weights(weights, probabilities)
    columns = judged_columns(
        class_indices(labels, probabilities), probabilities, weights, class_wise
    )
    sums = bin_sums(*columns, bins, adaptive)
    weight, surplus, hits = ops.unstack(sums if class_wise else sums[:, 0], 3)
    accuracy = ops.divide_no_nan(hits, weight)
    confidence = accuracy + ops.divide_no_nan(surplus, weight)
    return {"weight": weight, "confidence": confidence, "accuracy": accuracy}


def read_weights(weights: Tensor, examples: Tensor) -> Tensor:
    """Return weights, (examples,), in the type of the examples, (examples, ...).

    A negative weight is NaN where it cannot raise.
    """
    weights = ops.convert_to_tensor(weights, dtype=examples.dtype)
    count = examples.shape[0]
    if count is None:
        expected = "a known number of examples"
        raise invalid("weights", expected, f"one for each of {tuple(examples.shape)}")
    shape = static_shape("weights", weights)
    if not agree(shape, (count,)):
        raise invalid("weights", f"shape ({count},), as there are examples", f"shape {shape}")
    return readable_weights("weights", weights)


def judged_columns(
    classes: Tensor, probabilities: Tensor, weights: Tensor, class_wise: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return confidences, hits and weights: of each class, or of the most likely one.

    Args:
        classes: (examples,) int32, as `class_indices` returns it.
        probabilities: (examples, classes).
        weights: (examples,).
        class_wise: which of the two.

    Returns:
        Three tensors (examples, columns). A label that could not be read makes its confidences NaN.
    """
    weights = ops.expand_dims(weights, axis=-1)
    if class_wise:
        hits = one_hot_rows(classes, probabilities)
        confidences = ops.where(ops.isnan(hits), hits, probabilities)
        return confidences, hits, weights + ops.zeros_like(hits)
    confidences = largest(probabilities)
    likeliest = ops.cast(ops.argmax(probabilities, axis=-1), "int32")
    hits = ops.cast(ops.expand_dims(likeliest == classes, -1), probabilities.dtype)
    readable = ops.expand_dims(classes >= 0, -1)
    return ops.where(readable, confidences, float("nan")), hits, weights


def bin_sums(
    confidences: Tensor, hits: Tensor, weights: Tensor, bins: int, adaptive: bool
) -> Tensor:
    """Return the sums of each bin, (3, columns, bins): of the weight, the surplus and the hits.

    Args:
        confidences: (examples, columns).
        hits: (examples, columns).
        weights: (examples, columns).
        bins: their number.
        adaptive: whether they hold equal weight. If not, sums of batches add up.
    """
    # What has no weight may hold NaN.
    confidences, hits = (ops.where(weights == 0, 0, each) for each in (confidences, hits))
    sums = ops.stack([weights, weights * (confidences - hits), weights * hits])
    return (_equal_mass if adaptive else _equal_width)(confidences, sums, bins)


def _equal_width(confidences: Tensor, sums: Tensor, bins: int) -> Tensor:
    columns = confidences.shape[1]
    unknown = ops.isnan(confidences)
    places = ops.cast(ops.where(unknown, 0, confidences) * bins, "int32")
    places = ops.minimum(places, bins - 1) + bins * ops.arange(columns, dtype="int32")
    of_bins = ops.segment_sum(
        ops.transpose(ops.reshape(sums, (3, -1))), ops.reshape(places, (-1,)), columns * bins
    )
    return ops.reshape(ops.transpose(of_bins), (3, columns, bins))


def _equal_mass(confidences: Tensor, sums: Tensor, bins: int) -> Tensor:
    """Return differences of the running sums at equal steps of the weight.

    Between two confidences, and so within one that examples share, they are straight lines.
    """
    order = ops.argsort(confidences, axis=0)
    ranked = ops.take_along_axis(confidences, order, axis=0)
    running = ops.cumsum(ops.take_along_axis(sums, order[None], axis=1), axis=1)
    start = ops.zeros_like(ops.sum(running, axis=1, keepdims=True))
    running = ops.concatenate([start, running], axis=1)
    ends = ops.ones_like(start[0], dtype="bool")
    is_last = ops.concatenate([ends, ranked[1:] != ranked[:-1], ends])[: running.shape[1]]
    seen, total = running[0], running[0, -1]

    def at(share: float) -> Tensor:
        mass = share * total
        below = ops.argmax(ops.where(is_last & (seen <= mass), seen, -1), axis=0)
        above = ops.argmin(ops.where(is_last & (seen >= mass), seen, float("inf")), axis=0)
        low, high = (
            ops.take_along_axis(running, ops.cast(each, "int32")[None, None], axis=1)[:, 0]
            for each in (below, above)
        )
        return low + (high - low) * ops.divide_no_nan(mass - low[0], high[0] - low[0])

    steps = [running[:, 0], *(at(edge / bins) for edge in range(1, bins)), running[:, -1]]
    unknown = ops.any(ops.isnan(running[:, -1]), axis=0)[:, None]
    return ops.where(unknown, float("nan"), ops.diff(ops.stack(steps, axis=-1), axis=-1))


def calibration_error_of(sums: Tensor, norm: str) -> Tensor:
    """Return the calibration error, the mean over the columns.

    Args:
        sums: of the bins, as `bin_sums` returns them.
        norm: one of `NORMS`.

    Returns:
        A number, 0 where nothing has weight.
    """
    weight, surplus, _ = ops.unstack(sums, 3)
    share = ops.divide_no_nan(weight, ops.sum(weight, axis=-1, keepdims=True))
    gap = ops.abs(ops.divide_no_nan(surplus, weight))
    if norm == "l1":
        errors = ops.sum(share * gap, axis=-1)
    elif norm == "l2":
        errors = ops.sqrt(ops.sum(share * ops.square(gap), axis=-1))
    else:
        errors = ops.max(gap, axis=-1)
    unknown = ops.any(ops.isnan(surplus), axis=-1)
    return ops.mean(ops.where(unknown, float("nan"), errors))
