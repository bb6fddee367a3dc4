"""L-Softmax (Liu et al., ICML 2016): the angle to the target's class vector, multiplied.

Notation, per example and class j:

    x  features                       w_j    the class's kernel column, without a bias
    f_j = w_j . x, the plain logit    c_j  = f_j / (||w_j|| ||x||), the cosine of theta_j
"""

import math

from keras import ops

from ..support._arguments import Tensor, check_features, check_integer, invalid
from ..support._labels import at_target, one_hot
from ..support._tensors import at_least_float32, read_alike, read_logits

# Its square is still a normal number in float32.
SMALLEST = 1e-18


def check_margin(margin: int) -> None:
    """Raise ValueError unless `margin` is one of the integers from 1 to 4."""
    check_integer("margin", margin, least=1)
    if margin > 4:
        raise invalid("margin", "an integer from 1 to 4", repr(margin))


def lsoftmax_logits(
    features: Tensor, kernel: Tensor, margin: int = 4, annealing: Tensor | float = 0.0
) -> tuple[Tensor, Tensor]:
    """Plain logits, and the logit that each class takes when it is the target.

        plain    f_j = ||w_j|| ||x|| cos(theta_j)
        margin   [ lambda f_j + ||w_j|| ||x|| psi(theta_j) ] / (1 + lambda)

        psi(theta) = (-1)^k cos(m theta) - 2k   for theta in [k pi/m, (k+1) pi/m]

    psi falls from 1 to 1 - 2m, and is cos(theta) for m = 1. No angle is computed: cos(m theta) is
    the Chebyshev polynomial of the cosine, and k the number of cos(j pi/m) above the cosine, so the
    gradient is exact for parallel and antiparallel vectors too. Where x or w_j is zero,
    or they or the product of their norms are shorter than 1e-18, there is no angle and no gradient:
    there the cosine counts as a constant 0, and the gradient of the norm as 0. For m = 1 the
    gradient is that of f_j everywhere.

    Args:
        features: x, (..., features).
        kernel: the vectors w_j as columns, (features, classes).
        margin: m, an integer from 1 to 4. The authors' examples use 4 on MNIST
            and 2 on CIFAR-10.
        annealing: lambda, a number or scalar tensor of at least 0. 0 is the paper's f_y, and as it
            grows the margin vanishes.

    Returns:
        The plain and the margin logits, each (..., classes), in float32 for half precision.

    Raises:
        ValueError: a margin that is not 1, 2, 3 or 4; shapes that do not match; fewer than 2
            classes.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> plain, margin = ks.ops.lsoftmax_logits([[2.0, 0.0]], [[1.0, 0.0], [0.0, 3.0]], margin=2)
        >>> keras.ops.convert_to_numpy(plain)  # angles of 0 and 90 degrees
        array([[2., 0.]], dtype=float32)
        >>> keras.ops.convert_to_numpy(margin)
        array([[ 2., -6.]], dtype=float32)

    Reference:
        Liu et al., Large-Margin Softmax Loss for Convolutional Neural Networks, ICML 2016,
        Eqs. 4-6 and section 5.1 (https://arxiv.org/abs/1612.02295).
    """
    check_margin(margin)
    features = at_least_float32(features)
    kernel = read_logits("kernel", kernel)
    check_features(features, kernel.shape[0], "kernel")
    plain = ops.matmul(features, kernel)
    scale = _norm(features, axis=-1) * _norm(kernel, axis=0)
    margined = _scaled_psi(plain, scale, margin)
    return plain, plain + (margined - plain) / (1 + ops.cast(annealing, plain.dtype))


def lsoftmax_cross_entropy(labels: Tensor, logits: Tensor, margin_logits: Tensor) -> Tensor:
    """Cross-entropy of the softmax in which the target has its margin logit.

        -log [ exp(g_t) / ( exp(g_t) + sum_{j != t} exp(f_j) ) ],  t the target

    Args:
        labels: (...) or (..., 1) integers, or (..., classes) one-hot.
        logits: f, the plain logits, (..., classes). The target's entry is not read.
        margin_logits: g, (..., classes). The target's entry alone is read.

    Returns:
        (...), in nats, in float32 for logits in half precision.

    Raises:
        ValueError: labels out of range or neither form; shapes that differ.

    Example:
        >>> import keras_softmaxes as ks
        >>> float(ks.ops.lsoftmax_cross_entropy([0], [[9.0, 0.0]], [[0.0, -9.0]])[0])  # log 2
        0.6931471824645996

    Reference:
        Liu et al., Large-Margin Softmax Loss for Convolutional Neural Networks, ICML 2016, Eq. 4
        (https://arxiv.org/abs/1612.02295).
    """
    logits, margin_logits = read_alike(logits=logits, margin_logits=margin_logits)
    target = one_hot(labels, logits)
    combined = ops.where(target == 1, margin_logits, logits)
    return ops.logsumexp(combined, axis=-1) - at_target(target, combined)


def _scaled_psi(plain: Tensor, scale: Tensor, margin: int) -> Tensor:
    """Return scale * psi, with scale * cos(m theta) by Chebyshev's recurrence from the plain."""
    is_zero = scale < SMALLEST
    cosine = ops.where(is_zero, 0, plain / ops.where(is_zero, 1, scale))
    previous, current = scale, plain
    for _ in range(margin - 1):
        previous, current = current, 2 * cosine * current - previous
    bounds = [math.cos(j * math.pi / margin) for j in range(1, margin)]
    crossed = [ops.cast(cosine < bound, plain.dtype) for bound in bounds]
    interval = sum(crossed, ops.zeros_like(plain))
    sign = 1 - 2 * (interval % 2)
    return sign * current - 2 * interval * scale


def _norm(vectors: Tensor, axis: int) -> Tensor:
    """Euclidean norm, whose gradient at zero is zero."""
    squares = ops.sum(ops.square(vectors), axis=axis, keepdims=True)
    is_zero = squares < SMALLEST**2
    return ops.where(is_zero, 0, ops.sqrt(ops.where(is_zero, 1, squares)))
