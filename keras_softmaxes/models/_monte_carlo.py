"""Monte Carlo prediction: the distribution behind a stochastic head's probabilities."""

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from ..layers._head import StochasticHead
from ..support._arguments import Tensor, check_integer, invalid
from ._classifier import Classifier
from ._draws import add_draw, batches_of, joined, statistics


def monte_carlo(
    model: keras.Model, x: Any, samples: int, batch_size: int = 256, seed: int | None = None
) -> dict[str, np.ndarray]:
    """Average the class probabilities over draws of the head's random variables.

        p(y | x) = 1/S sum_s p(y | x, z_s),   z_s ~ p(z | x)

    For `keras_softmaxes.layers.DropMax` each z is a mask drawn with the retain probabilities; no
    label is involved. The network below the head runs once for each batch and the head's softmax
    once for each draw; no draw is kept, so that the memory does not depend on their number.

    In a graph it returns tensors, so that it can be served: `archive.add_endpoint("monte_carlo",
    lambda x: ks.models.monte_carlo(model, x, 100), signature)` of `keras.export.ExportArchive`.

    Args:
        model: a `keras_softmaxes.models.Classifier` of a stochastic head, as `DropMax`.
        x: inputs as an array, or any structure of arrays that the model takes, (count, ...) each,
            or a `tf.data.Dataset` of batches x or (x, y); y is not read.
        samples: the number of draws S, at least 1. The paper shows 1,000.
        batch_size: examples of arrays that are predicted at once.
        seed: integer that fixes the draws, for one batch_size; None takes it from
            `keras.utils.set_random_seed`, and in a graph from the head's own generator.

    Returns:
        A dict of NumPy arrays, each (count, ..., classes): "mean", the probabilities, and "stddev",
        their (population) standard deviation over the draws.

    Raises:
        ValueError: x that is not made of arrays, or of arrays of unequal length; samples or
            batch_size that are not integers of at least 1; no examples; a model without a
            stochastic head; in a graph, a seed.

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
    check_integer("samples", samples, least=1)
    check_integer("batch_size", batch_size, least=1)
    if not isinstance(model, Classifier) or not isinstance(model.head, StochasticHead):
        expected = "a `keras_softmaxes.models.Classifier` of a stochastic head, as `DropMax`"
        raise invalid("model", expected, repr(model))
    if _is_symbolic(x):
        if seed is not None:
            raise invalid("seed", "None in a graph, where the head's generator draws", seed)
        return _in_graph(model, x, samples)
    generator = keras.random.SeedGenerator(seed)

    def measured(batch: Any) -> tuple[Tensor, Tensor]:
        outputs = model(batch, training=False)
        return statistics(partial(model.head.sample_probabilities, outputs, generator), samples)

    return joined(map(measured, batches_of(x, batch_size)))


def _is_symbolic(x: Any) -> bool:
    """Tell whether x is what a TensorFlow graph will be fed."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return any(tf.is_tensor(each) and tf.is_symbolic_tensor(each) for each in keras.tree.flatten(x))


def _in_graph(model: Classifier, x: Any, samples: int) -> dict[str, Tensor]:
    """Return the statistics as tensors, from a loop that does not grow with the draws."""
    head, outputs = model.head, model(x, training=False)

    def draw(index: Tensor, sums: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        count = ops.cast(index + 1, sums[0].dtype)
        return add_draw(head.sample_probabilities(outputs, head.seed_generator), *sums, count)

    zeros = ops.zeros_like(outputs["probabilities"])
    mean, squares = ops.fori_loop(0, samples, draw, (zeros, zeros))
    return {"mean": mean, "stddev": ops.sqrt(squares / samples)}
