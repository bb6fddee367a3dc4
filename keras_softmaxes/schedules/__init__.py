"""The schedules of learning rates."""

from keras_softmaxes.schedules.malleable import MalleableLearningRate as MalleableLearningRate
