"""Sparsemax (Martins & Astudillo, ICML 2016): class probabilities, many of them exactly 0.

Notation, per example, t the target:

    z  logits                                    S    the support, the classes with p_j > 0
    p  sparsemax(z), p_j = max(z_j - tau, 0)     tau  the threshold that makes p sum to 1

A constant added to all logits changes neither p nor the loss: the largest is subtracted first,
after which tau is in [-1, 0).
"""

import math

import keras
from keras import ops

from ..support._arguments import Tensor
from ..support._labels import one_hot
from ..support._tensors import how_many, largest, read_logits
from ._soft_labels import expectation


def sparsemax(logits: Tensor) -> Tensor:
    """Euclidean projection of the logits onto the probability simplex.

        argmin_p || p - z ||^2 = max(z - tau, 0),   tau = ( sum_{j in S} z_j - 1 ) / |S|

    Classes far enough below the largest logit have probability 0, and no gradient. The gradient is
    exact: v from above becomes v_j minus the mean of v over the support, for j in the support.
    `keras.layers.Activation(ks.ops.sparsemax)` is a layer of it, which can be saved.

    Args:
        logits: z, (..., classes). A class of minus infinity has probability 0. A NaN or plus
            infinity, or a row of minus infinity alone, makes all NaN in its row.

    Returns:
        p, (..., classes), in float32 for logits in half precision.

    Raises:
        ValueError: logits of another rank; fewer than 2 classes.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> keras.ops.convert_to_numpy(ks.ops.sparsemax([[1.0, 0.5, -1.0], [9.0, 0.0, 0.0]]))
        array([[0.75, 0.25, 0.  ],
               [1.  , 0.  , 0.  ]], dtype=float32)

    Reference:
        Martins & Astudillo, From Softmax to Sparsemax: A Sparse Model of Attention and Multi-Label
        Classification, ICML 2016, section 2 (https://arxiv.org/abs/1602.02068).
    """
    logits = read_logits("logits", logits)
    rows = ops.reshape(logits, (-1, logits.shape[-1]))
    return ops.reshape(_projection(rows), ops.shape(logits))


# A decorator without types would take the function's.
keras.saving.register_keras_serializable("keras_softmaxes")(sparsemax)


def sparsemax_loss(labels: Tensor, logits: Tensor) -> Tensor:
    """Loss whose gradient is the sparsemax minus the label, as the cross-entropy's is for softmax.

        -z_t + 1/2 sum_{j in S} ( z_j^2 - tau^2 ) + 1/2
            = 1/2 || p - onehot(t) ||^2 + max(tau - z_t, 0)

    It is at least 0, and is 0 where the target leads every other logit by at least 1. The second
    form is what is computed, because there large numbers are neither squared nor subtracted.

    Args:
        labels: t, (...) or (..., 1) integers, or (..., classes) one-hot.
        logits: z, (..., classes). A non-target logit of minus infinity removes its class. A
            target's logit of minus infinity makes the loss infinite. A NaN or plus infinity makes
            NaN.

    Returns:
        (...), in float32 for logits in half precision.

    Raises:
        ValueError: labels out of range or neither form; logits of another rank; fewer than 2
            classes.

    Example:
        >>> import keras_softmaxes as ks
        >>> ks.ops.sparsemax_loss([0, 2], [[1.0, 0.5, -1.0], [1.0, 0.5, -1.0]]).numpy()
        array([0.0625, 2.0625], dtype=float32)

    Reference:
        Martins & Astudillo, From Softmax to Sparsemax: A Sparse Model of Attention and Multi-Label
        Classification, ICML 2016, section 3 (https://arxiv.org/abs/1602.02068).
    """
    logits = read_logits("logits", logits)
    return sparsemax_loss_of(one_hot(labels, logits), logits)


