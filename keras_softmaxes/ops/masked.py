"""The softmax over a masked set of classes."""

import math

from keras import ops

from keras_softmaxes.ops.checks import Tensor, check_logits, check_same_shape
from keras_softmaxes.ops.labels import at_target, one_hot

LOG_EPSILON = math.log(1e-20)


def masked_logits(logits: Tensor, log_mask: Tensor) -> Tensor:
    """Logits of the softmax whose class k is weighted by z_k + epsilon.

    Returns o_k + log(z_k + epsilon) with epsilon = 1e-20, computed from log z_k. A class whose
    log-mask is minus infinity keeps the weight epsilon, so that the sum never vanishes.

    Args:
        logits: o, (batch, classes).
        log_mask: log z, (batch, classes), in [-inf, 0].

    Returns:
        (batch, classes).
    """
    return logits + ops.logaddexp(log_mask, ops.cast(LOG_EPSILON, log_mask.dtype))


def masked_cross_entropy(labels: Tensor, logits: Tensor, log_mask: Tensor) -> Tensor:
    """Cross-entropy of the softmax over retained classes, the target never dropped.

        -log [ (z_t + eps) exp(o_t) / sum_k (z_k + eps) exp(o_k) ],  z_t := 1,  eps = 1e-20

    Args:
        labels: (batch,) or (batch, 1) integers, or (batch, classes) one-hot.
        logits: o, (batch, classes).
        log_mask: log z, (batch, classes). The target's entry is not read.

    Returns:
        (batch,), in nats.

    Raises:
        ValueError: labels out of range or neither form; shapes that differ.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> logits = keras.ops.zeros((1, 4))
        >>> log_mask = keras.ops.log([[0.0, 1.0, 1.0, 1.0]])  # the target, class 0, is kept anyway
        >>> float(ks.ops.masked_cross_entropy([0], logits, log_mask)[0])  # log 4
        1.3862943649291992

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, Eq. 3
        (https://arxiv.org/abs/1712.07834).
    """
    logits, log_mask = ops.convert_to_tensor(logits), ops.convert_to_tensor(log_mask)
    check_logits("logits", logits)
    check_same_shape(logits=logits, log_mask=log_mask)
    target = one_hot(labels, logits)
    masked = masked_logits(logits, ops.where(target == 1, 0, log_mask))
    return ops.logsumexp(masked, axis=-1) - at_target(target, masked)


def completed_log_mask(labels: Tensor, log_mask: Tensor, with_reserve: Tensor) -> Tensor:
    """Log-mask of a fixed number n of classes, the target among them.

    n - 1 classes and one more in reserve are drawn without knowing the target. Where the target is
    not among the n - 1, it is the n-th; where it is, the one in reserve is. Either way the others
    are n - 1 classes drawn uniformly without replacement.

    Args:
        labels: (batch,) or (batch, 1) integers, or (batch, classes) one-hot.
        log_mask: of the n - 1 classes, 0 or minus infinity, (batch, classes).
        with_reserve: of the n classes, (batch, classes).

    Returns:
        (batch, classes). The target's own entry may be either, and is not to be read.

    Raises:
        ValueError: labels out of range or neither form; shapes that differ.
    """
    check_same_shape(log_mask=log_mask, with_reserve=with_reserve)
    is_drawn = at_target(one_hot(labels, log_mask), log_mask) == 0
    return ops.where(ops.expand_dims(is_drawn, axis=-1), with_reserve, log_mask)
