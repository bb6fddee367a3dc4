"""Schedules of learning rates, and of the weights of perturbations."""

from ._malleable import MalleableLearningRate as MalleableLearningRate
from ._ramp_up import GaussianRampUp as GaussianRampUp
