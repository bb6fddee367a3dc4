"""Softmax heads and losses for Keras 3 that make classifiers generalise better."""

from . import constraints as constraints
from . import datasets as datasets
from . import layers as layers
from . import losses as losses
from . import metrics as metrics
from . import models as models
from . import ops as ops
from . import optimizers as optimizers
from . import perturbations as perturbations
from . import schedules as schedules

__version__ = "0.1.0"
