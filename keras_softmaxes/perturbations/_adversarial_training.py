"""Adversarial training, by the fast gradient sign method."""

from keras import ops

from ..support._arguments import Tensor, check_positive
from ..support._configuration import serializable
from ..support._options import Schedule
from ._perturbation import Perturbation
from ._step import Step


@serializable
class AdversarialTraining(Perturbation):
    """AT: the loss at inputs moved by the fast gradient sign method.

        L = l( y, f(x + epsilon sign(dl/dx)) )

    l is the loss that the model was compiled with, sample weights included. The inputs are not
    clipped to a range of pixels.

    Args:
        epsilon: the largest change of an entry of the inputs (its L-infinity norm), above 0.
            Goodfellow et al. take 0.25 for MNIST's pixels in [0, 1].
        weight: a number of at least 0 or a schedule. Goodfellow et al. average the two losses;
            with 1 they are added, which is twice that.
        name: what the term is logged as in training.

    Raises:
        ValueError: an epsilon that is not above 0, a weight below 0; in training, inputs that are
            not one tensor of floats.

    Example:
        >>> import keras_softmaxes as ks
        >>> perturbation = ks.perturbations.AdversarialTraining(epsilon=0.25)

    Reference:
        Goodfellow et al., Explaining and Harnessing Adversarial Examples, ICLR 2015
        (https://arxiv.org/abs/1412.6572).
    """

    perturbs_inputs = True
    default_name = "adversarial_training"

    def __init__(
        self, epsilon: float, weight: float | Schedule = 1.0, *, name: str | None = None
    ) -> None:
        super().__init__(weight, name=name)
        self.epsilon = check_positive("epsilon", epsilon)

    def term(self, step: Step) -> Tensor:
        """Return the loss at the adversarial inputs."""
        direction = ops.sign(step.input_gradient(step.summed_loss))
        return step.supervised_loss(step.outputs_at(step.inputs + self.epsilon * direction))
