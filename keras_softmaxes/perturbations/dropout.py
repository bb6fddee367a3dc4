"""Perturbations of the dropout mask: SAdD, VAdD and the Pi-model."""

from typing import Any, Literal

import keras
from keras import ops

from keras_softmaxes.layers.adversarial_dropout import AdversarialDropout
from keras_softmaxes.ops.checks import Tensor, invalid
from keras_softmaxes.ops.divergences import categorical_kl, squared_distance
from keras_softmaxes.perturbations.base import Perturbation, Schedule
from keras_softmaxes.perturbations.predictions import check_class_probabilities
from keras_softmaxes.perturbations.step import Step


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class SupervisedAdversarialDropout(Perturbation):
    """SAdD: the loss under the mask that raises it the most.

        L = D[ y, f(x, e_adv) ]

    D is the loss that the model was compiled with, sample weights included. e_adv differs from the
    random mask of the clean pass in at most floor(budget * units) entries, those of the steepest
    first-order rise; see `keras_softmaxes.ops.adversarial_mask`.

    Args:
        weight: lambda in Eq. 6, a number of at least 0 or a schedule. The paper's is 1.

    Raises:
        ValueError: a weight below 0; in training, a batch without labels.

    Example:
        >>> import keras_softmaxes as ks
        >>> perturbation = ks.perturbations.SupervisedAdversarialDropout(weight=0.5)

    Reference:
        Park et al., Adversarial Dropout, AAAI 2018, Eq. 4 (https://arxiv.org/abs/1707.03631).
    """

    def term(self, step: Step) -> Tensor:
        """Return the loss under the adversarial mask."""
        mask = step.adversarial_mask(step.magnified_loss)
        return step.supervised_loss(step.outputs_under(mask))


class Consistency(Perturbation):
    """Base of the divergences between two predictions of one network.

    Args:
        weight: a number of at least 0, or a schedule.
        divergence: "kl", between class probabilities, or "quadratic", the squared Euclidean
            distance of predictions of any kind.
    """

    def __init__(
        self,
        weight: float | Schedule = 1.0,
        divergence: Literal["kl", "quadratic"] = "kl",
    ) -> None:
        super().__init__(weight)
        if divergence not in ("kl", "quadratic"):
            raise invalid("divergence", '"kl" or "quadratic"', repr(divergence))
        self.divergence = divergence

    def compile(self, model: keras.Model, cut: AdversarialDropout) -> None:
        """Refuse a model whose predictions have no KL divergence."""
        if self.divergence == "kl":
            name = type(self).__name__
            owner = f"`{name}()` (any loss will do for `{name}(divergence='quadratic')`)"
            check_class_probabilities(model.loss, owner)

    def compare(self, step: Step, outputs: Any, others: Any) -> Tensor:
        """Return D[outputs, others] of each row, (batch,)."""
        if self.divergence == "quadratic":
            return squared_distance(step.predictions(outputs), step.predictions(others))
        return categorical_kl(step.log_probabilities(outputs), step.log_probabilities(others))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "divergence": self.divergence}


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class VirtualAdversarialDropout(Consistency):
    """VAdD: the divergence between the random mask and the one that raises it the most.

        L = D[ f(x, e_s), f(x, e_adv) ]

    over all rows, labelled or not. Gradients flow through both sides, as in the authors' code.
    e_adv differs from the random mask e_s of the clean pass in at most floor(budget * units)
    entries, those of the steepest first-order rise; see `keras_softmaxes.ops.adversarial_mask`.

    Args:
        weight: lambda in Eq. 6, a number of at least 0 or a schedule. The paper's rises to 1 with
            "kl", to 25 or 30 with "quadratic".
        divergence: "kl", KL(f(x, e_s) || f(x, e_adv)), which needs a loss of classes; or
            "quadratic", the squared Euclidean distance of the predictions.

    Raises:
        ValueError: a weight below 0, another divergence; in compile, "kl" with a loss that makes
            the outputs no distribution over classes, and a cut whose rate is 0.

    Example:
        >>> import keras_softmaxes as ks
        >>> rising = ks.schedules.GaussianRampUp(maximum=1.0, steps=1000)
        >>> perturbation = ks.perturbations.VirtualAdversarialDropout(weight=rising)

    Reference:
        Park et al., Adversarial Dropout, AAAI 2018, Eq. 5 (https://arxiv.org/abs/1707.03631).
    """

    def compile(self, model: keras.Model, cut: AdversarialDropout) -> None:
        """Refuse a cut without random masks: at a mask of ones the divergence has its minimum."""
        super().compile(model, cut)
        if cut.rate == 0:
            expected = "a rate above 0 at the cut, for virtual adversarial dropout"
            raise invalid("rate", expected, cut.rate)

    def term(self, step: Step) -> Tensor:
        """Return the mean divergence."""
        clean = keras.tree.map_structure(ops.stop_gradient, step.outputs)
        mask = step.adversarial_mask(lambda outputs: ops.sum(self.compare(step, clean, outputs)))
        return step.mean(self.compare(step, step.outputs, step.outputs_under(mask)))


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class PiModel(Consistency):
    """Pi-model: the divergence between two masks that are drawn at random.

        L = D[ f(x, e_1), f(x, e_2) ]

    over all rows, labelled or not. What is below the cut is computed once: the two passes differ by
    the mask there and by what is random above it.

    Args:
        weight: a number of at least 0 or a schedule.
        divergence: "quadratic", the squared Euclidean distance of the predictions, or "kl". Laine &
            Aila divide the squared distance by the number of classes; their weight of 100 is 10
            here for ten classes.

    Raises:
        ValueError: as `VirtualAdversarialDropout`.

    Example:
        >>> import keras_softmaxes as ks
        >>> perturbation = ks.perturbations.PiModel(divergence="kl")

    Reference:
        Laine & Aila, Temporal Ensembling for Semi-Supervised Learning, ICLR 2017
        (https://arxiv.org/abs/1610.02242); Park et al., Adversarial Dropout, AAAI 2018, Eq. 1.
    """

    def __init__(
        self,
        weight: float | Schedule = 1.0,
        divergence: Literal["kl", "quadratic"] = "quadratic",
    ) -> None:
        super().__init__(weight, divergence)

    def term(self, step: Step) -> Tensor:
        """Return the mean divergence."""
        others = step.outputs_under_other_noise()
        return step.mean(self.compare(step, step.outputs, others))
