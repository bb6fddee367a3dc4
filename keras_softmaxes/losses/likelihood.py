"""The losses of evaluation: negative log-likelihoods of probabilities."""

from keras_softmaxes.losses.base import ClassLoss
from keras_softmaxes.ops.checks import Tensor, check_logits
from keras_softmaxes.ops.likelihood import (
    labels_negative_log_likelihood,
    negative_log_likelihood,
)


class NegativeLogLikelihood(ClassLoss):
    """Mean of -log p_t over the examples, t the target.

    Call arguments:
        y_true: (batch,) or (batch, 1) integers, or (batch, K) one-hot.
        y_pred: class probabilities, (batch, K).
    """

    def check_predictions(self, y_pred: Tensor) -> None:
        """Raise ValueError unless `y_pred` has the shape (batch, K)."""
        check_logits("y_pred", y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return -log p_t of each example, (batch,)."""
        return negative_log_likelihood(y_true, y_pred)


class LabelsNegativeLogLikelihood(NegativeLogLikelihood):
    """Mean over the examples of the sum over the labels, of which there may be any number.

    Call arguments:
        y_true: (batch, labels), of zeros and ones.
        y_pred: label probabilities, (batch, labels).
    """

    def read(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Leave the labels to the op."""
        return y_true

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the negative log-likelihood of each example, (batch,)."""
        return labels_negative_log_likelihood(y_true, y_pred)
