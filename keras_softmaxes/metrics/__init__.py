"""The metrics."""

from keras_softmaxes.metrics.margin import MarginBias as MarginBias
