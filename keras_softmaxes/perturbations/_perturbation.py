"""What the perturbations share."""

from typing import TYPE_CHECKING, Any, Self

import keras
from keras import ops

from ..support._arguments import Tensor, invalid, is_not_negative
from ..support._configuration import serializable
from ..support._options import Schedule

if TYPE_CHECKING:
    from ._step import Step


@serializable
class Perturbation:
    """Base of what `keras_softmaxes.models.PerturbationMixin` adds to the objective.

    A term of your own overrides `term`, which sees the step and its passes. If it has a constructor
    of its own, it also needs `get_config`, like every Keras object.

    Args:
        weight: what the term is multiplied by: a number of at least 0, or a schedule of the
            optimizer's steps, such as `keras_softmaxes.schedules.GaussianRampUp`.
        name: what the term is logged as in training.

    Attributes:
        perturbs_masks: whether it needs a model with a cut.
        perturbs_inputs: whether it needs gradients with respect to the model's inputs.
        default_name: the name if none is given.

    Raises:
        ValueError: a weight below 0; a name that is empty or "loss".

    Example:
        >>> import keras_softmaxes as ks
        >>> @keras.saving.register_keras_serializable("my_project")
        ... class Confidence(ks.perturbations.Perturbation):
        ...     def term(self, step):
        ...         return -step.mean(keras.ops.max(step.log_probabilities(step.outputs), axis=-1))
        >>> perturbation = Confidence(weight=0.1, name="confidence")
    """

    perturbs_masks = False
    perturbs_inputs = False
    default_name = "perturbation"

    def __init__(self, weight: float | Schedule = 1.0, name: str | None = None) -> None:
        if not isinstance(weight, Schedule) and not is_not_negative(weight):
            expected = "a finite number of at least 0, or a schedule (`GaussianRampUp(1.0, 1000)`)"
            raise invalid("weight", expected, repr(weight))
        name = self.default_name if name is None else name
        if not isinstance(name, str) or name in ("", "loss"):
            raise invalid("name", 'a name for the term, other than "loss"', repr(name))
        self.weight = weight
        self.name = name

    if TYPE_CHECKING:  # they come with `serializable`

        def get_config(self) -> dict[str, Any]:
            """Return the constructor's arguments."""

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Self:
            """Create the perturbation from what `get_config` returned."""

    def check(self, model: keras.Model, loss: Any, cut: Any) -> None:
        """Raise ValueError for a model that the perturbation cannot train; change nothing.

        Args:
            model: the model, which `compile` has not touched yet.
            loss: the loss that it is compiled with.
            cut: its `keras_softmaxes.layers.AdversarialDropout`, or None.
        """

    def build(self, model: keras.Model) -> None:
        """Create variables, of a model that was checked."""

    def read_ahead(self, inputs: Any, index: Tensor | None) -> Any:
        """Return what the step has to check of the batch before it begins.

        Args:
            inputs: of the model.
            index: which example each row is, (batch,), or None where the data do not say.
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
        if isinstance(weight, Schedule):
            weight = ops.cast(weight(step.iteration), term.dtype)
        return weight * term
