"""The super-symmetric classifier (Kobayashi, BMVC 2019): class vectors on a regular simplex."""

import numpy as np
from keras import ops

from ..support._arguments import Tensor, invalid, static_shape
from ..support._tensors import at_least_float32


def super_symmetric_projection(kernel: Tensor) -> Tensor:
    """Nearest kernel whose columns are the corners of a regular simplex about the origin.

        w_c . w_c = v,   w_c . w_c' = -v / (C - 1)   for c != c', with one v for all

    Nearest is meant in the Frobenius norm, over all v: the columns are centred over the classes,
    W - mean_c w_c = U S V^T, and the singular values of the C - 1 directions orthogonal to
    (1, ..., 1) are set to their mean s, which gives v = s^2 (C - 1) / C. Where the nearest kernel
    is not unique, as for two equal columns, one is taken; a zero kernel stays zero.

    Args:
        kernel: W, (features, classes), at least classes - 1 features.

    Returns:
        (features, classes), of the type of `kernel`.

    Raises:
        ValueError: a kernel of another shape.

    Example:
        >>> import keras
        >>> import keras_softmaxes as ks
        >>> kernel = ks.ops.super_symmetric_projection(keras.ops.eye(2))
        >>> keras.ops.convert_to_numpy(kernel).round(3)
        array([[ 0.5, -0.5],
               [-0.5,  0.5]], dtype=float32)

    Reference:
        Kobayashi, Large Margin In Softmax Cross-Entropy Loss, BMVC 2019, section 3
        (https://github.com/tk1980/LargeMarginInSoftmax).
    """
    kernel = ops.convert_to_tensor(kernel)
    _check_kernel(kernel)
    # There is no singular value decomposition in half precision.
    wide = at_least_float32(kernel)
    basis = ops.convert_to_tensor(_centred_basis(kernel.shape[1]), dtype=wide.dtype)
    left, singular_values, right = ops.svd(ops.matmul(wide, basis), full_matrices=False)
    rotation = ops.matmul(ops.matmul(left, right), ops.transpose(basis))
    return ops.cast(ops.mean(singular_values) * rotation, kernel.dtype)


def _check_kernel(kernel: Tensor) -> None:
    shape = tuple(size or 0 for size in static_shape("kernel", kernel))
    if len(shape) != 2 or not 2 <= shape[1] <= shape[0] + 1:
        expected = "shape (features, classes), at least 2 classes, at least classes - 1 features"
        raise invalid("kernel", expected, f"a tensor of shape {shape}")


def _centred_basis(classes: int) -> np.ndarray:
    """Return an orthonormal basis of the vectors that sum to zero, (classes, classes - 1).

    Column j is Helmert's: j + 1 equal entries, then the one that balances them.
    """
    counts = np.arange(1, classes)
    rows = np.arange(classes)[:, None]
    basis = np.where(rows < counts, 1.0, np.where(rows == counts, -counts, 0.0))
    return basis / np.sqrt(counts * (counts + 1.0))
