"""The hinge loss of multiclass classification, averaged over the classes."""

from keras import ops

from ..support._arguments import Tensor
from ..support._labels import at_target, one_hot
from ..support._tensors import read_logits


def mean_multiclass_hinge(labels: Tensor, logits: Tensor) -> Tensor:
    """Mean over the non-target classes of the hinge.

        1 / (C - 1) sum_{c != y} max(0, f_c - f_y + 1)

    The hinge of Crammer and Singer takes the largest of these terms; the mean gives every logit
    that violates the margin a gradient.

    Args:
        labels: y, (...) or (..., 1) integers, or (..., classes) one-hot.
        logits: f, (..., classes).

    Returns:
        (...), in float32 for logits in half precision.

    Raises:
        ValueError: labels out of range or neither form; logits of another rank; fewer than 2
            classes.

    Example:
        >>> import keras_softmaxes as ks
        >>> float(ks.ops.mean_multiclass_hinge([0], [[2.0, 1.5, 0.0]])[0])
        0.25

    Reference:
        Kobayashi, Large Margin In Softmax Cross-Entropy Loss, BMVC 2019, Eq. 14
        (https://github.com/tk1980/LargeMarginInSoftmax).
    """
    logits = read_logits("logits", logits)
    target = one_hot(labels, logits)
    differences = logits - ops.expand_dims(at_target(target, logits), -1)
    violations = (1 - target) * ops.relu(differences + 1)
    return ops.sum(violations, axis=-1) / (logits.shape[-1] - 1)
