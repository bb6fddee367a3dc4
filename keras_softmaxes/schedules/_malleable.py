"""The malleable learning rate."""

from collections.abc import Sequence
from itertools import pairwise

import keras
import numpy as np
from keras import ops

from ..support._arguments import Tensor, check_finite, check_positive, invalid, is_list
from ..support._configuration import serializable


@serializable
class MalleableLearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate whose logarithm is piecewise linear.

        eta(n) = eta_0 exp( a_k + (b_k - a_k) (n - n_{k-1}) / (n_k - n_{k-1}) )

    Piece k is of the steps n from n_{k-1} to n_k and goes from the exponent a_k to b_k, where the
    next one begins; after the last one the rate stays. The paper prints log(a) and log(b), but its
    values, (0, -8) and (-8, -9), are exponents already. It counts epochs; steps are epochs times
    the steps of one.

    Args:
        initial_learning_rate: eta_0, above 0, the rate of exponent 0.
        boundaries: the steps at which the pieces end, ascending, above 0.
        exponents: where the pieces begin and end, one more than there are pieces: the paper's are
            [0, -8, -9], in pieces of 1,000 and 100 epochs.
        name: name of the schedule.

    Raises:
        ValueError: boundaries that do not ascend from above 0, exponents that are not finite or are
            not one more than the boundaries, an initial rate that is not above 0.

    Example:
        >>> import keras_softmaxes as ks
        >>> rate = ks.schedules.MalleableLearningRate(0.1, [1000, 1100], [0, -8, -9])
        >>> [round(float(rate(step)), 6) for step in (0, 500, 1000, 1100, 2000)]
        [0.1, 0.001832, 3.4e-05, 1.2e-05, 1.2e-05]

    Reference:
        Luo et al., G-softmax, IEEE TNNLS 2019, Eq. 17 (https://arxiv.org/abs/1904.04317).
    """

    def __init__(
        self,
        initial_learning_rate: float,
        boundaries: Sequence[int],
        exponents: Sequence[float],
        name: str = "MalleableLearningRate",
    ) -> None:
        super().__init__()
        check_positive("initial_learning_rate", initial_learning_rate)
        for argument, values in (("boundaries", boundaries), ("exponents", exponents)):
            if not is_list(values):
                raise invalid(argument, "a list of numbers", repr(values))
            for value in values:
                check_finite(argument, value)
        boundaries, exponents = list(boundaries), list(exponents)
        if not boundaries or np.min(np.diff([0, *boundaries])) <= 0:
            raise invalid("boundaries", "ascending steps above 0", boundaries)
        if len(exponents) != len(boundaries) + 1:
            expected = f"{len(boundaries) + 1} numbers, one more than there are boundaries"
            raise invalid("exponents", expected, exponents)
        self.initial_learning_rate = float(initial_learning_rate)
        self.boundaries = [float(step) for step in boundaries]
        self.exponents = [float(exponent) for exponent in exponents]
        self.name = name

    def __call__(self, step: Tensor) -> Tensor:
        """Return the learning rate of a step."""
        step = ops.cast(step, keras.config.floatx())
        exponent = self.exponents[0]
        pieces = zip(pairwise([0, *self.boundaries]), pairwise(self.exponents), strict=True)
        for (start, end), (first, last) in pieces:
            exponent += (last - first) * ops.clip((step - start) / (end - start), 0, 1)
        return self.initial_learning_rate * ops.exp(exponent)
