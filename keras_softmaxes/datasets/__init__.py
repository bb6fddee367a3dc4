"""Pipelines of training data, for the TensorFlow backend."""

from keras_softmaxes.datasets.semi_supervised import semi_supervised as semi_supervised
