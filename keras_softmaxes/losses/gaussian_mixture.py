"""The loss of the large-margin Gaussian mixture head."""

from typing import Any

import keras
from keras import ops

from keras_softmaxes.losses.base import EvidenceLoss
from keras_softmaxes.ops.checks import Tensor, check_not_negative
from keras_softmaxes.ops.compile import xla_compiled
from keras_softmaxes.ops.gaussian_mixture import gaussian_mixture_terms


@xla_compiled
def _objective(labels: Tensor, evidence: Tensor, margin: float, likelihood_weight: float) -> Tensor:
    distances, half_log_determinants = ops.unstack(evidence, axis=1)
    terms = gaussian_mixture_terms(labels, distances, half_log_determinants, margin)
    return terms["cross_entropy"] + likelihood_weight * terms["likelihood"]


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class GaussianMixtureLoss(EvidenceLoss):
    """Large-margin Gaussian mixture (L-GM) loss of `keras_softmaxes.layers.GaussianMixture`.

        cross-entropy, d_t enlarged to (1 + margin) d_t  +  likelihood_weight * (d_t + h_t)

    with the terms of `keras_softmaxes.ops.gaussian_mixture_terms`. Its likelihood term contains the
    centre loss (Wen et al., ECCV 2016): with an identity covariance it is 1/2 ||x - mu_t||^2. With
    both arguments 0 it is the softmax cross-entropy of a plain Gaussian discriminant. It becomes
    negative where the variances are small. Use it in a `keras_softmaxes.models.Classifier`, which
    hands it the head's evidence.

    Args:
        margin: by which the target's distance is enlarged in training, at least 0. The authors'
            CIFAR-100 example starts at 0.1 and doubles it every 5,000 steps up to 0.3; here it is
            constant.
        likelihood_weight: weight of the likelihood term, at least 0; 0.1 in that example.
        reduction: as in every Keras loss. Sample weights act on the whole objective.
        name: name of the loss.
        dtype: the type the loss is computed in, None being `keras.config.floatx()`; float32 takes
            the place of half precision.

    Call arguments:
        y_true: (batch,) or (batch, 1) integers, or (batch, K) one-hot.
        y_pred: the head's evidence, (batch, 2, K).

    Raises:
        ValueError: a negative argument; `y_pred` that is not the evidence of a GaussianMixture
            head; labels out of range, of another shape, or float labels that are not one-hot. In a
            graph, as in `fit`, TensorFlow raises InvalidArgumentError for the values of labels;
            inside XLA or `jax.jit`, where nothing can be raised, they give NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> outputs = ks.layers.GaussianMixture(3)(keras.ops.ones((2, 5)))
        >>> loss = ks.losses.GaussianMixtureLoss()([0, 2], outputs["evidence"])

    Reference:
        Wan et al., Rethinking Feature Distribution for Loss Functions in Image Classification,
        CVPR 2018, section 3 (https://arxiv.org/abs/1803.02988).
    """

    heads = ("GaussianMixture",)
    rows = (2,)

    def __init__(
        self,
        margin: float = 0.3,
        likelihood_weight: float = 0.1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "gaussian_mixture_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        check_not_negative("margin", margin)
        check_not_negative("likelihood_weight", likelihood_weight)
        self.margin = float(margin)
        self.likelihood_weight = float(likelihood_weight)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the objective of each example, (batch,)."""
        return _objective(y_true, y_pred, self.margin, self.likelihood_weight)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "margin": self.margin,
            "likelihood_weight": self.likelihood_weight,
        }
