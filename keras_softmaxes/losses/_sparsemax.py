"""The sparsemax loss."""

from ..ops._sparsemax import sparsemax_loss, sparsemax_loss_of
from ..support._arguments import Tensor
from ..support._configuration import serializable
from ..support._xla import xla_compiled
from ._head_loss import HeadLoss

_sparsemax_loss = xla_compiled(sparsemax_loss)
_of_rows = xla_compiled(sparsemax_loss_of)


@serializable
class SparsemaxLoss(HeadLoss):
    """Loss of the logits whose class probabilities are their sparsemax.

        -z_t + 1/2 sum_{j in S} ( z_j^2 - tau^2 ) + 1/2,   t the target, S the support

    It is the loss of `keras_softmaxes.layers.Sparsemax`. Its gradient is sparsemax(z) - onehot(t),
    where the cross-entropy's is softmax(z) - onehot(t). A target that leads all other logits by 1
    has no loss.

    It takes the logits z of a plain `Dense(classes)` too. With hundreds of classes these stay at
    chance; the head's have a temperature. The probabilities are then served by one more layer,
    `keras.layers.Activation(ks.ops.sparsemax, dtype="float32")`, after training. Load a saved model
    of it after `import keras_softmaxes`; an exported one needs TensorFlow alone. Keras's own
    `Activation("sparsemax")` is another function up to Keras 3.15: its probabilities do not sum to
    1. As the target's may be exactly 0, a likelihood of them may be infinite.

    Args:
        ignore_class: a class, in range or not (-1, 255), whose examples do not count; see
            `keras_softmaxes.losses.HeadLoss`.
        reduction: as in every Keras loss.
        name: name of the loss.
        dtype: the type of the computation; None is `keras.config.floatx()`. Half precision is
            computed in float32.
        class_weight: a number for each class; see `keras_softmaxes.losses.HeadLoss`.
        logit_adjustment: likewise. That log frequencies correct for rare classes holds for the
            softmax: with sparsemax they harm, and class weights help.

    Call arguments:
        y_true: (...) or (..., 1) classes, or (..., K) one-hot or soft.
        y_pred: logits z, (..., K), or the dict of a head that returns logits.

    Raises:
        ValueError: what `keras_softmaxes.losses.HeadLoss` raises.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(10)])
        >>> model.compile("adam", loss=ks.losses.SparsemaxLoss(), metrics=["accuracy"])
        >>> probabilities = keras.layers.Activation(ks.ops.sparsemax, dtype="float32")
        >>> served = keras.Sequential([model, probabilities])

    Reference:
        Martins & Astudillo, From Softmax to Sparsemax: A Sparse Model of Attention and Multi-Label
        Classification, ICML 2016, section 3 (https://arxiv.org/abs/1602.02068).
    """

    default_name = "sparsemax_loss"

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the loss of each example, (...)."""
        return _sparsemax_loss(y_true, y_pred["logits"])

    def expectation(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the Fenchel-Young loss of soft labels, which is 0 where they are the sparsemax.

        Their expected loss is larger by 1/2 - 1/2 || y ||^2, which no weight changes.
        """
        return _of_rows(y_true, y_pred["logits"])
