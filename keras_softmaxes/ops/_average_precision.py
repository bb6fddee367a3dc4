"""Average precision of ranked examples."""

from keras import ops

from ..support._arguments import Tensor, agree, check_rows, invalid, static_shape
from ..support._labels import multi_hot
from ..support._tensors import at_least_float32


def average_precision(labels: Tensor, scores: Tensor, weights: Tensor) -> Tensor:
    """Average precision of each label, the examples ranked by its score.

        AP_i = sum_k P_i(k) rel_i(k) / sum_k rel_i(k)

    rel_i(k) is 1 if the example at rank k has label i, else 0; P_i(k) is the weighted share of the
    examples down to rank k that have it. Examples of equal score share one rank, the last one of
    theirs, as in scikit-learn's `average_precision_score`.

    Args:
        labels: (examples, labels), of zeros and ones.
        scores: (examples, labels), a known number of examples; higher where a label is more likely,
            as logits or probabilities are.
        weights: (examples,), or (examples, labels), at least 0. An example of weight 0 is as if it
            were absent.

    Returns:
        (labels,), in [0, 1]; 0 for a label that no example has, NaN for one with a score of NaN.

    Raises:
        ValueError: shapes that do not agree; fewer than 2 labels; labels that are not 0 or 1.

    Example:
        >>> import keras_softmaxes as ks
        >>> scores = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]
        >>> ks.ops.average_precision([[1, 1], [0, 0], [1, 0]], scores, [1, 1, 1]).numpy().round(4)
        array([0.8333, 0.3333], dtype=float32)

    Reference:
        Luo et al., G-softmax, IEEE TNNLS 2019, Eq. 21 (https://arxiv.org/abs/1904.04317).
    """
    scores = at_least_float32(scores)
    check_rows("scores", scores)
    if scores.shape[0] is None:
        raise invalid("scores", "a known number of examples", f"a tensor of shape {scores.shape}")
    present = multi_hot(labels, scores)
    weights = ops.convert_to_tensor(weights, dtype=scores.dtype)
    shape, (examples, _) = static_shape("weights", weights), scores.shape
    if not agree(shape, (examples,)) and not agree(shape, scores.shape):
        expected = f"shape ({examples},) or {tuple(scores.shape)}, as there are examples"
        raise invalid("weights", expected, f"a tensor of shape {shape}")
    if len(shape) == 1:
        weights = ops.broadcast_to(ops.reshape(weights, (examples, 1)), scores.shape)
    return average_precision_of(present, scores, weights)


def average_precision_of(present: Tensor, scores: Tensor, weights: Tensor) -> Tensor:
    """Return `average_precision` of columns that were read, (examples, columns) each."""
    scores = ops.where(weights > 0, scores, 0)
    order = ops.argsort(-scores, axis=0)
    ranked, found, seen = (
        ops.take_along_axis(each, order, axis=0) for each in (scores, present * weights, weights)
    )
    found, seen = ops.cumsum(found, axis=0), ops.cumsum(seen, axis=0)
    is_last = ops.concatenate([ranked[1:] != ranked[:-1], ops.ones_like(ranked[:1], dtype="bool")])
    # What was found up to the last rank that counted; it only rises where a rank counts.
    reached = running_maximum(ops.where(is_last, found, 0))
    gained = ops.diff(ops.concatenate([ops.zeros_like(reached[:1]), reached]), axis=0)
    area = ops.sum(gained * ops.divide_no_nan(found, seen), axis=0)
    is_nan = ops.any(ops.isnan(scores), axis=0)
    total = ops.max(found, axis=0, initial=0)  # the last, where there is any
    return ops.where(is_nan, float("nan"), ops.divide_no_nan(area, total))


def running_maximum(values: Tensor) -> Tensor:
    """Return the largest of the rows up to each, by comparing rows 1, 2, 4, ... apart."""
    distance = 1
    while distance < values.shape[0]:
        earlier = ops.concatenate([values[:distance], values[:-distance]])
        values, distance = ops.maximum(values, earlier), 2 * distance
    return values
