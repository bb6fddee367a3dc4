"""All random draws, which differ between replicas; the only place that imports TFP."""

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from ..ops._dropmax import dropmax_log_mask
from ..support._arguments import Tensor
from ..support._replicas import replica_number
from ..support._xla import xla_compiled_with_gradient

GENERATOR = "seed_generator"


class Seeded(keras.layers.Layer):
    """Base of the layers that draw: what they draw next is saved with their weights.

    Keras saves no seed generator, so that a training that is killed and resumed would draw the
    first masks again.
    """

    seed_generator: keras.random.SeedGenerator

    def save_own_variables(self, store: Any) -> None:
        """Save the state of the generator too."""
        super().save_own_variables(store)
        store[GENERATOR] = self.seed_generator.state

    def load_own_variables(self, store: Any) -> None:
        """Load the state of the generator too; weights without it leave it as it is."""
        names = list(store.keys())
        super().load_own_variables({name: store[name] for name in names if name != GENERATOR})
        if GENERATOR in names:
            self.seed_generator.state.assign(store[GENERATOR])
        else:
            message = f"The weights hold no seed generator for `{self.name}`: its draws start anew."
            warnings.warn(message, stacklevel=2)


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
    dtype = keras.backend.standardize_dtype(logits.dtype)
    uniform = draw_uniform(ops.shape(logits), dtype, generator)
    mask_of = _log_mask_by_tfp if keras.backend.backend() == "tensorflow" else _log_mask
    return mask_of(uniform, {"logits": logits}, temperature, float(np.finfo(dtype).tiny))


def _log_mask(
    uniform: Tensor, tensors: dict[str, Tensor], temperature: float, tiny: float
) -> Tensor:
    return dropmax_log_mask(tensors["logits"], ops.maximum(uniform, tiny), temperature)


@xla_compiled_with_gradient
def _log_mask_by_tfp(
    uniform: Tensor, tensors: dict[str, Tensor], temperature: float, tiny: float
) -> Tensor:
    """Return the draw of TFP's `RelaxedBernoulli` that belongs to uniform numbers.

    `RelaxedBernoulli` is the sigmoid of this variable: its documentation says so, and a test shows
    the draws to be equal. The logarithm of the sample would lose the tails to NaN. The numbers are
    drawn outside of the kernel, where XLA's are a hundred times slower.
    """
    import tensorflow as tf
    import tensorflow_probability as tfp

    logistic = tfp.distributions.Logistic(tensors["logits"] / temperature, 1 / temperature)
    return tf.math.log_sigmoid(logistic.quantile(tf.maximum(uniform, tiny)))


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
