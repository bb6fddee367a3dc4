"""The constraint of the super-symmetric classifier."""

import keras

from ..ops._super_symmetric import super_symmetric_projection
from ..support._arguments import Tensor
from ..support._configuration import serializable


@serializable
class SuperSymmetric(keras.constraints.Constraint):
    """Keeps the class vectors of a `Dense` kernel at the corners of a regular simplex.

        w_c . w_c = v,   w_c . w_c' = -v / (C - 1)   for c != c', with one v for all

    After each step of the optimiser the kernel is replaced by the nearest such kernel, over all v:
    `keras_softmaxes.ops.super_symmetric_projection`.

    The paper gives the form of its constraint in a supplement that was not available. Projection is
    one reading of it. In the paper it did not help (28.67 % error against the 28.62 % of softmax on
    CIFAR-100). The initial kernel is not projected, and a bias is not constrained. The singular
    value decomposition takes of the order of features x C^2 operations a step. TensorFlow's XLA has
    a slow one of its own: with `jit_compile=True` the constraint works, but a kernel of 512 x 100
    took 8 s a step where it takes 6 ms without (one CPU core). Train with `jit_compile=False`, also
    on a GPU, where Keras compiles by default.

    Raises:
        ValueError: when it is called on a kernel that is not of shape (features, classes), with at
            least 2 classes and at least classes - 1 features.

    Example:
        >>> import keras_softmaxes as ks
        >>> kernel = ks.constraints.SuperSymmetric()(keras.ops.eye(2))
        >>> keras.ops.convert_to_numpy(kernel).round(3)
        array([[ 0.5, -0.5],
               [-0.5,  0.5]], dtype=float32)
        >>> head = keras.layers.Dense(10, kernel_constraint=ks.constraints.SuperSymmetric())

    Reference:
        Kobayashi, Large Margin In Softmax Cross-Entropy Loss, BMVC 2019, section 3
        (https://github.com/tk1980/LargeMarginInSoftmax).
    """

    def __call__(self, w: Tensor) -> Tensor:
        """Return the nearest super-symmetric kernel, of the shape and type of `w`."""
        return super_symmetric_projection(w)
