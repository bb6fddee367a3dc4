"""The first classes of each example."""

from typing import Any

import numpy as np
from keras import ops

from ..support._arguments import check_integer, invalid
from ._classifier import Classifier
from ._draws import batches_of


def top_k(model: Classifier, x: Any, k: int, batch_size: int = 256) -> dict[str, np.ndarray]:
    """Return the k most probable classes of each example, and their probabilities.

    With a `keras_softmaxes.layers.ManyClasses` the logits of a batch are never all in memory.

    Args:
        model: a `keras_softmaxes.models.Classifier`.
        x: inputs as an array, or any structure of arrays that the model takes, (count, ...) each,
            or a `tf.data.Dataset` of batches x or (x, y); y is not read.
        k: how many classes, from 1 to all.
        batch_size: examples of arrays that are predicted at once.

    Returns:
        A dict of NumPy arrays: "classes", int32, and "probabilities", (count, ..., k) each, the
        largest first.

    Raises:
        ValueError: x that is not made of arrays, or of arrays of unequal length; no examples; a k
            or batch_size that is not an integer in its range; a model that is not a `Classifier`.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> head = ks.layers.ManyClasses(50_000, kernel_initializer="glorot_uniform")
        >>> model = ks.models.Classifier(keras.layers.Flatten(), head)
        >>> found = ks.models.top_k(model, np.ones((2, 4)), k=3)
        >>> found["classes"].shape, found["probabilities"].shape
        ((2, 3), (2, 3))
    """
    if not isinstance(model, Classifier):
        raise invalid("model", "a `keras_softmaxes.models.Classifier`", repr(model))
    check_integer("batch_size", batch_size, least=1)
    check_integer("k", k, least=1, most=model.head.units)
    parts = [
        {name: ops.convert_to_numpy(each) for name, each in found.items()}
        for found in (
            model.head.first(model(batch, training=False), k) for batch in batches_of(x, batch_size)
        )
    ]
    if not parts:
        raise invalid("x", "at least one batch", "none")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
