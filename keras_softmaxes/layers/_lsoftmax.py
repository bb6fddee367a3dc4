"""The L-Softmax head."""

import math
from numbers import Integral
from typing import TYPE_CHECKING, Unpack

import keras
from keras import ops

from ..ops._lsoftmax import check_margin, lsoftmax_logits
from ..support._arguments import Tensor, check_not_negative, invalid
from ..support._configuration import serializable
from ..support._options import Initializer, LayerOptions, Regularizer, Schedule
from ._head import Head

if TYPE_CHECKING:
    from ..losses import LSoftmaxLoss


@serializable
class LSoftmax(Head):
    """Softmax that asks for a larger angle between classes.

    Replaces the last `Dense(classes)` of a classifier. From features x, without a bias,

        f_j = w_j . x = ||w_j|| ||x|| cos(theta_j)                               logits
        g_j = [ lambda f_j + ||w_j|| ||x|| psi(theta_j) ] / (1 + lambda)         margin logits

    where psi(theta) = (-1)^k cos(m theta) - 2k on [k pi/m, (k+1) pi/m].
    `keras_softmaxes.losses.LSoftmaxLoss` puts the margin logit in the target's place. At inference
    the class probabilities are the softmax of f.

    With the full margin from the start a network may collapse, the features and all logits going to
    zero and the loss to log K. So lambda falls from a large value during the training (section 5.1
    of the paper). The layer counts its own calls in training, t = 0, 1, ..., in a weight that is
    saved with it. The released code has lambda = max(lambda_min, base (1 + gamma t)^-power) with
    base 1000, lambda_min 0 and, over 30,000 steps, gamma 0.000025 and power 35 on MNIST, gamma
    0.00002 and power 45 on CIFAR-10: 421 after 1,000 steps, 0.4 after 10,000. The default here is
    the authors' later setting in SphereFace, base 1000, gamma 0.12 and power 1, without its
    lambda_min of 5, for up to ten classes. With more classes, K, it falls more slowly: many classes
    take longer to separate, and the margin would come too early (docs/results/many_classes):

        lambda = 1000 / (1 + gamma t),   gamma = 0.12 min(1, 3 / sqrt(K - 1), 30 / (K - 1))

    which at ten classes is 8.3 after 1,000 steps and 0.8 after 10,000, and so acts in shorter
    trainings too; at a hundred it is 26.9 and 2.8, at a thousand 217 and 27. Look at the curve
    before you train for much fewer or more steps. A call is a step, unless gradients are
    accumulated: pass a schedule that is slower by as much. For large and difficult data the authors
    advise to stop at a lambda of 5 or 10, for MNIST they say that none is needed, and for all they
    recommend batch normalisation in the network.

    Args:
        units: the number of classes K, at least 2.
        margin: m, an integer from 1 to 4. 1 is softmax. The authors' examples use 4 on MNIST
            and 2 on CIFAR-10.
        annealing: lambda: a number of at least 0, kept constant, or a
            `keras.optimizers.schedules.LearningRateSchedule` of the training step, whose values
            must be at least 0 (which cannot be checked). None is the schedule above.
        kernel_initializer: initialiser of the kernel, whose columns are the w_j. The authors' is
            random. From zeros, the default, the first step has no angles, and is that of softmax.
        kernel_regularizer: regulariser of the kernel.
        **kwargs: the arguments of every Keras layer.

    Input:
        Features of shape (batch, ..., features).

    Output:
        A dict of (..., K) tensors, float32 or float64: "probabilities", "logits" f and
        "margin_logits" g.

    Raises:
        ValueError: units that are not an integer of at least 2, a margin that is not 1, 2, 3 or 4,
            a negative annealing or one of Keras's schedules that starts from an integer,
            with which it would compute in integers, or features of rank 1.

    Example:
        >>> import keras_softmaxes as ks
        >>> network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
        >>> model = ks.models.Classifier(network, ks.layers.LSoftmax(10, margin=2))
        >>> model.compile("adam", metrics=["accuracy"])  # trains by `LSoftmaxLoss`

    Reference:
        Liu et al., Large-Margin Softmax Loss for Convolutional Neural Networks, ICML 2016
        (https://arxiv.org/abs/1612.02295).
    """

    def __init__(
        self,
        units: int,
        margin: int = 4,
        annealing: float | Schedule | None = None,
        *,
        kernel_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(units, **kwargs)
        check_margin(margin)
        if annealing is None:
            others = self.units - 1
            rate = 0.12 * min(1.0, 3 / math.sqrt(others), 30 / others)
            annealing = keras.optimizers.schedules.InverseTimeDecay(1000.0, 1, rate)
        _check_annealing(annealing)
        self.margin = int(margin)
        self.annealing = annealing
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernel and the counter of training calls."""
        super().build(input_shape)
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            autocast=False,
            name="kernel",
        )
        self.training_step = self.add_weight(
            shape=(),
            initializer="zeros",
            dtype="int",
            trainable=False,
            aggregation="only_first_replica",
            name="training_step",
        )

    def call(self, features: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return the class probabilities, and what `LSoftmaxLoss` reads."""
        logits, margin_logits = lsoftmax_logits(
            features, self.kernel, self.margin, self.current_annealing()
        )
        if training:
            self.training_step.assign_add(1)
        return {
            "probabilities": ops.softmax(logits, axis=-1),
            "logits": logits,
            "margin_logits": margin_logits,
        }

    def default_loss(self) -> "LSoftmaxLoss":
        """Return `keras_softmaxes.losses.LSoftmaxLoss`."""
        from ..losses import LSoftmaxLoss  # which stands above the layers

        return LSoftmaxLoss()

    def current_annealing(self) -> Tensor | float:
        """Return lambda at the next training step; the layer must be built."""
        if isinstance(self.annealing, Schedule):
            return self.annealing(self.training_step)
        return self.annealing


def _check_annealing(annealing: float | Schedule) -> None:
    if not isinstance(annealing, Schedule):
        check_not_negative("annealing", annealing)
    elif isinstance(getattr(annealing, "initial_learning_rate", None), Integral):
        # Keras would cast the rate of decay to an integer too: 0.12 to 0.
        expected = "a schedule that starts from a float, as 1000.0 instead of 1000"
        raise invalid("annealing", expected, annealing.get_config())
