"""The Gaussian ramp-up of weights."""

import keras
from keras import ops

from ..support._arguments import MOST, Tensor, check_integer, check_not_negative
from ..support._configuration import serializable


@serializable
class GaussianRampUp(keras.optimizers.schedules.LearningRateSchedule):
    """Weight that rises as half a Gaussian, and then stays.

        w(t) = maximum exp( -5 (1 - t / T)^2 )  up to the step T

    from 0.0067 of the maximum. For the weights of `keras_softmaxes.perturbations`: early in
    training the predictions are not yet worth being consistent with.

    Args:
        maximum: the weight that is reached, at least 0: in the adversarial-dropout paper 1 with the
            KL divergence, 25 to 30 with the quadratic one.
        steps: T, at least 1. The paper ramps up over 30 epochs (MNIST) or 80 (SVHN, CIFAR-10);
            steps are epochs times the steps of one.
        name: name of the schedule.

    Raises:
        ValueError: a maximum below 0, steps that are not an integer of at least 1.

    Example:
        >>> import keras_softmaxes as ks
        >>> weight = ks.schedules.GaussianRampUp(maximum=1.0, steps=100)
        >>> [round(float(weight(step)), 4) for step in (0, 50, 100, 1000)]
        [0.0067, 0.2865, 1.0, 1.0]

    Reference:
        Laine & Aila, Temporal Ensembling for Semi-Supervised Learning, ICLR 2017, section 2.1
        (https://arxiv.org/abs/1610.02242).
    """

    def __init__(self, maximum: float, steps: int, name: str = "GaussianRampUp") -> None:
        super().__init__()
        self.maximum = check_not_negative("maximum", maximum)
        self.steps = check_integer("steps", steps, least=1, most=MOST)
        self.name = name

    def __call__(self, step: Tensor) -> Tensor:
        """Return the weight at a step, float32."""
        left = 1 - ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        return self.maximum * ops.exp(-5.0 * ops.square(left))
