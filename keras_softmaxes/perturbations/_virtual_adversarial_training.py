"""Virtual adversarial training."""

from typing import Any

import keras
from keras import ops

from ..ops._divergences import categorical_kl
from ..support._arguments import Tensor, check_integer, check_positive
from ..support._configuration import serializable
from ..support._options import Schedule
from ._perturbation import Perturbation
from ._predictions import check_class_probabilities
from ._step import Step


@serializable
class VirtualAdversarialTraining(Perturbation):
    """VAT: the divergence to inputs moved in the direction that raises it the most.

        L = KL( f(x) || f(x + r) ),  ||r||_2 = epsilon,  f(x) a constant for gradients

    over all rows, labelled or not. The direction is the dominant eigenvector of the divergence's
    Hessian at r = 0, H = J^T diag(p) J, where J is the Jacobian of log p, found by power steps from
    a random one. A step multiplies by J and then by its transpose. The first product is the
    difference of log p over the whole radius epsilon, the second the gradient of the clean pass
    itself. So there is no small xi to choose, which in float32 easily leaves nothing but rounding,
    and each power step costs one pass forward and one back to the inputs.

    The direction is computed in float32, and scaled so that half precision can hold it.

    Args:
        epsilon: the L2 norm of each example's change, above 0, in the units of the inputs.
        weight: a number of at least 0 or a schedule. Miyato et al. have 1.
        power_steps: how many power steps, at least 1, which is Miyato et al.'s.
        name: what the term is logged as in training.

    Raises:
        ValueError: an epsilon that is not above 0, a weight below 0, power steps that are not an
            integer of at least 1; in compile, a loss that makes the outputs no distribution over
            classes; in training, inputs that are not one tensor of floats.

    Example:
        >>> import keras_softmaxes as ks
        >>> perturbation = ks.perturbations.VirtualAdversarialTraining(epsilon=1.5)

    Reference:
        Miyato et al., Virtual Adversarial Training, TPAMI 2018, Eqs. 5 to 12
        (https://arxiv.org/abs/1704.03976).
    """

    perturbs_inputs = True
    default_name = "virtual_adversarial_training"

    def __init__(
        self,
        epsilon: float,
        weight: float | Schedule = 1.0,
        power_steps: int = 1,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(weight, name=name)
        self.epsilon = check_positive("epsilon", epsilon)
        self.power_steps = check_integer("power_steps", power_steps, least=1)

    def check(self, model: keras.Model, loss: Any, cut: Any) -> None:
        """Raise ValueError for a model whose predictions have no KL divergence."""
        check_class_probabilities(loss, "`VirtualAdversarialTraining`")

    def term(self, step: Step) -> Tensor:
        """Return the mean divergence."""
        clean = ops.stop_gradient(step.log_probabilities(step.outputs))
        direction = _unit(step.draw_normal())
        for _ in range(self.power_steps):
            direction = self._power_step(step, clean, direction)
        moved = step.log_probabilities(step.outputs_at(self._moved(step, direction)))
        return step.mean(categorical_kl(clean, moved))

    def _power_step(self, step: Step, clean: Tensor, direction: Tensor) -> Tensor:
        moved = step.log_probabilities(step.outputs_at(self._moved(step, direction)))
        probabilities = ops.exp(clean)
        along = probabilities * (moved - clean)
        along = along - probabilities * ops.sum(along, axis=-1, keepdims=True)
        largest = ops.max(ops.abs(along), axis=-1, keepdims=True)
        along = ops.stop_gradient(ops.divide_no_nan(along, largest))
        gradient = step.input_gradient(
            lambda outputs: ops.sum(along * step.log_probabilities(outputs))
        )
        return _unit(gradient)

    def _moved(self, step: Step, direction: Tensor) -> Tensor:
        return step.inputs + ops.cast(self.epsilon * direction, step.inputs.dtype)


def _unit(vectors: Tensor) -> Tensor:
    """Return the vectors divided by their L2 norms, in float32; zeros stay zeros."""
    vectors = ops.cast(vectors, "float32")
    axes = tuple(range(1, len(vectors.shape)))
    vectors = ops.divide_no_nan(vectors, ops.max(ops.abs(vectors), axis=axes, keepdims=True))
    squares = ops.sum(ops.square(vectors), axis=axes, keepdims=True)
    return ops.divide_no_nan(vectors, ops.sqrt(squares))
