"""The loss of the large-margin Gaussian mixture head."""

from typing import Unpack

from ..ops._gaussian_mixture import expected_gaussian_mixture_terms, gaussian_mixture_terms
from ..support._arguments import Tensor, check_not_negative
from ..support._configuration import serializable
from ..support._options import LossOptions
from ..support._xla import xla_compiled
from ._head_loss import HeadLoss


@xla_compiled
def _objective(
    labels: Tensor, tensors: dict[str, Tensor], margin: float, likelihood_weight: float
) -> Tensor:
    return _sum(gaussian_mixture_terms(labels, **tensors, margin=margin), likelihood_weight)


@xla_compiled
def _expectation(
    rows: Tensor, tensors: dict[str, Tensor], margin: float, likelihood_weight: float
) -> Tensor:
    return _sum(expected_gaussian_mixture_terms(rows, **tensors, margin=margin), likelihood_weight)


def _sum(terms: dict[str, Tensor], likelihood_weight: float) -> Tensor:
    return terms["cross_entropy"] + likelihood_weight * terms["likelihood"]


@serializable
class GaussianMixtureLoss(HeadLoss):
    """Large-margin Gaussian mixture (L-GM) loss of `keras_softmaxes.layers.GaussianMixture`.

        cross-entropy, d_t enlarged to (1 + margin) d_t  +  likelihood_weight * (d_t + h_t)

    with the terms of `keras_softmaxes.ops.gaussian_mixture_terms`. Its likelihood term contains the
    centre loss (Wen et al., ECCV 2016): with an identity covariance it is 1/2 ||x - mu_t||^2. With
    both arguments 0 it is the softmax cross-entropy of a plain Gaussian discriminant. It becomes
    negative where the variances are small.

    With many classes both terms are lowest where all features shrink to one point, and the network
    does not classify: with a hundred classes and a thousand steps, the authors' values stay at
    chance. So by default they fall from 11 classes on, as 9 / (K - 1) (docs/results/many_classes).

    Args:
        margin: the share by which the target's distance is enlarged in training, at least 0; None
            is 0.3 min(1, 9 / (K - 1)). The authors' CIFAR-100 example starts at 0.1 and doubles it
            every 5,000 steps up to 0.3; here it is constant.
        likelihood_weight: weight of the likelihood term, at least 0; None is
            0.1 min(1, 9 / (K - 1)). 0.1 in that example.
        ignore_class: a class, in range or not (-1, 255), whose examples do not count; see
            `keras_softmaxes.losses.HeadLoss`.
        reduction: as in every Keras loss. Sample weights act on the whole objective.
        name: name of the loss.
        dtype: the type of the computation; None is `keras.config.floatx()`. Half precision is
            computed in float32.
        class_weight: a number for each class; see `keras_softmaxes.losses.HeadLoss`.
        logit_adjustment: likewise.

    Call arguments:
        y_true: (...) or (..., 1) classes, or (..., K) one-hot or soft.
        y_pred: what the head returns: "distances" and "half_log_determinants".

    Raises:
        ValueError: a negative argument; what `keras_softmaxes.losses.HeadLoss` raises.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> outputs = ks.layers.GaussianMixture(3)(keras.ops.ones((2, 5)))
        >>> loss = ks.losses.GaussianMixtureLoss()([0, 2], outputs)

    Reference:
        Wan et al., Rethinking Feature Distribution for Loss Functions in Image Classification,
        CVPR 2018, section 3 (https://arxiv.org/abs/1803.02988).
    """

    reads = ("distances", "half_log_determinants")
    default_name = "gaussian_mixture_loss"

    def __init__(
        self,
        margin: float | None = None,
        likelihood_weight: float | None = None,
        **kwargs: Unpack[LossOptions],
    ) -> None:
        super().__init__(**kwargs)
        if margin is not None:
            margin = float(check_not_negative("margin", margin))
        if likelihood_weight is not None:
            likelihood_weight = float(check_not_negative("likelihood_weight", likelihood_weight))
        self.margin, self.likelihood_weight = margin, likelihood_weight

    def call(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the objective of each example, (...)."""
        return _objective(y_true, y_pred, *self._weights(y_pred))

    def expectation(self, y_true: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        """Return the expected objective of soft labels, (...)."""
        return _expectation(y_true, y_pred, *self._weights(y_pred))

    def adjust(self, y_pred: dict[str, Tensor], adjustment: Tensor) -> dict[str, Tensor]:
        """Return the tensors with the adjustment added to the logits, which are -d - h."""
        adjusted = y_pred["half_log_determinants"] - adjustment
        return {**y_pred, "half_log_determinants": adjusted}

    def _weights(self, y_pred: dict[str, Tensor]) -> tuple[float, float]:
        size = min(1.0, 9 / (y_pred["distances"].shape[-1] - 1))
        given = ((self.margin, 0.3), (self.likelihood_weight, 0.1))
        margin, likelihood = (size * most if each is None else each for each, most in given)
        return margin, likelihood
