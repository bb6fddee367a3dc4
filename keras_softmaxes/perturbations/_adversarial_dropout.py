"""Adversarial dropout masks: SAdD and VAdD."""

from typing import Any

import keras
from keras import ops

from ..support._arguments import Tensor, invalid
from ..support._configuration import serializable
from ._consistency import Consistency
from ._perturbation import Perturbation
from ._step import Step


@serializable
class SupervisedAdversarialDropout(Perturbation):
    """SAdD: the loss under the mask that raises it the most.

        L = D[ y, f(x, e_adv) ]

    D is the loss that the model was compiled with, sample weights included. e_adv differs from the
    random mask of the clean pass in at most floor(budget * units) entries, those of the steepest
    first-order rise; see `keras_softmaxes.ops.adversarial_mask`.

    Args:
        weight: lambda in Eq. 6, a number of at least 0 or a schedule. The paper's is 1.
        name: what the term is logged as in training.

    Raises:
        ValueError: a weight below 0.

    Example:
        >>> import keras_softmaxes as ks
        >>> perturbation = ks.perturbations.SupervisedAdversarialDropout(weight=0.5)

    Reference:
        Park et al., Adversarial Dropout, AAAI 2018, Eq. 4 (https://arxiv.org/abs/1707.03631).
    """

    perturbs_masks = True
    default_name = "supervised_adversarial_dropout"

    def term(self, step: Step) -> Tensor:
        """Return the loss under the adversarial mask."""
        mask = step.adversarial_mask(step.summed_loss)
        return step.supervised_loss(step.outputs_under(mask))


@serializable
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
        name: what the term is logged as in training.

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

    perturbs_masks = True
    default_name = "virtual_adversarial_dropout"

    def check(self, model: keras.Model, loss: Any, cut: Any) -> None:
        """Raise for a cut without random masks: at a mask of ones the divergence is minimal."""
        super().check(model, loss, cut)
        if cut.rate == 0:
            expected = "a rate above 0 at the cut, for virtual adversarial dropout"
            raise invalid("rate", expected, cut.rate)

    def term(self, step: Step) -> Tensor:
        """Return the mean divergence."""
        clean = keras.tree.map_structure(ops.stop_gradient, step.outputs)
        mask = step.adversarial_mask(lambda outputs: ops.sum(self.compare(step, clean, outputs)))
        return step.mean(self.compare(step, step.outputs, step.outputs_under(mask)))
