"""The one table of the methods that the examples compare.

A method is a head and the loss that trains it, or what is added to that loss. Adding one to the
package is adding one entry here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import data
import keras
import numpy as np

import keras_softmaxes as ks


@dataclass(frozen=True)
class Method:
    """How a method ends a network.

    Attributes:
        title: what plots and tables call it.
        head: builds what ends the network, from the number of classes and the regularisers and
            initialiser of the logits' kernel: a `keras_softmaxes.layers.Head`, or layers that
            return logits.
        loss: builds the loss.
        activation: what turns the logits of layers that return such into probabilities.
        perturbations: builds what is added to the loss, of a network cut before its head by dropout
            of 0.5; None is a network without a cut.
    """

    title: str
    head: Callable[..., keras.Layer]
    loss: Callable[[], keras.Loss]
    activation: str | Callable[..., Any] = "softmax"
    perturbations: Callable[[], list[ks.perturbations.Perturbation]] | None = None

    def compile(self, model: keras.Model, optimizer: Any) -> None:
        """Compile what `build` returned."""
        settings = {"perturbations": self.perturbations()} if self.perturbations else {}
        model.compile(optimizer, loss=self.loss(), **settings)


@keras.saving.register_keras_serializable("examples")
class CutModel(ks.models.PerturbationMixin, keras.Model):
    """A model of logits that trains with perturbations."""


@keras.saving.register_keras_serializable("examples")
class CutClassifier(ks.models.PerturbationMixin, ks.models.Classifier):
    """A classifier of any head that trains with perturbations."""


def _softmax_loss() -> keras.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _label_smoothing() -> keras.Loss:
    """Keras's own, for integer labels."""
    return ks.losses.LargeMarginCrossentropy(weight=0.0, label_smoothing=0.1)


def dropmax_prior(entropy_weight: float = 0.1) -> Method:
    """Return the q = p variant of DropMax, its entropy weight gamma."""
    head = partial(ks.layers.DropMax, posterior="prior")
    return Method("DropMax (q = p)", head, partial(ks.losses.DropMaxLoss, entropy_weight))


def class_dropout(retain: float = 0.4) -> Method:
    """Return Random DropMax at a retain probability."""
    head = partial(ks.layers.ClassDropout, retain=retain)
    return Method("Random DropMax", head, ks.losses.MaskedCrossentropy)


def class_sampling(fraction: float = 0.4) -> Method:
    """Return the sampled softmax at a fraction of the classes."""
    head = partial(ks.layers.ClassSampling, fraction=fraction)
    return Method("Sampled softmax", head, ks.losses.MaskedCrossentropy)


def _super_symmetric(classes: int, **settings: Any) -> keras.Layer:
    constraint = ks.constraints.SuperSymmetric()
    return keras.layers.Dense(classes, kernel_constraint=constraint, **settings)


def _lsoftmax(
    classes: int, bias_regularizer: keras.Regularizer | None = None, **settings: Any
) -> keras.Layer:
    """Return the head, which has no bias."""
    return ks.layers.LSoftmax(classes, **settings)


def gsoftmax(**gaussians: Any) -> Method:
    """Return G-softmax, by the arguments of `keras_softmaxes.layers.GSoftmax`."""

    def head(classes: int, **settings: Any) -> keras.Layer:
        dense = keras.layers.Dense(classes, **settings)
        return keras.Sequential([dense, ks.layers.GSoftmax(**gaussians)], name="gsoftmax")

    return Method("G-softmax", head, _softmax_loss)


def _gaussian_mixture(
    classes: int,
    kernel_regularizer: keras.Regularizer | None = None,
    bias_regularizer: keras.Regularizer | None = None,
    kernel_initializer: Any = "glorot_uniform",
) -> keras.Layer:
    """Return the head, whose means take the place of the kernel; it has no bias."""
    return ks.layers.GaussianMixture(
        classes, mean_regularizer=kernel_regularizer, mean_initializer=kernel_initializer
    )


