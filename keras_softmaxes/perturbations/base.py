"""What the perturbations share."""

from typing import TYPE_CHECKING, Any, TypeAlias

import keras
from keras import ops

from keras_softmaxes.layers.adversarial_dropout import AdversarialDropout
from keras_softmaxes.ops.checks import Tensor, invalid, is_not_negative

if TYPE_CHECKING:
    from keras_softmaxes.perturbations.step import Step

Schedule: TypeAlias = keras.optimizers.schedules.LearningRateSchedule


def _is_schedule(weight: Any) -> bool:
    return isinstance(weight, keras.optimizers.schedules.LearningRateSchedule)


class Perturbation:
    """Base of what `keras_softmaxes.models.AdversarialDropoutMixin` adds to the objective.

    Args:
        weight: what the term is multiplied by: a number of at least 0, or a schedule of the
            optimizer's steps, such as `keras_softmaxes.schedules.GaussianRampUp`.

    Attributes:
        perturbs_inputs: whether it needs gradients with respect to the model's inputs.
    """

    perturbs_inputs = False

    def __init__(self, weight: float | Schedule = 1.0) -> None:
        if not _is_schedule(weight) and not is_not_negative(weight):
            expected = "a finite number of at least 0, or a schedule (`GaussianRampUp(1.0, 1000)`)"
            raise invalid("weight", expected, repr(weight))
        self.weight = weight

    def compile(self, model: keras.Model, cut: AdversarialDropout) -> None:
        """Refuse a model that the perturbation cannot train, and create variables.

        Args:
            model: the model, with its loss.
            cut: where it is cut.
        """

    @property
    def variables(self) -> list[keras.Variable]:
        """The state that is saved with the model."""
        return []

    def term(self, step: "Step") -> Tensor:
        """Return the term of one batch, a scalar, scaled for replicas as Keras's losses are."""
        raise NotImplementedError

    def weighted_term(self, step: "Step") -> Tensor:
        """Return the term times its weight at the optimizer's step."""
        term = self.term(step)
        weight: Any = self.weight
        if _is_schedule(weight):
            weight = ops.cast(weight(step.iteration), term.dtype)
        return weight * term

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        weight: Any = self.weight
        if _is_schedule(weight):
            weight = keras.saving.serialize_keras_object(weight)
        return {"weight": weight}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Perturbation":
        """Return the perturbation of a configuration."""
        return cls(**keras.saving.deserialize_keras_object(config))
