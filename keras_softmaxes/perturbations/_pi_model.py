"""The Pi-model."""

from ..support._arguments import Tensor
from ..support._configuration import serializable
from ..support._options import Schedule
from ._consistency import Consistency, Divergence
from ._step import Step


@serializable
class PiModel(Consistency):
    """Pi-model: the divergence between two masks that are drawn at random.

        L = D[ f(x, e_1), f(x, e_2) ]

    over all rows, labelled or not. Where the model has a cut, what is below it is computed once:
    the two passes differ by the mask there and by what is random above it. Elsewhere they differ by
    all that is random in the model.

    Args:
        weight: a number of at least 0 or a schedule.
        divergence: "quadratic", the squared Euclidean distance of the predictions, or "kl". Laine &
            Aila divide the squared distance by the number of classes; their weight of 100 is 10
            here for ten classes.
        name: what the term is logged as in training.

    Raises:
        ValueError: as `VirtualAdversarialDropout`.

    Example:
        >>> import keras_softmaxes as ks
        >>> perturbation = ks.perturbations.PiModel(divergence="kl")

    Reference:
        Laine & Aila, Temporal Ensembling for Semi-Supervised Learning, ICLR 2017
        (https://arxiv.org/abs/1610.02242); Park et al., Adversarial Dropout, AAAI 2018, Eq. 1.
    """

    default_name = "pi_model"

    def __init__(
        self,
        weight: float | Schedule = 1.0,
        divergence: Divergence = "quadratic",
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(weight, divergence, name=name)

    def term(self, step: Step) -> Tensor:
        """Return the mean divergence."""
        others = step.outputs_under_other_noise()
        return step.mean(self.compare(step, step.outputs, others))
