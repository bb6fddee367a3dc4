"""G-softmax (Luo et al., IEEE TNNLS 2019): a Gaussian term in the softmax.

Notation, per example and class:

    x       logit                               mu, sigma  mean and standard deviation of the class
    lambda  scale                               Phi        Gaussian cumulative distribution function
"""

import math

from keras import ops

from ..support._arguments import Tensor, check_not_negative, invalid, positive_stddev, static_shape
from ..support._tensors import at_least_float32, read_logits

# Deviations from the mean, beyond which Phi is 0 or 1 and its slope 0 even in float64.
FAR = 40.0


def gaussian_cdf(x: Tensor, mean: Tensor, stddev: Tensor) -> Tensor:
    """Cumulative distribution function of Gaussians, elementwise.

        Phi(x; mu, sigma) = 1/2 + 1/2 erf( (x - mu) / (sqrt(2) sigma) )

    Args:
        x: of shape (..., classes), or any shape where the Gaussian is one.
        mean: mu, (classes,) or a number.
        stddev: sigma, above 0, (classes,) or a number.

    Returns:
        Phi in [0, 1], of the shape of x, in float32 for x in half precision. A NaN makes NaN. Phi
        is exact to the float's spacing near 1, so that the lower tail is 0 where it is below that.

    Raises:
        ValueError: mean or stddev of another shape; stddev that is not above 0. In a graph
            TensorFlow raises InvalidArgumentError for its values; inside XLA or `jax.jit`, where
            nothing can be raised, they give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> ks.ops.gaussian_cdf([[-1.0, 0.0, 2.0]], mean=0.0, stddev=1.0).numpy().round(4)
        array([[0.1587, 0.5   , 0.9772]], dtype=float32)

    Reference:
        Luo et al., G-softmax: Improving Intra-class Compactness and Inter-class Separability of
        Features, IEEE TNNLS 2019, Eq. 4 (https://arxiv.org/abs/1904.04317).
    """
    x = at_least_float32(x)
    mean, stddev = _per_class(x, mean=mean, stddev=stddev)
    return _gaussian_cdf(x, mean, positive_stddev(stddev))


def gsoftmax_logits(logits: Tensor, mean: Tensor, stddev: Tensor, scale: float = 1.0) -> Tensor:
    """Logits whose softmax is the G-softmax.

        a = x + lambda Phi(x; mu, sigma),   p = softmax(a)

    With lambda 0 they are x. The gradients are those of this formula. Where the paper prints
    x + lambda Phi in Eqs. 5, 6, 9, 10 and 12, the probability p must stand.

    Args:
        logits: x, (..., classes).
        mean: mu, (classes,) or a number.
        stddev: sigma, above 0, (classes,) or a number.
        scale: lambda, at least 0. The paper starts from 1 and tries values in [0, 1].

    Returns:
        a, of the shape of the logits, in float32 for logits in half precision.

    Raises:
        ValueError: logits of rank 1 or with fewer than 2 classes; mean or stddev of another shape;
            a scale that is not a number of at least 0; stddev as for `gaussian_cdf`.

    Example:
        >>> import keras_softmaxes as ks
        >>> ks.ops.gsoftmax_logits([[0.0, 2.0]], mean=0.0, stddev=1.0).numpy().round(4)
        array([[0.5   , 2.9772]], dtype=float32)

    Reference:
        Luo et al., G-softmax: Improving Intra-class Compactness and Inter-class Separability of
        Features, IEEE TNNLS 2019, Eq. 3 (https://arxiv.org/abs/1904.04317).
    """
    check_not_negative("scale", scale)
    logits = read_logits("logits", logits)
    if scale == 0:
        return logits
    return logits + scale * gaussian_cdf(logits, mean, stddev)


@ops.custom_gradient
def _gaussian_cdf(x: Tensor, mean: Tensor, stddev: Tensor) -> Tensor:
    """Return Phi, with its derivatives in closed form (Eqs. 7, 8 and 11), a pass each."""

    def backward(*gradients: Tensor, upstream: Tensor = None) -> tuple[Tensor, Tensor, Tensor]:
        upstream = gradients[0] if upstream is None else upstream
        deviations = _deviations(x, mean, stddev)
        density = ops.exp(-0.5 * ops.square(deviations)) / (math.sqrt(2 * math.pi) * stddev)
        by_x = upstream * density
        examples = tuple(range(len(x.shape) - 1))
        by_mean, by_stddev = (ops.sum(-each, axis=examples) for each in (by_x, by_x * deviations))
        return by_x, by_mean, by_stddev

    return 0.5 + 0.5 * ops.erf(_deviations(x, mean, stddev) / math.sqrt(2)), backward


def _deviations(x: Tensor, mean: Tensor, stddev: Tensor) -> Tensor:
    """Return (x - mu) / sigma, within what makes a difference, so that nothing overflows."""
    deviations = (x - mean) / stddev
    return ops.where(ops.abs(deviations) > FAR, FAR * ops.sign(deviations), deviations)


def _per_class(x: Tensor, **parameters: Tensor) -> list[Tensor]:
    """Return the parameters, one for each class or for all of them, as (classes,) of x's type."""
    classes = tuple(static_shape("x", x)[-1:])
    if None in classes:
        raise invalid("x", "a known number of classes", f"a tensor of shape {tuple(x.shape)}")
    tensors = []
    for name, parameter in parameters.items():
        tensor = ops.convert_to_tensor(parameter, dtype=x.dtype)
        shape = static_shape(name, tensor)
        if shape not in ((), classes):
            expected = f"a number, or shape {classes}, as `x` has classes"
            raise invalid(name, expected, f"a tensor of shape {shape}")
        tensors.append(ops.broadcast_to(tensor, classes))
    return tensors
