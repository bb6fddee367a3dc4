"""Divergences and entropies, from logits."""

from keras import ops

from ..support._arguments import Tensor


def bernoulli_kl(logits: Tensor, other_logits: Tensor) -> Tensor:
    """KL divergence between Bernoulli distributions, elementwise.

    With q = sigm(a) and p = sigm(b),

        KL(q || p) = q log(q / p) + (1 - q) log((1 - q) / (1 - p))
                   = q (a - b) + softplus(b) - softplus(a),

    which never leaves the logits and is finite wherever they are.

    Args:
        logits: a, of any shape.
        other_logits: b, of the same shape.

    Returns:
        The divergence in nats, of the same shape.
    """
    difference = ops.sigmoid(logits) * (logits - other_logits)
    return difference + ops.softplus(other_logits) - ops.softplus(logits)


def bernoulli_cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy of Bernoulli distributions with certain outcomes, elementwise.

    With p = sigm(a): -log p where the target is 1, -log(1 - p) = softplus(a) where it is 0.

    Args:
        target: 0, 1, or NaN, of any shape.
        logits: a, of the same shape.

    Returns:
        The cross-entropy in nats, of the same shape.
    """
    return ops.softplus((1 - 2 * target) * logits)


def bernoulli_negative_entropy(logits: Tensor) -> Tensor:
    """Negative entropy of Bernoulli distributions, elementwise.

    With p = sigm(a): p log p + (1 - p) log(1 - p) = p a - softplus(a).

    Args:
        logits: a, of any shape.

    Returns:
        The negative entropy in nats, in [-log 2, 0], of the same shape.
    """
    return ops.sigmoid(logits) * logits - ops.softplus(logits)


def categorical_kl(log_probabilities: Tensor, other_log_probabilities: Tensor) -> Tensor:
    """KL divergence between distributions over classes.

    KL(p || q) = sum_k p_k (log p_k - log q_k), finite where the logarithms are.

    Args:
        log_probabilities: log p, (..., classes).
        other_log_probabilities: log q, of the same shape.

    Returns:
        The divergence in nats, (...).
    """
    difference = log_probabilities - other_log_probabilities
    return ops.sum(ops.exp(log_probabilities) * difference, axis=-1)


def squared_distance(predictions: Tensor, other_predictions: Tensor) -> Tensor:
    """Squared Euclidean distance of predictions, ||y - y'||^2.

    Args:
        predictions: y, (..., classes).
        other_predictions: y', of the same shape.

    Returns:
        The distance, (...).
    """
    return ops.sum(ops.square(predictions - other_predictions), axis=-1)
