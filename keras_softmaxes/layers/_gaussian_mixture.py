"""The large-margin Gaussian mixture head."""

from typing import TYPE_CHECKING, Unpack

import keras
from keras import ops

from ..ops._gaussian_mixture import gaussian_distances
from ..support._arguments import Tensor, check_boolean
from ..support._configuration import serializable
from ..support._options import Initializer, LayerOptions, Regularizer
from ._head import Head

if TYPE_CHECKING:
    from ..losses import GaussianMixtureLoss


@serializable
class GaussianMixture(Head):
    """Softmax over distances: each class is a Gaussian of the features.

    Replaces the last `Dense(classes)` of a classifier. With equal priors and, for each class, a
    mean and a diagonal covariance, the class probabilities are those of Bayes' rule,

        d_k = 1/2 (x - mu_k)^T Sigma_k^-1 (x - mu_k)            distances
        h_k = 1/2 log |Sigma_k|                                 half log-determinants
        p   = softmax(-d - h)

    `keras_softmaxes.losses.GaussianMixtureLoss` adds the margin and the likelihood term.

    The means and the logarithms of the variances are learned by gradient, the variances from 1,
    the identity. Learned variances leave the likelihood term without a lower bound: a network that
    maps a class to one point can shrink its variances for ever. The authors' CIFAR-100 example
    keeps the identity throughout, and so does their TensorFlow version: that is
    `learn_covariance=False`. Kobayashi (BMVC 2019) reports that VGG networks, of 4,096 features,
    collapsed with this head.

    Args:
        units: the number of classes K, at least 2.
        learn_covariance: whether the variances are learned, or stay at 1.
        mean_initializer: initialiser of the means, of shape (K, features).
        mean_regularizer: regulariser of the means.
        **kwargs: the arguments of every Keras layer.

    Input:
        Features of shape (batch, ..., features).

    Output:
        A dict of (..., K) tensors, float32 or float64: "probabilities", "logits" -d - h,
        "distances" d and "half_log_determinants" h. For their precision see
        `keras_softmaxes.ops.gaussian_distances`.

    Raises:
        ValueError: units that are not an integer of at least 2, or features of rank 1.

    Example:
        >>> import keras_softmaxes as ks
        >>> network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
        >>> model = ks.models.Classifier(network, ks.layers.GaussianMixture(10))
        >>> model.compile("adam", metrics=["accuracy"])  # trains by `GaussianMixtureLoss`

    Reference:
        Wan et al., Rethinking Feature Distribution for Loss Functions in Image Classification,
        CVPR 2018 (https://arxiv.org/abs/1803.02988).
    """

    def __init__(
        self,
        units: int,
        learn_covariance: bool = True,
        *,
        mean_initializer: Initializer = "glorot_uniform",
        mean_regularizer: Regularizer = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(units, **kwargs)
        self.learn_covariance = check_boolean("learn_covariance", learn_covariance)
        self.mean_initializer = keras.initializers.get(mean_initializer)
        self.mean_regularizer = keras.regularizers.get(mean_regularizer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the means and the logarithms of the variances."""
        super().build(input_shape)
        self.means = self.add_weight(
            shape=(self.units, input_shape[-1]),
            initializer=self.mean_initializer,
            regularizer=self.mean_regularizer,
            autocast=False,
            name="means",
        )
        self.log_variances = self.add_weight(
            shape=(self.units, input_shape[-1]),
            initializer="zeros",
            trainable=self.learn_covariance,
            autocast=False,
            name="log_variances",
        )

    def call(self, features: Tensor) -> dict[str, Tensor]:
        """Return the class probabilities, and what `GaussianMixtureLoss` reads."""
        distances, half_log_determinants = gaussian_distances(
            features, self.means, self.log_variances
        )
        half_log_determinants = ops.broadcast_to(half_log_determinants, ops.shape(distances))
        logits = -distances - half_log_determinants
        return {
            "probabilities": ops.softmax(logits, axis=-1),
            "logits": logits,
            "distances": distances,
            "half_log_determinants": half_log_determinants,
        }

    def default_loss(self) -> "GaussianMixtureLoss":
        """Return `keras_softmaxes.losses.GaussianMixtureLoss`."""
        from ..losses import GaussianMixtureLoss  # which stands above the layers

        return GaussianMixtureLoss()