def _perturbed(title: str, *perturbations: Callable[[], ks.perturbations.Perturbation]) -> Method:
    return Method(
        title,
        keras.layers.Dense,
        _softmax_loss,
        perturbations=lambda: [perturbation() for perturbation in perturbations],
    )


BASELINE = "softmax"
METHODS = {
    "softmax": Method("Softmax", keras.layers.Dense, _softmax_loss),
    "sparsemax": Method(
        "Sparsemax", keras.layers.Dense, ks.losses.SparsemaxLoss, activation=ks.ops.sparsemax
    ),
    "class_sampling": class_sampling(),
    "class_dropout": class_dropout(),
    "attention": Method(
        "Deterministic attention", ks.layers.ClassAttention, ks.losses.AttentionCrossentropy
    ),
    "deterministic_dropmax": Method(
        "Deterministic DropMax",
        ks.layers.ClassAttention,
        partial(ks.losses.AttentionCrossentropy, supervised=True),
    ),
    "dropmax_prior": dropmax_prior(),
    "dropmax": Method("DropMax", ks.layers.DropMax, ks.losses.DropMaxLoss),
    "label_smoothing": Method("Label smoothing 0.1", keras.layers.Dense, _label_smoothing),
    "large_margin": Method(
        "Large margin 0.3", keras.layers.Dense, ks.losses.LargeMarginCrossentropy
    ),
    "mean_hinge": Method("Mean hinge", keras.layers.Dense, ks.losses.MeanMulticlassHinge),
    "super_symmetric": Method("Super-symmetric", _super_symmetric, _softmax_loss),
    "gsoftmax": gsoftmax(),
    "lsoftmax": Method("L-Softmax", _lsoftmax, ks.losses.LSoftmaxLoss),
    "gaussian_mixture": Method(
        "Gaussian mixture", _gaussian_mixture, ks.losses.GaussianMixtureLoss
    ),
    "dropout": _perturbed("Dropout 0.5"),
    "pi_model": _perturbed("Pi-model (KL)", partial(ks.perturbations.PiModel, divergence="kl")),
    "sadd": _perturbed("SAdD", ks.perturbations.SupervisedAdversarialDropout),
    "vadd": _perturbed("VAdD (KL)", ks.perturbations.VirtualAdversarialDropout),
    "fgsm": _perturbed("FGSM 0.1", partial(ks.perturbations.AdversarialTraining, 0.1)),
    "vat": _perturbed("VAT 0.5", partial(ks.perturbations.VirtualAdversarialTraining, 0.5)),
}


def build(
    method: Method,
    network: Callable[[keras.KerasTensor], keras.KerasTensor],
    shape: tuple[int, ...],
    classes: int,
    **settings: Any,
) -> keras.Model:
    """Return the network under the method's head, not compiled.

    A seed gives the results of docs/results as long as the layers are created in this order.
    """
    inputs = keras.Input(shape)
    head, features = method.head(classes, **settings), network(inputs)
    if is_cut := method.perturbations is not None:
        features = ks.layers.AdversarialDropout(0.5, budget=0.05)(features)
    if isinstance(head, ks.layers.Head):
        kind = CutClassifier if is_cut else ks.models.Classifier
        return kind(keras.Model(inputs, features), head)
    return (CutModel if is_cut else keras.Model)(inputs, head(features))


def serving(model: keras.Model, activation: str | Callable[..., Any] = "softmax") -> keras.Model:
    """Return a model whose `predict` and `export` give class probabilities.

    Args:
        model: what `build` returned.
        activation: the method's, which turns logits into probabilities.
    """
    if isinstance(model, ks.models.Classifier):
        return model
    probabilities = keras.layers.Activation(activation, dtype="float32")
    return keras.Model(model.input, probabilities(model.output))


def test_error(model: keras.Model, images: data.Images) -> float:
    """Return the test error in per cent."""
    return error_of(model.predict(images.x_test, batch_size=1000, verbose=0), images)


def error_of(predictions: np.ndarray, images: data.Images) -> float:
    """Return the test error in per cent of predictions that are made already, (count, classes)."""
    wrong = int((predictions.argmax(axis=1) != images.y_test).sum())
    return round(100 * wrong / len(predictions), 4)
