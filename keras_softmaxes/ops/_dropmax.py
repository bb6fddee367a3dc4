"""DropMax (Lee et al., NeurIPS 2018): the classes of a softmax, dropped by learned probabilities.

Notation, per example and class k, t the target:

    o  logits                         a  retain logits, rho = sigm(a)
    r  posterior shift                g  = sigm(stop_gradient(a) + r), the posterior
    z  mask, relaxed Bernoulli        u  uniform noise

Nothing here computes on probabilities plus a small constant: XLA folds (1 - q) + 1e-20 to 1 - q,
whose logarithm has no gradient. Everything stays in logits and logarithms.
"""

from keras import ops

from ..support._arguments import Tensor, check_not_negative, check_positive
from ..support._labels import at_class, at_target, one_hot, one_hot_rows
from ..support._tensors import read_alike
from ._class_masking import expected_masked_cross_entropy, masked_cross_entropy_of
from ._divergences import bernoulli_cross_entropy, bernoulli_kl, bernoulli_negative_entropy
from ._soft_labels import expectation


def dropmax_log_mask(retain_logits: Tensor, uniform: Tensor, temperature: float = 0.1) -> Tensor:
    """Logarithm of a relaxed Bernoulli mask.

        log z_k = log sigm( (a_k + log u_k - log(1 - u_k)) / temperature )

    Args:
        retain_logits: a, the logits of the probabilities with which classes are retained,
            (..., classes). For the posterior these are a + r.
        uniform: u, noise strictly between 0 and 1, (..., classes).
        temperature: the relaxation; the mask is binary as it goes to 0. The paper uses 0.1.

    Returns:
        log z, (..., classes), in (-inf, 0].

    Raises:
        ValueError: temperature not above 0; shapes that differ.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> log_mask = ks.ops.dropmax_log_mask([[2.0, -2.0]], [[0.5, 0.5]])
        >>> keras.ops.exp(log_mask).numpy().round(3)
        array([[1., 0.]], dtype=float32)

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, Eq. 6
        (https://arxiv.org/abs/1712.07834).
    """
    check_positive("temperature", temperature)
    retain_logits, uniform = read_alike(retain_logits=retain_logits, uniform=uniform)
    noise = ops.log(uniform) - ops.log1p(-uniform)
    return ops.log_sigmoid((retain_logits + noise) / temperature)


def posterior_logits(retain_logits: Tensor, posterior_shift: Tensor | None) -> Tensor:
    """Logits of the approximate posterior's retain probabilities, g of Eq. 10.

    The gradient stops at the whole of the retain branch, as in the authors' code, so that the
    posterior is a function of its own parameters alone.

    Args:
        retain_logits: a, (..., classes).
        posterior_shift: r, (..., classes), or None where the posterior is the prior (q = p).

    Returns:
        (..., classes).
    """
    if posterior_shift is None:
        return retain_logits
    return ops.stop_gradient(retain_logits) + posterior_shift


def dropmax_terms(
    labels: Tensor,
    logits: Tensor,
    retain_logits: Tensor,
    posterior_shift: Tensor | None,
    log_mask: Tensor,
    non_target_weight: float = 1.0,
) -> dict[str, Tensor]:
    """The four terms of DropMax's objective, each summed over the classes.

        cross_entropy     -log [ (z_t + eps) exp(o_t) / sum_k (z_k + eps) exp(o_k) ],  z_t := 1
        kl                -log rho_t + sum_{k != t} KL( Ber(g_k) || Ber(rho_k) )
        auxiliary         -log sigm(r_t) - sum_{k != t} log(1 - sigm(r_k))
        negative_entropy  sum_k rho_k log rho_k + (1 - rho_k) log(1 - rho_k)

    The objective is their plain sum. It is usually negative late in training. The paper's Eq. 13
    calls the last term H and subtracts it, which would minimise the entropy; the authors' code adds
    it, and so does this package.

    In the q = p variant (`posterior_shift=None`) the mask comes from the prior: the divergence is
    -log rho_t alone, and the auxiliary term is zero.

    The last three terms are sums over the K classes, and push all K - 1 non-targets the same way.
    With a thousand classes they outweigh the cross-entropy. `non_target_weight` weighs what the
    classes k != t add to them.

    Args:
        labels: (...) or (..., 1) integers, or (..., classes) one-hot.
        logits: o, (..., classes).
        retain_logits: a, (..., classes).
        posterior_shift: r, (..., classes), or None for q = p.
        log_mask: log z, (..., classes), drawn from the posterior. The target's entry is not read.
        non_target_weight: of the divergence, the auxiliary term and the entropy of the non-targets,
            at least 0. 1 in the paper.

    Returns:
        A dict of (...) tensors, in nats.

    Raises:
        ValueError: labels out of range or neither form; shapes that differ; fewer than 2 classes; a
            negative weight.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> zeros = keras.ops.zeros((1, 2))
        >>> terms = ks.ops.dropmax_terms([0], zeros, zeros, zeros, zeros)
        >>> [round(float(value[0]), 4) for value in terms.values()]
        [0.6931, 0.6931, 1.3863, -1.3863]

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, Eqs. 5, 10-13
        (https://arxiv.org/abs/1712.07834).
    """
    logits, retain_logits, log_mask = read_alike(
        logits=logits, retain_logits=retain_logits, log_mask=log_mask
    )
    if posterior_shift is not None:
        _, posterior_shift = read_alike(logits=logits, posterior_shift=posterior_shift)
    check_not_negative("non_target_weight", non_target_weight)
    target = one_hot(labels, logits)
    others = non_target_weight * (1 - target)
    divergence = ops.softplus(-at_target(target, retain_logits))
    auxiliary = ops.zeros_like(divergence)
    if posterior_shift is not None:
        posterior = posterior_logits(retain_logits, posterior_shift)
        divergence += ops.sum(others * bernoulli_kl(posterior, retain_logits), axis=-1)
        likelihood = bernoulli_cross_entropy(target, posterior_shift)
        auxiliary = ops.sum((target + others) * likelihood, axis=-1)
    entropy = (target + others) * bernoulli_negative_entropy(retain_logits)
    return {
        "cross_entropy": masked_cross_entropy_of(target, logits, log_mask),
        "kl": divergence,
        "auxiliary": auxiliary,
        "negative_entropy": ops.sum(entropy, axis=-1),
    }


