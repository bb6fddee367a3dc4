"""The one table of the methods that the examples compare.

A method is a head and the loss that trains it. Adding one to the package is adding one entry here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import data
import keras

import keras_softmaxes as ks


@dataclass(frozen=True)
class Method:
    """How a method ends a network.

    Attributes:
        title: what plots and tables call it.
        head: builds the last layer from the number of classes and the logits' regularisers.
        loss: builds the loss.
    """

    title: str
    head: Callable[..., keras.Layer]
    loss: Callable[[], keras.Loss]


def _softmax_loss() -> keras.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _label_smoothing() -> keras.Loss:
    """Keras's own, for integer labels."""
    return ks.losses.LargeMarginCrossentropy(weight=0.0, label_smoothing=0.1)


def _dropmax_prior(classes: int, **regularizers: Any) -> keras.Layer:
    return ks.layers.DropMax(classes, posterior="prior", **regularizers)


def _super_symmetric(classes: int, **regularizers: Any) -> keras.Layer:
    constraint = ks.constraints.SuperSymmetric()
    return keras.layers.Dense(classes, kernel_constraint=constraint, **regularizers)


def _lsoftmax(
    classes: int,
    kernel_regularizer: keras.Regularizer | None = None,
    bias_regularizer: keras.Regularizer | None = None,
) -> keras.Layer:
    """Return the head, which has no bias."""
    return ks.layers.LSoftmax(classes, kernel_regularizer=kernel_regularizer)


def _gaussian_mixture(
    classes: int,
    kernel_regularizer: keras.Regularizer | None = None,
    bias_regularizer: keras.Regularizer | None = None,
) -> keras.Layer:
    """Return the head, whose means take the place of the kernel; it has no bias."""
    return ks.layers.GaussianMixture(classes, mean_regularizer=kernel_regularizer)


BASELINE = "softmax"
METHODS = {
    "softmax": Method("Softmax", keras.layers.Dense, _softmax_loss),
    "dropmax": Method("DropMax", ks.layers.DropMax, ks.losses.DropMaxLoss),
    "dropmax_prior": Method(
        "DropMax (q = p)", _dropmax_prior, lambda: ks.losses.DropMaxLoss(entropy_weight=0.1)
    ),
    "label_smoothing": Method("Label smoothing 0.1", keras.layers.Dense, _label_smoothing),
    "large_margin": Method(
        "Large margin 0.3", keras.layers.Dense, ks.losses.LargeMarginCrossentropy
    ),
    "mean_hinge": Method("Mean hinge", keras.layers.Dense, ks.losses.MeanMulticlassHinge),
    "super_symmetric": Method("Super-symmetric", _super_symmetric, _softmax_loss),
    "lsoftmax": Method("L-Softmax", _lsoftmax, ks.losses.LSoftmaxLoss),
    "gaussian_mixture": Method(
        "Gaussian mixture", _gaussian_mixture, ks.losses.GaussianMixtureLoss
    ),
}


def build(
    method: str,
    network: Callable[[keras.KerasTensor], keras.KerasTensor],
    shape: tuple[int, ...],
    classes: int,
    **regularizers: Any,
) -> ks.models.Classifier:
    """Return the network under the method's head, not compiled."""
    inputs = keras.Input(shape)
    head = METHODS[method].head(classes, **regularizers)
    return ks.models.Classifier(inputs, head(network(inputs)))


def serving(model: keras.Model) -> keras.Model:
    """Return a model whose `predict` and `export` give class probabilities."""
    if isinstance(model.output, dict):
        return model
    return keras.Model(model.input, keras.layers.Softmax(dtype="float32")(model.output))


def test_error(model: keras.Model, images: data.Images) -> float:
    """Return the test error in per cent."""
    predicted = model.predict(images.x_test, batch_size=1000, verbose=0).argmax(axis=1)
    wrong = int((predicted != images.y_test).sum())
    return round(100 * wrong / len(predicted), 4)
