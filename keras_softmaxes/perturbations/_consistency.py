"""Divergences between two predictions of one network."""

from typing import Any, Literal

import keras

from ..ops._divergences import categorical_kl, squared_distance
from ..support._arguments import Tensor, check_choice
from ..support._configuration import serializable
from ..support._options import Schedule
from ._perturbation import Perturbation
from ._predictions import check_class_probabilities
from ._step import Step

Divergence = Literal["kl", "quadratic"]


@serializable
class Consistency(Perturbation):
    """Base of the divergences between two predictions of one network.

    Args:
        weight: a number of at least 0, or a schedule.
        divergence: "kl", between class probabilities, or "quadratic", the squared Euclidean
            distance of predictions of any kind.
        name: what the term is logged as in training.
    """

    def __init__(
        self,
        weight: float | Schedule = 1.0,
        divergence: Divergence = "kl",
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(weight, name=name)
        self.divergence = check_choice("divergence", divergence, ("kl", "quadratic"))

    def check(self, model: keras.Model, loss: Any, cut: Any) -> None:
        """Raise ValueError for a model whose predictions have no KL divergence."""
        if self.divergence == "kl":
            name = type(self).__name__
            owner = f"`{name}()` (any loss will do for `{name}(divergence='quadratic')`)"
            check_class_probabilities(loss, owner)

    def compare(self, step: Step, outputs: Any, others: Any) -> Tensor:
        """Return D[outputs, others] of each row, (batch,)."""
        if self.divergence == "quadratic":
            return squared_distance(step.predictions(outputs), step.predictions(others))
        return categorical_kl(step.log_probabilities(outputs), step.log_probabilities(others))
