"""The schedules of learning rates and of weights."""

from ._malleable import MalleableLearningRate as MalleableLearningRate
from ._ramp_up import GaussianRampUp as GaussianRampUp