def sparsemax_loss_of(rows: Tensor, logits: Tensor) -> Tensor:
    """Return `sparsemax_loss` of labels that were read, soft ones among them.

    Of a distribution y of the classes it is the Fenchel-Young loss of the sparsemax,

        1/2 || p - y ||^2 + sum_j y_j max(tau - z_j, 0),

    which is 0 where the sparsemax is y. The expectation of the loss over y is larger by the
    constant 1/2 - 1/2 || y ||^2.

    Args:
        rows: y, one-hot or soft, (..., classes).
        logits: z, (..., classes).

    Returns:
        (...).
    """
    flat, target = (ops.reshape(each, (-1, logits.shape[-1])) for each in (logits, rows))

    @ops.custom_gradient
    def losses(logits: Tensor, target: Tensor) -> Tensor:
        probabilities = _projection(logits)
        distances = ops.sum(ops.square(probabilities - target), axis=-1)
        # The largest logit is in the support: it leads tau by its probability.
        below = ops.relu(largest(logits) - logits - largest(probabilities))

        def backward(*gradients: Tensor, upstream: Tensor = None) -> Tensor:
            upstream = gradients[0] if upstream is None else upstream
            gradient = ops.expand_dims(upstream, axis=-1) * (probabilities - target)
            return gradient, ops.zeros_like(target)  # labels are not differentiated

        return 0.5 * distances + expectation(target, below), backward

    # JAX lets a custom gradient know what it is given alone.
    return ops.reshape(losses(flat, target), ops.shape(logits)[:-1])


@ops.custom_gradient
def _projection(logits: Tensor) -> Tensor:
    """Return `sparsemax` of logits that were checked."""
    # For second derivatives, TensorFlow would differentiate the loops too, which XLA cannot.
    logits = ops.stop_gradient(logits)
    is_nan = ops.any(ops.isnan(logits), axis=-1, keepdims=True)  # which XLA's maximum passes over
    candidates = _candidates(logits)
    top = largest(candidates)
    # Some classes have a lower threshold than all, and it is soon found. From there the threshold
    # is sought as a difference, which is near 0, where floats are dense enough for probabilities so
    # small that only their sum counts.
    lower = _threshold(candidates - top, ops.full_like(top, -1))
    shifted = logits - ops.where(is_nan, float("nan"), top) - lower
    start, _ = _newton_step(shifted, ops.zeros_like(top))  # 0 may be rounded to above tau
    probabilities = ops.relu(shifted - _threshold(shifted, start))
    support = probabilities > 0
    size = how_many(support, logits)
    # Nothing is in the support of NaN.
    probabilities = ops.where(size > 0, probabilities, float("nan"))

    def backward(*gradients: Tensor, upstream: Tensor = None) -> Tensor:
        upstream = gradients[0] if upstream is None else upstream
        mean = ops.sum(ops.where(support, upstream, 0), axis=-1, keepdims=True) / size
        return ops.where(support, upstream, mean) - mean

    return probabilities, backward


def _candidates(logits: Tensor) -> Tensor:
    """Return some of the logits, about 2 sqrt(classes), the largest among them."""
    classes = logits.shape[-1]
    width = math.isqrt(classes)
    whole = classes - classes % width
    blocks = ops.reshape(logits[:, :whole], (-1, whole // width, width))
    maxima = ops.max(blocks, axis=1, initial=float("-inf"))
    return ops.concatenate([maxima, logits[:, whole:]], axis=-1)


def _threshold(logits: Tensor, start: Tensor) -> Tensor:
    """Return tau, (..., 1), which `start` must not be above.

    By Newton's method, in which tau only rises and the support only shrinks: a step that shrinks no
    support is the last. Rounding may turn that one downwards, but no step begins below another, so
    that it always ends.
    """

    def step(
        threshold: Tensor, least: Tensor, size: Tensor, _: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        least = ops.maximum(least, threshold)
        threshold, support = _newton_step(logits, least)
        return threshold, least, support, ops.any(support < size)

    more_than_all = ops.full_like(start, logits.shape[-1] + 1)
    threshold, *_ = ops.while_loop(
        lambda threshold, least, size, shrinks: shrinks,
        step,
        (start, start, more_than_all, ops.convert_to_tensor(True)),
    )
    return threshold


def _newton_step(logits: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """Return tau after a step, and how many logits are above the one before, each (..., 1).

    The step is Newton's on sum_j max(z_j - tau, 0) - 1, which is convex and falls with tau, so that
    it never leads above the zero.
    """
    probabilities = ops.relu(logits - threshold)
    size = how_many(probabilities > 0, logits)
    excess = ops.sum(probabilities, axis=-1, keepdims=True) - 1
    return threshold + excess / size, size
