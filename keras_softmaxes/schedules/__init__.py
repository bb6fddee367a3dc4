"""The schedules of learning rates and of weights."""

from keras_softmaxes.schedules.malleable import MalleableLearningRate as MalleableLearningRate
from keras_softmaxes.schedules.ramp_up import GaussianRampUp as GaussianRampUp
