"""What the metrics read."""

from keras import ops

from ..support._arguments import Choice, Tensor, check_rows, checked, invalid
from ..support._labels import MISSING, class_indices, multi_hot_or_missing
from ..support._tensors import (
    at_least_float32,
    read_logits,
    read_probabilities,
    unmasked,
    weights_of,
)


def check_average(average: Choice | None, choices: tuple[str, ...]) -> Choice | None:
    """Return the name of an average over labels, or None for none; raise ValueError for others."""
    if average is not None and not (isinstance(average, str) and average in choices):
        expected = f"one of {', '.join(map(repr, choices))}, or None, a number for each label"
        raise invalid("average", expected, repr(average))
    return average


def read_scores(y_pred: Tensor, labels: int | None) -> Tensor:
    """Return scores of at least float32, of as many labels as in the batches before.

    Args:
        y_pred: (batch, labels), probabilities or logits.
        labels: how many labels the first batch had, None where this is the first.

    Raises:
        ValueError: scores of another shape.
    """
    scores = at_least_float32(y_pred)
    check_rows("y_pred", scores)
    check_width(scores, labels)
    return scores


def check_width(y_pred: Tensor, known: int | None) -> None:
    """Raise ValueError where the first batch had another number of labels or classes."""
    if known not in (None, y_pred.shape[-1]):
        expected = f"shape (batch, {known}), with as many labels as the first batch had"
        raise invalid("y_pred", expected, f"a tensor of shape {tuple(y_pred.shape)}")


def read_examples(
    y_true: Tensor, y_pred: Tensor, sample_weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the classes, probabilities and weights of a batch, each pixel being an example.

    Args:
        y_true: (...) or (..., 1) integers, or (..., classes) one-hot.
        y_pred: probabilities, (..., classes).
        sample_weight: weights of the examples, (...), or of the rows of the batch, (batch,), a
            number, or None for 1, at least 0. Where Keras's mask of padding is on y_pred, an
            example that is masked has none.

    Returns:
        (examples,), (examples, classes) and (examples,). What has no weight is equally likely to be
        of any class, NaN though it may be.

    Raises:
        ValueError: shapes or values that do not fit.
    """
    scores = read_logits("y_pred", y_pred)
    weights = _counted(sample_weight, scores, y_pred)
    probabilities = read_probabilities("y_pred", y_pred, weights)
    labels = ops.reshape(class_indices(y_true, scores), (-1,))
    return labels, ops.reshape(probabilities, (-1, scores.shape[-1])), ops.reshape(weights, (-1,))


def read_labelled(
    y_true: Tensor, y_pred: Tensor, sample_weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the labels, probabilities and weights of a batch of several labels per example.

    Args:
        y_true: (..., labels), of zeros and ones, and NaN where a label is missing.
        y_pred: probabilities of the labels, (..., labels).
        sample_weight: as for `read_examples`.

    Returns:
        Three tensors (examples, labels). A label that is missing has no weight, and what has none
        the probability 0, NaN though it may be.

    Raises:
        ValueError: shapes or values that do not fit.
    """
    scores = read_logits("y_pred", y_pred)
    present = multi_hot_or_missing(y_true, scores)
    weights = ops.expand_dims(_counted(sample_weight, scores, y_pred), axis=-1)
    weights = ops.where(present == MISSING, 0, weights)
    scores = ops.where(weights == 0, 0, scores)
    readable = (scores >= 0) & (scores <= 1)
    expected = "probabilities of the labels, from 0 to 1"
    scores = checked(scores, readable | ops.isnan(scores), "y_pred", expected, scores)
    scores = ops.where(readable, scores, float("nan"))
    present, scores, weights = (
        ops.reshape(each, (-1, scores.shape[-1])) for each in (present, scores, weights)
    )
    return present, scores, weights


def _counted(sample_weight: Tensor, scores: Tensor, y_pred: Tensor) -> Tensor:
    """Return the weights of the examples, (...), 0 where Keras's mask is on `y_pred`."""
    examples = scores[..., 0]
    return weights_of(sample_weight, examples) * unmasked(examples, y_pred)
