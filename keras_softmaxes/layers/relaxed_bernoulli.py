"""The one function that draws relaxed Bernoulli masks, and the only place that imports TFP."""

import keras
import numpy as np
from keras import ops

from keras_softmaxes.layers.noise import replica_seed
from keras_softmaxes.ops.checks import Tensor
from keras_softmaxes.ops.dropmax import dropmax_log_mask


def draw_log_mask(
    logits: Tensor, temperature: float, generator: keras.random.SeedGenerator
) -> Tensor:
    """Draw the logarithm of a relaxed Bernoulli mask, reparameterised.

    On TensorFlow the draw is TensorFlow Probability's `RelaxedBernoulli`, taken before its sigmoid,
    by a stateless seed: it repeats under `keras.utils.set_random_seed` and differs between the
    replicas of a `tf.distribute` strategy. On the other backends it is `dropmax_log_mask` of
    `keras.random`.

    Args:
        logits: logits of the retain probabilities, (batch, classes), float32 or float64.
        temperature: the relaxation, above 0.
        generator: state of the random numbers; it advances by one draw.

    Returns:
        log z, (batch, classes).
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
