"""Large-margin Gaussian mixture (Wan et al., CVPR 2018): classes as Gaussians of the features.

Notation, per example and class k, t the target:

    x     features        mu_k, Sigma_k  the class's mean and diagonal covariance
    d_k = 1/2 (x - mu_k)^T Sigma_k^-1 (x - mu_k), the distance
    h_k = 1/2 log |Sigma_k|, the half log-determinant
"""

from keras import ops

from ..support._arguments import (
    Tensor,
    check_features,
    check_not_negative,
    check_same_shape,
    invalid,
    static_shape,
)
from ..support._labels import at_target, one_hot
from ..support._tensors import at_least_float32, read_alike
from ._soft_labels import expectation, margin_cross_entropy


def gaussian_distances(
    features: Tensor, means: Tensor, log_variances: Tensor
) -> tuple[Tensor, Tensor]:
    """Half squared Mahalanobis distances to the classes, and their half log-determinants.

        d_k = 1/2 sum_i (x_i - mu_ki)^2 / sigma_ki^2
        h_k = 1/2 sum_i log sigma_ki^2

    The distances are matrix products, of memory batch x classes, where the differences would take
    batch x classes x features. They are taken from the mean of the class means, so that a part
    common to all features costs no digits. A distance is then exact to the rounding of the products
    beside the largest terms, that is about 1e-7 in float32 (1e-3 where the hardware multiplies in
    TF32) times the squared spread of features and means over the variance. A distance that this
    rounding makes negative is returned as 0, with the gradient it has.

    Args:
        features: x, (..., features).
        means: mu, (classes, features).
        log_variances: log sigma^2, (classes, features).

    Returns:
        The distances, (..., classes), at least 0, and the half log-determinants, (classes,), in
        float32 for half precision.

    Raises:
        ValueError: shapes that do not match; fewer than 2 classes.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> means, log_variances = [[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]
        >>> distances, _ = ks.ops.gaussian_distances([[0.0, 0.0]], means, log_variances)
        >>> keras.ops.convert_to_numpy(distances)
        array([[ 0. , 12.5]], dtype=float32)

    Reference:
        Wan et al., Rethinking Feature Distribution for Loss Functions in Image Classification,
        CVPR 2018, section 3 (https://arxiv.org/abs/1803.02988).
    """
    features = at_least_float32(features)
    means = at_least_float32(means)
    log_variances = at_least_float32(log_variances)
    _check_shapes(features, means, log_variances)
    origin = ops.stop_gradient(ops.mean(means, axis=0))
    features, means = features - origin, means - origin
    precisions = ops.exp(-log_variances)
    own = ops.matmul(ops.square(features), ops.transpose(precisions))
    shared = ops.matmul(features, ops.transpose(means * precisions))
    distances = own / 2 - shared + ops.sum(ops.square(means) * precisions, axis=-1) / 2
    distances += ops.stop_gradient(ops.relu(-distances))
    return distances, ops.sum(log_variances, axis=-1) / 2


def gaussian_mixture_terms(
    labels: Tensor, distances: Tensor, half_log_determinants: Tensor, margin: float = 0.3
) -> dict[str, Tensor]:
    """The two terms of the large-margin Gaussian mixture loss.

        cross_entropy   -log [ exp(-(1 + margin) d_t - h_t) / sum_k exp(-m_k d_k - h_k) ],
                        m_t = 1 + margin, the others 1
        likelihood      d_t + h_t

    with equal priors of the classes. The likelihood is -log N(x; mu_t, Sigma_t) without its
    constant, and can be negative. With an identity covariance it is 1/2 ||x - mu_t||^2, the centre
    loss (Wen et al., ECCV 2016), whose centres are then learned by gradient.

    Args:
        labels: (...) or (..., 1) integers, or (..., classes) one-hot.
        distances: d, (..., classes).
        half_log_determinants: h, (..., classes).
        margin: by which the target's distance is enlarged, at least 0. The authors' CIFAR-100
            example rises to 0.3.

    Returns:
        A dict of (...) tensors, in nats, in float32 for half precision.

    Raises:
        ValueError: a negative margin; labels out of range or neither form; shapes that differ.

    Example:
        >>> import keras_softmaxes as ks
        >>> terms = ks.ops.gaussian_mixture_terms([0], [[2.0, 2.0]], [[0.0, 0.0]], margin=0.0)
        >>> [round(float(value[0]), 4) for value in terms.values()]
        [0.6931, 2.0]

    Reference:
        Wan et al., Rethinking Feature Distribution for Loss Functions in Image Classification,
        CVPR 2018, section 3 (https://arxiv.org/abs/1803.02988).
    """
    distances, half_log_determinants = read_alike(
        distances=distances, half_log_determinants=half_log_determinants
    )
    check_not_negative("margin", margin)
    target = one_hot(labels, distances)
    logits = -(1 + margin * target) * distances - half_log_determinants
    return {
        "cross_entropy": ops.logsumexp(logits, axis=-1) - at_target(target, logits),
        "likelihood": at_target(target, distances + half_log_determinants),
    }


def expected_gaussian_mixture_terms(
    rows: Tensor, distances: Tensor, half_log_determinants: Tensor, margin: float
) -> dict[str, Tensor]:
    """Return `gaussian_mixture_terms` of soft labels, the expectation over their classes.

    Args:
        rows: distributions of the classes, (..., classes).
        distances: d, (..., classes).
        half_log_determinants: h, (..., classes).
        margin: as for `gaussian_mixture_terms`.

    Returns:
        A dict of (...) tensors, in nats.
    """
    logits = -distances - half_log_determinants
    return {
        "cross_entropy": margin_cross_entropy(rows, logits, logits - margin * distances),
        "likelihood": expectation(rows, -logits),
    }


def _check_shapes(features: Tensor, means: Tensor, log_variances: Tensor) -> None:
    shape = static_shape("means", means)
    if len(shape) != 2 or shape[0] is None or shape[0] < 2:
        expected = "shape (classes, features), at least 2 classes"
        raise invalid("means", expected, f"a tensor of shape {shape}")
    check_same_shape(means=means, log_variances=log_variances)
    check_features(features, shape[1], "means")