def dropmax_objective_of(
    classes: Tensor,
    logits: Tensor,
    retain_logits: Tensor,
    log_mask: Tensor,
    posterior_shift: Tensor | None = None,
    entropy_weight: float = 1.0,
    non_target_weight: float = 1.0,
) -> Tensor:
    """Return the sum of `dropmax_terms`, the entropy weighted by w, in one pass over the classes.

    Divergence and entropy share softplus(a_k), which cancels where w is 1. With g_k r_k -
    softplus(a_k + r_k) + softplus(r_k) for s_k,

        e_k = s_k + w rho_k a_k + (1 - w) softplus(a_k)
        kl + auxiliary + w negative_entropy
            = v sum_k e_k + (1 - v) e_t - s_t + softplus(-r_t) - a_t

    Args:
        classes: labels that were read, (...).
        logits: o, as for `dropmax_terms`.
        retain_logits: a, likewise.
        log_mask: log z, likewise.
        posterior_shift: r, likewise.
        entropy_weight: w.
        non_target_weight: v.

    Returns:
        (...), in nats.
    """
    cross_entropy = masked_cross_entropy_of(one_hot_rows(classes, logits), logits, log_mask)
    retain = at_class(classes, retain_logits)
    shift = None if posterior_shift is None else at_class(classes, posterior_shift)
    every = _of_every_class(retain_logits, posterior_shift, entropy_weight)
    of_target = _of_the_target(retain, shift, entropy_weight, non_target_weight)
    return cross_entropy + non_target_weight * ops.sum(every, axis=-1) + of_target


def expected_dropmax_objective(
    rows: Tensor,
    logits: Tensor,
    retain_logits: Tensor,
    log_mask: Tensor,
    posterior_shift: Tensor | None = None,
    entropy_weight: float = 1.0,
    non_target_weight: float = 1.0,
) -> Tensor:
    """Return `dropmax_objective_of` soft labels, the expectation over their classes.

    Args:
        rows: distributions of the classes, (..., classes).
        logits: o, as for `dropmax_terms`.
        retain_logits: a, likewise.
        log_mask: log z, likewise.
        posterior_shift: r, likewise.
        entropy_weight: w.
        non_target_weight: v.

    Returns:
        (...), in nats.
    """
    cross_entropy = expected_masked_cross_entropy(rows, logits, log_mask)
    branches = retain_logits, posterior_shift, entropy_weight
    every = ops.sum(_of_every_class(*branches), axis=-1)
    of_target = expectation(rows, _of_the_target(*branches, non_target_weight))
    return cross_entropy + non_target_weight * every + of_target


def _of_every_class(
    retain_logits: Tensor, posterior_shift: Tensor | None, entropy_weight: float
) -> Tensor:
    """Return what each class adds to the objective whether or not it is the target."""
    if posterior_shift is None:
        return entropy_weight * bernoulli_negative_entropy(retain_logits)
    terms = entropy_weight * ops.sigmoid(retain_logits) * retain_logits
    terms += _shared(retain_logits, posterior_shift)
    if entropy_weight != 1:
        terms += (1 - entropy_weight) * ops.softplus(retain_logits)
    return terms


def _of_the_target(
    retain_logits: Tensor,
    posterior_shift: Tensor | None,
    entropy_weight: float,
    non_target_weight: float,
) -> Tensor:
    """Return what a class adds to the objective where it is the target."""
    if posterior_shift is None:
        added = ops.softplus(-retain_logits)
    else:
        shared = _shared(retain_logits, posterior_shift)
        added = ops.softplus(-posterior_shift) - retain_logits - shared
    if non_target_weight == 1:
        return added
    every = _of_every_class(retain_logits, posterior_shift, entropy_weight)
    return added + (1 - non_target_weight) * every


def _shared(retain_logits: Tensor, posterior_shift: Tensor) -> Tensor:
    """Return s of `dropmax_objective_of`, of every class."""
    posterior = posterior_logits(retain_logits, posterior_shift)
    difference = posterior - retain_logits  # r, through which a has its gradient
    divergence = ops.sigmoid(posterior) * difference - ops.softplus(posterior)
    return divergence + ops.softplus(posterior_shift)


def dropmax_log_probabilities(logits: Tensor, retain_logits: Tensor) -> Tensor:
    """Log-probabilities of the classes at inference: the mask at its expectation.

        log p_k = o_k + log rho_k - log sum_j rho_j exp(o_j)

    Nothing is drawn, and the target's mask is not forced: the label plays no part.

    Args:
        logits: o, (..., classes).
        retain_logits: a, (..., classes).

    Returns:
        (..., classes).

    Raises:
        ValueError: shapes that differ; fewer than 2 classes.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> log_p = ks.ops.dropmax_log_probabilities([[0.0, 0.0]], [[9.0, -9.0]])
        >>> keras.ops.exp(log_p).numpy().round(3)
        array([[1., 0.]], dtype=float32)

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, Eq. 15
        (https://arxiv.org/abs/1712.07834).
    """
    logits, retain_logits = read_alike(logits=logits, retain_logits=retain_logits)
    return ops.log_softmax(logits + ops.log_sigmoid(retain_logits), axis=-1)
