"""Noise that differs between replicas."""

import keras

from keras_softmaxes.ops.checks import Tensor
from keras_softmaxes.ops.replicas import replica_number


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
