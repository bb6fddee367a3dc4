"""How compact and how far apart classes are, each a Gaussian of its own logit.

Luo et al., G-softmax, IEEE TNNLS 2019, section III-D. Notation: mu_i, sigma_i the mean and standard
deviation of class i of m classes.
"""

from keras import ops

from ..support._arguments import Tensor, check_same_shape, invalid, positive_stddev, static_shape
from ..support._tensors import at_least_float32


def compactness(stddev: Tensor) -> Tensor:
    """Intra-class compactness, 1 / sigma_i.

    Args:
        stddev: sigma, above 0, (classes,).

    Returns:
        (classes,).

    Raises:
        ValueError: stddev of another rank, or not above 0. In a graph TensorFlow raises
            InvalidArgumentError for its values; inside XLA or `jax.jit` they give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> ks.ops.compactness([0.5, 2.0]).numpy()
        array([2. , 0.5], dtype=float32)

    Reference:
        Luo et al., G-softmax, IEEE TNNLS 2019, section III-D (https://arxiv.org/abs/1904.04317).
    """
    return 1 / _checked(stddev)


def separability(mean: Tensor, stddev: Tensor) -> Tensor:
    """Inter-class separability, half the mean symmetric divergence from the other classes.

        d_i = 1/(2 (m - 1)) sum_{j != i} ( KL(N_i || N_j) + KL(N_j || N_i) )

    It is at least 0, and 0 where all Gaussians are the same. The two divergences are added in
    closed form, in which nothing cancels:

        (s - 1/s)^2 / 2 + (mu_i - mu_j)^2 (1/sigma_i^2 + 1/sigma_j^2) / 2,   s = sigma_i / sigma_j

    Args:
        mean: mu, (classes,).
        stddev: sigma, above 0, (classes,).

    Returns:
        (classes,), in nats. Every pair of classes takes room.

    Raises:
        ValueError: as for `compactness`; shapes that differ; fewer than 2 classes.

    Example:
        >>> import keras_softmaxes as ks
        >>> ks.ops.separability([0.0, 1.0], [1.0, 1.0]).numpy()
        array([0.5, 0.5], dtype=float32)

    Reference:
        Luo et al., G-softmax, IEEE TNNLS 2019, Eqs. 18 and 19 (https://arxiv.org/abs/1904.04317).
    """
    stddev = _checked(stddev)
    mean = ops.convert_to_tensor(mean, dtype=stddev.dtype)
    check_same_shape(mean=mean, stddev=stddev)
    classes = stddev.shape[0]
    if classes < 2:
        raise invalid("mean", "at least 2 classes", f"a tensor of shape {(classes,)}")
    quotient = stddev[:, None] / stddev
    standardised = (mean[:, None] - mean) / stddev
    spread = ops.square(quotient - ops.transpose(quotient))
    distance = ops.square(standardised) + ops.square(ops.transpose(standardised))
    return ops.sum(spread + distance, axis=1) / (4 * (classes - 1))


def separability_ratio(mean: Tensor, stddev: Tensor) -> Tensor:
    """Separability times compactness, d_i / sigma_i, the paper's "separability-sigma ratio".

    Args:
        mean: mu, (classes,).
        stddev: sigma, above 0, (classes,).

    Returns:
        (classes,).

    Raises:
        ValueError: as for `separability`.

    Example:
        >>> import keras_softmaxes as ks
        >>> ks.ops.separability_ratio([0.0, 2.0], [2.0, 2.0]).numpy()
        array([0.25, 0.25], dtype=float32)

    Reference:
        Luo et al., G-softmax, IEEE TNNLS 2019, Eq. 20 (https://arxiv.org/abs/1904.04317).
    """
    return separability(mean, stddev) * compactness(stddev)


def _checked(stddev: Tensor) -> Tensor:
    stddev = at_least_float32(stddev)
    shape = static_shape("stddev", stddev)
    if len(shape) != 1 or shape[0] is None:
        raise invalid("stddev", "shape (classes,)", f"a tensor of shape {shape}")
    return positive_stddev(stddev)
