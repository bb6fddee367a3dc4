"""What the metrics of several labels read."""

from ..support._arguments import Tensor, check_rows, invalid
from ..support._tensors import at_least_float32


def check_average(average: str | None, choices: tuple[str, ...]) -> str | None:
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
    if labels not in (None, scores.shape[1]):
        expected = f"shape (batch, {labels}), with as many labels as the first batch had"
        raise invalid("y_pred", expected, f"a tensor of shape {tuple(scores.shape)}")
    return scores
