"""Small models with a cut, trained on the small problem."""

import keras
import numpy as np
from keras import layers
from problems import CLASSES

import keras_softmaxes as ks

P = ks.perturbations

PERTURBATIONS = {
    "sadd": lambda: [P.SupervisedAdversarialDropout()],
    "vadd": lambda: [P.VirtualAdversarialDropout()],
    "vadd_quadratic": lambda: [P.VirtualAdversarialDropout(3.0, "quadratic")],
    "pi": lambda: [P.PiModel(1.0)],
    "fgsm": lambda: [P.AdversarialTraining(0.1)],
    "vat": lambda: [P.VirtualAdversarialTraining(0.5)],
}


@keras.saving.register_keras_serializable("tests")
class CutModel(ks.models.AdversarialDropoutMixin, keras.Model):
    """A functional model."""


class CutSequential(ks.models.AdversarialDropoutMixin, keras.Sequential):
    """A sequential model."""


@keras.saving.register_keras_serializable("tests")
class CutClassifier(ks.models.AdversarialDropoutMixin, ks.models.Classifier):
    """A functional model of any head."""


@keras.saving.register_keras_serializable("tests")
class Hooked(ks.models.AdversarialDropoutMixin, keras.Model):
    """A subclassed model of the same layers as `make_cut_model()`."""

    def __init__(self, rate=0.5, budget=0.2, **kwargs):
        super().__init__(**kwargs)
        self.hidden = layers.Dense(16, activation="relu")
        self.cut = ks.layers.AdversarialDropout(rate, budget)
        self.logits = layers.Dense(CLASSES)

    def under(self, inputs, training=None):
        return self.hidden(inputs)

    def upper(self, features, training=None):
        return self.logits(features)


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def make_cut_model(
    perturbations=None, *, rate=0.5, budget=0.2, noisy=False, head=None, loss=None, **arguments
):
    """Return a compiled model of a hidden layer, the cut and the logits.

    With `noisy` there is batch normalisation on both sides of the cut, and dropout above it.
    """
    inputs = keras.Input((8,))
    x = layers.Dense(16, activation="relu")(inputs)
    if noisy:
        x = layers.BatchNormalization()(x)
    x = ks.layers.AdversarialDropout(rate, budget, name="cut")(x)
    if noisy:
        x = layers.Dropout(0.5)(layers.BatchNormalization()(layers.Dense(16)(x)))
    kind = CutModel if head is None else CutClassifier
    model = kind(inputs, (head or layers.Dense(CLASSES))(x))
    return compiled_cut(model, perturbations, loss=loss, **arguments)


def compiled_cut(model, perturbations=None, loss=None, **arguments):
    defaults = {"optimizer": keras.optimizers.Adam(0.01), "weighted_metrics": ["accuracy"]}
    model.compile(
        loss=loss or cross_entropy(), perturbations=perturbations, **{**defaults, **arguments}
    )
    return model


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
