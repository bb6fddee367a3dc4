"""Deterministic attention to classes, DropMax without its randomness (Lee et al., NeurIPS 2018)."""

from keras import ops

from ..support._arguments import Tensor, check_not_negative
from ..support._labels import at_target, one_hot
from ..support._tensors import read_alike
from ._divergences import bernoulli_cross_entropy
from ._dropmax import dropmax_log_probabilities
from ._soft_labels import expectation


def attention_terms(
    labels: Tensor, logits: Tensor, attention_logits: Tensor, non_target_weight: float = 1.0
) -> dict[str, Tensor]:
    """The two terms of the attention to classes.

        cross_entropy  -log p_t,  p_k = sigm(a_k) exp(o_k) / sum_j sigm(a_j) exp(o_j)
        supervision    -log sigm(a_t) - v sum_{k != t} log(1 - sigm(a_k))

    p is the probability of DropMax at inference, `dropmax_log_probabilities`, with the attention in
    the place of the retain probability. Deterministic Attention is trained by the first term,
    Deterministic DropMax by their plain sum. The paper says no more of it than that it is "trained
    in a supervised manner with true class labels".

    Args:
        labels: (...) or (..., 1) integers, or (..., classes) one-hot.
        logits: o, (..., classes).
        attention_logits: a, (..., classes).
        non_target_weight: v, at least 0. 1 in the paper.

    Returns:
        A dict of (...) tensors, in nats.

    Raises:
        ValueError: labels out of range or neither form; shapes that differ; fewer than 2 classes; a
            negative weight.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> zeros = keras.ops.zeros((1, 2))
        >>> terms = ks.ops.attention_terms([0], zeros, zeros)
        >>> [round(float(value[0]), 4) for value in terms.values()]  # log 2, 2 log 2
        [0.6931, 1.3863]

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, section 5, baselines 5
        and 6 (https://arxiv.org/abs/1712.07834).
    """
    logits, attention_logits = read_alike(logits=logits, attention_logits=attention_logits)
    check_not_negative("non_target_weight", non_target_weight)
    target = one_hot(labels, logits)
    log_probabilities = dropmax_log_probabilities(logits, attention_logits)
    weights = target + non_target_weight * (1 - target)
    supervision = weights * bernoulli_cross_entropy(target, attention_logits)
    return {
        "cross_entropy": -at_target(target, log_probabilities),
        "supervision": ops.sum(supervision, axis=-1),
    }


def expected_attention_terms(
    rows: Tensor, logits: Tensor, attention_logits: Tensor, non_target_weight: float = 1.0
) -> dict[str, Tensor]:
    """Return `attention_terms` of soft labels, the expectation over their classes.

    Args:
        rows: distributions of the classes, (..., classes).
        logits: o, (..., classes).
        attention_logits: a, (..., classes).
        non_target_weight: v.

    Returns:
        A dict of (...) tensors, in nats.
    """
    log_probabilities = dropmax_log_probabilities(logits, attention_logits)
    present, absent = ops.softplus(-attention_logits), ops.softplus(attention_logits)
    supervision = rows * present + non_target_weight * (1 - rows) * absent
    return {
        "cross_entropy": expectation(rows, -log_probabilities),
        "supervision": ops.sum(supervision, axis=-1),
    }
