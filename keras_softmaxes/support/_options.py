"""The types of arguments that Keras's classes take."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

import keras
import numpy as np

from ._arguments import Tensor

DType: TypeAlias = str | keras.DTypePolicy | None
Initializer: TypeAlias = str | dict[str, Any] | Callable[..., Tensor]
Regularizer: TypeAlias = str | dict[str, Any] | Callable[..., Tensor] | None
Reduction: TypeAlias = (
    Literal["sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none"] | None
)
Numbers: TypeAlias = Sequence[float] | np.ndarray  # one per class
Schedule = keras.optimizers.schedules.LearningRateSchedule


class LayerOptions(TypedDict, total=False):
    """The arguments of every Keras layer."""

    activity_regularizer: Regularizer
    trainable: bool
    dtype: DType
    autocast: bool
    name: str | None


class BranchOptions(LayerOptions, total=False):
    """The arguments of every layer, and of the logits' and the branches' variables."""

    bias_initializer: Initializer
    kernel_regularizer: Regularizer
    bias_regularizer: Regularizer


class LinearOptions(BranchOptions, total=False):
    """The arguments of every head with logits."""

    kernel_initializer: Initializer


class LossOptions(TypedDict, total=False):
    """The arguments of every `HeadLoss`."""

    ignore_class: int | None
    reduction: Reduction
    name: str | None
    dtype: DType
    class_weight: Numbers | None
    logit_adjustment: Numbers | None
