"""The sparsemax loss."""

from typing import Any

import keras

from keras_softmaxes.losses.base import ClassLoss
from keras_softmaxes.ops.checks import Tensor, check_logits
from keras_softmaxes.ops.compile import xla_compiled
from keras_softmaxes.ops.sparsemax import sparsemax_loss

_sparsemax_loss = xla_compiled(sparsemax_loss)


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class SparsemaxLoss(ClassLoss):
    """Loss of the logits whose class probabilities are their sparsemax.

        -z_t + 1/2 sum_{j in S} ( z_j^2 - tau^2 ) + 1/2,   t the target, S the support

    It takes the logits z of a plain `Dense(classes)`, and its gradient is sparsemax(z) - onehot(t),
    where the cross-entropy's is softmax(z) - onehot(t). A target that leads all other logits by 1
    has no loss.

    The probabilities are served by one more layer,
    `keras.layers.Activation(ks.ops.sparsemax, dtype="float32")`, after training. Load a saved model
    of it after `import keras_softmaxes`; an exported one needs TensorFlow alone. Keras's own
    `Activation("sparsemax")` is another function up to Keras 3.15: its probabilities do not sum to
    1. As the target's may be exactly 0, a likelihood of them may be infinite.

    Args:
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type the loss is computed in, None being `keras.config.floatx()`; float32 takes
            the place of half precision.

    Call arguments:
        y_true: (batch,) or (batch, 1) integers, or (batch, C) one-hot.
        y_pred: logits z, (batch, C).

    Raises:
        ValueError: logits of another rank; labels out of range, of another shape, or float labels
            that are not one-hot. In a graph, as in `fit`, TensorFlow raises InvalidArgumentError
            for the values of labels; inside XLA or `jax.jit`, where nothing can be raised, they
            give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(10)])
        >>> model.compile("adam", loss=ks.losses.SparsemaxLoss(), metrics=["accuracy"])
        >>> probabilities = keras.layers.Activation(ks.ops.sparsemax, dtype="float32")
        >>> served = keras.Sequential([model, probabilities])

    Reference:
        Martins & Astudillo, From Softmax to Sparsemax: A Sparse Model of Attention and Multi-Label
        Classification, ICML 2016, section 3 (https://arxiv.org/abs/1602.02068).
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "sparsemax_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)

    def check_predictions(self, y_pred: Tensor) -> None:
        """Raise ValueError unless `y_pred` has the shape (batch, C)."""
        check_logits("y_pred", y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each example, (batch,)."""
        return _sparsemax_loss(y_true, y_pred)
