"""All random draws, which differ between replicas; the only place that imports TFP."""

import keras
import numpy as np
from keras import ops

from ..ops._dropmax import dropmax_log_mask
from ..support._arguments import Tensor
from ..support._replicas import replica_number


def draw_uniform(
    shape: tuple[int, ...] | Tensor, dtype: str, generator: keras.random.SeedGenerator
) -> Tensor:
    """Draw from [0, 1), repeatably under `keras.utils.set_random_seed`.

    Args:
        shape: the shape of the noise.
        dtype: its type, a float one.
        generator: state of the random numbers; it advances by one draw.

    Returns:
        The noise. Each replica of a `tf.distribute` strategy draws its own.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.random.stateless_uniform(shape, replica_seed(generator), dtype=dtype)
    return keras.random.uniform(shape, dtype=dtype, seed=generator)


def draw_normal(
    shape: tuple[int, ...] | Tensor, dtype: str, generator: keras.random.SeedGenerator
) -> Tensor:
    """Draw standard normal numbers, with the arguments and the result of `draw_uniform`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.random.stateless_normal(shape, replica_seed(generator), dtype=dtype)
    return keras.random.normal(shape, dtype=dtype, seed=generator)


def draw_log_mask(
    logits: Tensor, temperature: float, generator: keras.random.SeedGenerator
) -> Tensor:
    """Draw the logarithm of a relaxed Bernoulli mask, reparameterised.

    On TensorFlow the draw is TensorFlow Probability's `RelaxedBernoulli`, taken before its sigmoid,
    by a stateless seed: it repeats under `keras.utils.set_random_seed` and differs between the
    replicas of a `tf.distribute` strategy. On the other backends it is `dropmax_log_mask` of
    `keras.random`.

    Args:
        logits: logits of the retain probabilities, (..., classes), float32 or float64.
        temperature: the relaxation, above 0.
        generator: state of the random numbers; it advances by one draw.

    Returns:
        log z, (..., classes).
    """
    if keras.backend.backend() == "tensorflow":
        return _draw_by_tfp(logits, temperature, replica_seed(generator))
    shape, dtype = ops.shape(logits), keras.backend.standardize_dtype(logits.dtype)
    uniform = keras.random.uniform(shape, np.finfo(dtype).tiny, 1.0, dtype=dtype, seed=generator)
    return dropmax_log_mask(logits, uniform, temperature)


def _draw_by_tfp(logits: Tensor, temperature: float, seed: Tensor) -> Tensor:
    import tensorflow as tf
    import tensorflow_probability as tfp

    # `RelaxedBernoulli` is the sigmoid of this variable: its documentation says so, and a test
    # shows the draws to be equal. The logarithm of the sample would lose the tails to NaN.
    logistic = tfp.distributions.Logistic(logits / temperature, 1 / temperature)
    return tf.math.log_sigmoid(logistic.sample(seed=seed))


def replica_seed(generator: keras.random.SeedGenerator) -> Tensor:
    """Return TensorFlow's stateless seed of the next draw, which differs between replicas.

    Args:
        generator: state of the random numbers; it advances by one draw.

    Returns:
        (2,) int32, which TensorFlow Probability takes too.
    """
    import tensorflow as tf

    seed = tf.cast(generator.next(), tf.int32)
    return tf.random.experimental.stateless_fold_in(seed, replica_number())
