"""Sampled softmax: the cross-entropy over the target and drawn classes, from their rows alone.

Notation, per example of features h, y the target:

    f_c  logit of class c, h . W_c + b_c        n_c  how often class c is expected among the draws
"""

import numpy as np
from keras import ops

from ..support._arguments import Tensor
from ..support._labels import class_indices
from ..support._xla import xla_compiled
from ._tiles import flattened, logits_spec, read_linear


def sampled_cross_entropy(
    labels: Tensor,
    features: Tensor,
    kernel: Tensor,
    bias: Tensor,
    sampled_classes: Tensor,
    log_counts: Tensor,
) -> Tensor:
    """Softmax cross-entropy estimated by drawn classes, which all examples share.

        log( exp(f_y) + sum_{drawn c != y} exp(f_c - log n_c) ) - f_y

    The sum over the drawn classes is an unbiased estimate of the sum over all other classes. The
    more classes are drawn, the nearer is the loss to the cross-entropy, and it equals it if each
    class is drawn once. Only the rows of the targets and of the drawn classes are read. Only these
    have a gradient, which is sparse on TensorFlow.

    Args:
        labels: y, (...) or (..., 1) integers, or (..., C) one-hot.
        features: h, (..., d).
        kernel: W, (C, d), one row per class.
        bias: b, (C,).
        sampled_classes: the drawn classes, (n,) integers, with repetitions.
        log_counts: log n_c of each drawn class, (n,).

    Returns:
        (...), in nats, in float32 for features in half precision.

    Raises:
        ValueError: labels out of range or of neither form; shapes that do not fit.

    Example:
        >>> import keras_softmaxes as ks
        >>> kernel, bias = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, 0.0]
        >>> drawn, log_counts = [0, 1, 2], [0.0, 0.0, 0.0]
        >>> loss = ks.ops.sampled_cross_entropy(
        ...     [0], [[3.0, 1.0]], kernel, bias, drawn, log_counts
        ... )
        >>> round(float(loss[0]), 4)
        1.349

    Reference:
        Jean et al., On Using Very Large Target Vocabulary for Neural Machine Translation, ACL 2015
        (https://arxiv.org/abs/1412.2007); Blanc & Rendle, Adaptive Sampled Softmax with Kernel
        Based Sampling, ICML 2018, Eq. 2 (https://arxiv.org/abs/1712.00527).
    """
    linear = read_linear(features, kernel, bias)
    classes = class_indices(labels, logits_spec(linear))
    flat, classes = flattened(linear, classes)
    sampled_classes = ops.convert_to_tensor(sampled_classes, dtype="int32")
    log_counts = ops.convert_to_tensor(log_counts, dtype=linear.features.dtype)
    losses = sampled_cross_entropy_of(classes, *flat, sampled_classes, log_counts, 0.0)
    return ops.reshape(losses, ops.shape(linear.features)[:-1])


def sampled_cross_entropy_of(
    classes: Tensor,
    features: Tensor,
    kernel: Tensor,
    bias: Tensor,
    sampled_classes: Tensor,
    log_counts: Tensor,
    margin: float,
) -> Tensor:
    """Return `sampled_cross_entropy` of labels that were read, with a margin of the target."""
    # Outside of the kernel, through which TensorFlow's sparse gradient does not pass.
    taken = [ops.maximum(classes, 0), sampled_classes]
    rows = [ops.cast(ops.take(kernel, each, axis=0), features.dtype) for each in taken]
    shifts = [ops.cast(ops.take(bias, each, axis=0), features.dtype) for each in taken]
    log_counts = ops.cast(log_counts, features.dtype)
    targets, sampled = zip(rows, shifts, strict=True)
    return _losses(classes, sampled_classes, log_counts, features, targets, sampled, margin)


@xla_compiled
def _losses(
    classes: Tensor,
    sampled_classes: Tensor,
    log_counts: Tensor,
    features: Tensor,
    targets: tuple[Tensor, Tensor],
    sampled: tuple[Tensor, Tensor],
    margin: float,
) -> Tensor:
    rows, shift = targets
    target = ops.sum(features * rows, axis=-1) + shift - margin
    target = ops.where(classes < 0, float("nan"), target)
    rows, shift = sampled
    logits = ops.matmul(features, ops.transpose(rows)) + (shift - log_counts)
    is_other = sampled_classes != ops.expand_dims(classes, axis=-1)
    lowest = float(np.finfo("float32").min) / 4  # all differences between such numbers are finite
    others = ops.logsumexp(ops.where(is_other, logits, lowest), axis=-1)
    return ops.softplus(others - target)
