"""A norm constraint by an adaptive multiplier."""

from typing import Any, Unpack

import keras
from keras import ops

from ..support._arguments import Tensor, check_positive, invalid
from ..support._configuration import serializable
from ..support._options import LayerOptions, Regularizer
from ._kernel_wrapper import KernelWrapper, kernel_variables


@serializable
class NormConstraint(KernelWrapper):
    """A layer whose kernels' norm is held below a limit by a Karush-Kuhn-Tucker multiplier.

        L = J + alpha (Omega - k),   alpha >= 0

    is minimised over the weights and maximised over alpha: at each training step

        alpha <- max( 0, alpha + rate (Omega - k) )

    so that alpha rises while Omega > k and falls below it. Where the constraint binds, training
    settles at Omega = k, at the alpha whose weight decay has the same minimum; where it does not,
    alpha is 0 and the layer is untouched. `keras.constraints.MaxNorm` reprojects instead: it holds
    the limit exactly at each step, and finds no alpha. The multiplier stays the same in a step that
    the optimizer skips because of the loss scale of half precision (except on JAX).

    Args:
        layer: any layer with a kernel that is called with its inputs alone, once a step.
        limit: k, above 0.
        norm: Omega of a kernel, a Keras regulariser; None is `keras.regularizers.L2(1.0)`, the
            squared L2 norm. Of several kernels it is the sum.
        rate: how fast the multiplier follows, above 0. It must be slow beside the weights.
        **kwargs: the arguments of every Keras layer.

    Input and output:
        Those of the layer.

    Attributes:
        multiplier: alpha, a variable that is saved with the layer, 0 at first.

    Raises:
        ValueError: a limit or rate that is not above 0; when it is built, a layer without a kernel.

    Example:
        >>> import keras_softmaxes as ks
        >>> layer = ks.layers.NormConstraint(keras.layers.Dense(10), limit=4.0)
        >>> layer(keras.ops.ones((2, 4))).shape, float(layer.multiplier)
        (TensorShape([2, 10]), 0.0)

    Reference:
        Goodfellow et al., Deep Learning, 2016, section 7.2 (https://www.deeplearningbook.org).
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        limit: float,
        norm: Regularizer = None,
        rate: float = 0.01,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(layer, **kwargs)
        self.limit: float = check_positive("limit", limit)
        self.rate: float = check_positive("rate", rate)
        self.norm = keras.regularizers.L2(1.0) if norm is None else _regularizer(norm)

    def build(self, input_shape: Any = None) -> None:
        """Build the layer, and create the multiplier."""
        super().build(input_shape)
        self.multiplier: keras.Variable = self._number("multiplier")
        self.proposed: keras.Variable = self._number("proposed_multiplier")
        if not self._moves_in_call:
            kernel = kernel_variables(self.layer)[0]
            kernel.constraint = _AfterStep(kernel.constraint, self.multiplier, self.proposed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the layer's output; in training add the constraint and move the multiplier."""
        outputs = self.layer(inputs)
        if training:
            excess = self.omega() - self.limit
            multiplier = ops.copy(self.multiplier)
            self.add_loss(multiplier * excess)
            change = self.rate * ops.stop_gradient(excess)
            proposed = ops.maximum(multiplier + change, 0.0)
            (self.multiplier if self._moves_in_call else self.proposed).assign(proposed)
        return outputs

    def omega(self) -> Tensor:
        """Return the norm of the kernels, a float32 number."""
        return sum(self.norm(ops.cast(each, "float32")) for each in kernel_variables(self.layer))

    @property
    def _moves_in_call(self) -> bool:
        backend: str = keras.backend.backend()
        return backend == "jax"  # which keeps nothing that a constraint assigns

    def _number(self, name: str) -> keras.Variable:
        return self.add_weight(
            name=name,
            shape=(),
            initializer="zeros",
            trainable=False,
            dtype="float32",
            aggregation="none",  # all replicas compute the same
            autocast=False,
        )


def _regularizer(norm: Any) -> keras.regularizers.Regularizer:
    """Return the regulariser of that name or configuration, or itself."""
    try:
        found = keras.regularizers.get(norm)
    except (TypeError, ValueError):
        found = None
    if not isinstance(found, keras.regularizers.Regularizer):
        raise invalid("norm", "a Keras regulariser", repr(norm))
    return found


class _AfterStep(keras.constraints.Constraint):
    """A kernel's constraint, which takes over what the multiplier becomes.

    Keras applies constraints to what an optimizer has moved, and so only in a step that it takes.
    """

    def __init__(
        self, constraint: Any, multiplier: keras.Variable, proposed: keras.Variable
    ) -> None:
        self.constraint, self.multiplier, self.proposed = constraint, multiplier, proposed

    def __call__(self, kernel: Tensor) -> Tensor:
        self.multiplier.assign(self.proposed)
        return self.constraint(kernel) if self.constraint else kernel
