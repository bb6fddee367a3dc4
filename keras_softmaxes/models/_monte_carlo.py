"""Monte Carlo prediction: the distribution behind a stochastic head's probabilities."""

import operator
from typing import Any

import keras
import numpy as np
from keras import ops

from ..layers._head import StochasticHead
from ..support._arguments import Tensor, check_integer, invalid
from ._classifier import Classifier


def monte_carlo(
    model: keras.Model, x: Any, samples: int, batch_size: int = 256, seed: int | None = None
) -> dict[str, np.ndarray]:
    """Average the class probabilities over draws of the head's random variables.

        p(y | x) = 1/S sum_s p(y | x, z_s),   z_s ~ p(z | x)

    For `keras_softmaxes.layers.DropMax` each z is a mask drawn with the retain probabilities; no
    label is involved. The network below the head runs once for each batch and the head's softmax
    once for each draw; no draw is kept, so that the memory does not depend on their number.

    Args:
        model: a `keras_softmaxes.models.Classifier` of a stochastic head, as `DropMax`.
        x: inputs as an array, or any structure of arrays that the model takes, (count, ...) each.
        samples: the number of draws S, at least 1. The paper shows 1,000.
        batch_size: examples that are predicted at once.
        seed: integer that fixes the draws, for one batch_size; None takes it from
            `keras.utils.set_random_seed`.

    Returns:
        A dict of NumPy arrays, each (count, ..., classes): "mean", the probabilities, and "stddev",
        their (population) standard deviation over the draws.

    Raises:
        ValueError: x that is not made of arrays, or of arrays of unequal length; samples or
            batch_size that are not integers of at least 1; no examples; a model without a
            stochastic head.

    Example:
        >>> import keras_softmaxes as ks
        >>> model = ks.models.Classifier(keras.layers.Flatten(), ks.layers.DropMax(3))
        >>> result = ks.models.monte_carlo(model, np.ones((2, 4)), samples=20, seed=1)
        >>> result["mean"].shape, bool((result["stddev"] > 0).all())
        ((2, 3), True)

    Reference:
        Lee et al., DropMax: Adaptive Variational Softmax, NeurIPS 2018, Eq. 14
        (https://arxiv.org/abs/1712.07834).
    """
    arrays = keras.tree.flatten(x)
    if not arrays or not all(getattr(array, "shape", ()) for array in arrays):
        raise invalid("x", "an array, or a structure of arrays", type(x).__name__)
    count, *others = (len(array) for array in arrays)
    if set(others) - {count}:
        raise invalid("x", "arrays of one length", f"lengths {[count, *others]}")
    for argument, value in {"samples": samples, "batch_size": batch_size, "len(x)": count}.items():
        check_integer(argument, value, least=1)
    if not isinstance(model, Classifier) or not isinstance(model.head, StochasticHead):
        expected = "a `keras_softmaxes.models.Classifier` of a stochastic head, as `DropMax`"
        raise invalid("model", expected, repr(model))
    generator = keras.random.SeedGenerator(seed)
    means, deviations = [], []
    for start in range(0, count, batch_size):
        rows = slice(start, start + batch_size)
        batch = keras.tree.map_structure(operator.itemgetter(rows), x)
        outputs = model(batch, training=False)
        mean, deviation = _statistics(model.head, outputs, samples, generator)
        means.append(ops.convert_to_numpy(mean))
        deviations.append(ops.convert_to_numpy(deviation))
    return {"mean": np.concatenate(means), "stddev": np.concatenate(deviations)}


def _statistics(
    head: StochasticHead,
    outputs: dict[str, Tensor],
    samples: int,
    generator: keras.random.SeedGenerator,
) -> tuple[Tensor, Tensor]:
    """Return the running mean and deviation of the draws (Welford 1962)."""
    mean = squares = ops.zeros(())
    for count in range(1, samples + 1):
        deviation = head.sample_probabilities(outputs, generator) - mean
        mean = mean + deviation / count
        squares = squares + deviation**2 * ((count - 1) / count)
    return mean, ops.sqrt(squares / samples)
