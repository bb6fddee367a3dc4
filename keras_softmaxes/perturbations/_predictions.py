"""What the outputs of a model mean, according to its loss."""

from typing import Any

import keras
from keras import ops

from ..losses._head_loss import HeadLoss
from ..losses._paired_gsoftmax import PairedCrossentropy
from ..ops._likelihood import log
from ..support._arguments import Tensor, invalid
from ..support._tensors import at_least_float32

BINARY = (keras.losses.BinaryCrossentropy, keras.losses.BinaryFocalCrossentropy)
CATEGORICAL = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.KLDivergence,
    keras.losses.SparseCategoricalCrossentropy,
    HeadLoss,
)
CATEGORICAL_FUNCTIONS = (
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.kl_divergence,
    keras.losses.sparse_categorical_crossentropy,
)


def check_single_loss(loss: Any) -> None:
    """Raise ValueError for several outputs, whose terms would need weights of their own."""
    if loss is None or keras.tree.is_nested(loss):
        raise invalid("loss", "a single loss, of a model with one output", repr(loss))


def check_class_probabilities(loss: Any, owner: str) -> None:
    """Raise ValueError unless the loss makes the outputs a distribution over classes."""
    known = keras.losses.get(loss)
    is_categorical = isinstance(known, CATEGORICAL) and not isinstance(known, PairedCrossentropy)
    if not is_categorical and known not in CATEGORICAL_FUNCTIONS:
        expected = f"a loss of classes, whose probabilities have the KL divergence of {owner}"
        raise invalid("loss", expected, repr(loss))


def predictions(outputs: Any, loss: Any) -> Tensor:
    """Return what the outputs predict, at least in float32.

    Args:
        outputs: what a model returns.
        loss: the loss it was compiled with.

    Returns:
        Probabilities, where `outputs` are the dict of a head or the loss reads logits
        (their softmax, whatever a loss such as `keras_softmaxes.losses.SparsemaxLoss` makes of
        them); else the outputs as they are.

    Raises:
        ValueError: the dict of a head that computes no probabilities, as that of many classes.
    """
    if isinstance(outputs, dict):
        if "probabilities" not in outputs:
            expected = "a head that returns 'probabilities', which the term compares"
            raise invalid("model", expected, f"one of {', '.join(map(repr, outputs))}")
        return at_least_float32(outputs["probabilities"])
    outputs = at_least_float32(outputs)
    if not _reads_logits(loss):
        return outputs
    return ops.sigmoid(outputs) if isinstance(loss, BINARY) else ops.softmax(outputs, axis=-1)


def log_probabilities(outputs: Any, loss: Any) -> Tensor:
    """Return the logarithms of the class probabilities, finite and at least in float32.

    A probability that underflowed counts as the smallest normal number of its type.

    Args:
        outputs: what a model returns.
        loss: the loss it was compiled with, a loss of classes.

    Returns:
        (batch, ..., classes).
    """
    if not isinstance(outputs, dict) and _reads_logits(loss):
        return ops.log_softmax(at_least_float32(outputs), axis=-1)
    return log(predictions(outputs, loss))


def _reads_logits(loss: Any) -> bool:
    return bool(getattr(loss, "from_logits", isinstance(loss, HeadLoss)))
