"""The evidence heads of a model."""

from collections.abc import Iterator

import keras

from keras_softmaxes.layers.head import EvidenceHead


def evidence_heads(model: keras.Model) -> Iterator[EvidenceHead]:
    """Yield the heads among the model's layers and those of the models nested in it."""
    for layer in model.layers:
        if isinstance(layer, EvidenceHead):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from evidence_heads(layer)
