"""Batches of labelled and unlabelled rows, for the TensorFlow backend."""

from ._semi_supervised import semi_supervised as semi_supervised
