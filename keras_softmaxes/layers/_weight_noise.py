"""Noise on the weights."""

from typing import Any, Unpack

import keras
from keras import ops

from ..support._arguments import Tensor, check_not_negative, check_seed
from ..support._configuration import serializable
from ..support._options import LayerOptions
from ._kernel_wrapper import KernelWrapper, kernel_variables
from ._random import Seeded, draw_normal


@serializable
class WeightNoise(Seeded, KernelWrapper):
    """A layer whose kernels are noisy in training.

        W' = W + stddev * n,   n ~ N(0, I)

    drawn anew at each training step, for all examples of the batch, or of a replica's share of it,
    together. The gradient is taken at the noisy kernels and moves the clean ones; the variables
    themselves never hold noise, so that saving, exporting and inference see the clean kernels.

    For small noise and the squared error this adds the penalty stddev^2 E[ ||d y_hat / dW||^2 ] on
    average, which leads to flat minima.

    Args:
        layer: any layer with a kernel that is called with its inputs alone: `Dense`, a convolution,
            a recurrent layer.
        stddev: standard deviation of the noise, at least 0, in the units of the weights.
        seed: integer that fixes the draws; None takes it from `keras.utils.set_random_seed`.
        **kwargs: the arguments of every Keras layer.

    Input and output:
        Those of the layer.

    Raises:
        ValueError: a deviation below 0; when it is built, a layer without a kernel.

    Example:
        >>> import keras_softmaxes as ks
        >>> noisy = ks.layers.WeightNoise(keras.layers.Dense(10), stddev=0.05)
        >>> noisy(keras.ops.ones((2, 4)), training=True).shape
        TensorShape([2, 10])

    Reference:
        Jim et al., An Analysis of Noise in Recurrent Neural Networks, IEEE TNN 1996; Goodfellow et
        al., Deep Learning, 2016, section 7.5 (https://www.deeplearningbook.org).
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        stddev: float,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(layer, **kwargs)
        self.stddev: float = check_not_negative("stddev", stddev)
        self.seed: int | None = check_seed(seed)
        self.seed_generator: keras.random.SeedGenerator = keras.random.SeedGenerator(self.seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return the layer's output, in training with noisy kernels."""
        if not training:
            return self.layer(inputs)
        noisy = {id(kernel): self._noisy(kernel) for kernel in kernel_variables(self.layer)}
        # The scope holds all variables: within one of JAX's it would not see the others' values.
        variables = self.layer.variables
        values = [(each, noisy.get(id(each), ops.copy(each))) for each in variables]
        with keras.StatelessScope(values, collect_losses=True) as scope:
            before = [scope.get_current_value(each) for each in variables]
            outputs = self.layer(inputs)
        for variable, value in zip(variables, before, strict=True):
            after = scope.get_current_value(variable)
            if after is not value:  # what the layer itself assigned, a seed or a statistic
                variable.assign(after)
        self.add_loss(scope.losses)
        return outputs

    def _noisy(self, kernel: keras.Variable) -> Tensor:
        noise = draw_normal(kernel.shape, kernel.dtype, self.seed_generator)
        return ops.cast(ops.copy(kernel), kernel.dtype) + self.stddev * noise
