"""Softmax heads and losses for Keras 3 that make classifiers generalise better."""

from keras_softmaxes import constraints as constraints
from keras_softmaxes import datasets as datasets
from keras_softmaxes import layers as layers
from keras_softmaxes import losses as losses
from keras_softmaxes import metrics as metrics
from keras_softmaxes import models as models
from keras_softmaxes import ops as ops
from keras_softmaxes import perturbations as perturbations
from keras_softmaxes import schedules as schedules

__version__ = "0.1.0"
