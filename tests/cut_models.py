"""The perturbations, and small models to train by them on the small problem."""

import keras
import numpy as np
from keras import layers, ops
from problems import CLASSES

import keras_softmaxes as ks
from keras_softmaxes.models._cut import cut_of
from keras_softmaxes.support._arguments import INDEX

P = ks.perturbations

# Each takes the arguments that all perturbations have, a weight and a name.
PERTURBATIONS = {
    "sadd": P.SupervisedAdversarialDropout,
    "vadd": P.VirtualAdversarialDropout,
    "vadd_quadratic": lambda **arguments: P.VirtualAdversarialDropout(
        divergence="quadratic", **{"weight": 3.0, **arguments}
    ),
    "pi": P.PiModel,
    "pi_kl": lambda **arguments: P.PiModel(divergence="kl", **arguments),
    "fgsm": lambda **arguments: P.AdversarialTraining(0.1, **arguments),
    "vat": lambda **arguments: P.VirtualAdversarialTraining(0.5, **arguments),
    "temporal": lambda **arguments: P.TemporalEnsembling(
        examples=256, classes=CLASSES, **arguments
    ),
}


@keras.saving.register_keras_serializable("tests")
class CutModel(ks.models.AdversarialDropoutMixin, keras.Model):
    """A functional model."""


@keras.saving.register_keras_serializable("tests")
class CutSequential(ks.models.AdversarialDropoutMixin, keras.Sequential):
    """A sequential model."""


@keras.saving.register_keras_serializable("tests")
class CutClassifier(ks.models.AdversarialDropoutMixin, ks.models.Classifier):
    """A network and a head."""


@keras.saving.register_keras_serializable("tests")
class Hooked(ks.models.AdversarialDropoutMixin, keras.Model):
    """A subclassed model of the same layers as `make_cut_model()`."""

    def __init__(self, rate=0.5, budget=0.2, **kwargs):
        super().__init__(**kwargs)
        self.hidden = layers.Dense(16, activation="relu")
        self.cut = ks.layers.AdversarialDropout(rate, budget)
        self.logits = layers.Dense(CLASSES)

    def below(self, inputs, training=None):
        return self.hidden(inputs)

    def above(self, features, training=None):
        return self.logits(features)


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def indexed(x, index=None):
    """Return inputs that come with the numbers of the examples."""
    return {"inputs": x, INDEX: np.arange(len(x)) if index is None else index}


def make_cut_model(
    perturbations=None, *, rate=0.5, budget=0.2, noisy=False, head=None, **arguments
):
    """Return a compiled model of a hidden layer, the cut and the logits, or a head.

    With `noisy` there is batch normalisation on both sides of the cut, and dropout above it.
    """
    inputs = keras.Input((8,))
    x = layers.Dense(16, activation="relu")(inputs)
    if noisy:
        x = layers.BatchNormalization()(x)
    x = ks.layers.AdversarialDropout(rate, budget, name="cut")(x)
    if noisy:
        x = layers.Dropout(0.5)(layers.BatchNormalization()(layers.Dense(16)(x)))
    if head is None:
        model = CutModel(inputs, layers.Dense(CLASSES)(x))
    else:
        model = CutClassifier(keras.Model(inputs, x), head)
        arguments = {"loss": None, **arguments}
    return compiled_cut(model, perturbations, **arguments)


def compiled_cut(model, perturbations=None, **arguments):
    defaults = {
        "optimizer": keras.optimizers.Adam(0.01),
        "loss": cross_entropy(),
        "weighted_metrics": ["accuracy"],
    }
    model.compile(perturbations=perturbations, **{**defaults, **arguments})
    return model


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def adversarial_step(model, below, above, x, y, rate=0.1):
    """Return the variables after a step of SGD of virtual adversarial dropout, written out.

    The random mask is that of the fixture `fixed_draws`.

    Args:
        model: a model with a cut, of which loss and variables are taken.
        below: the function from the inputs to the features below its cut.
        above: the function from the features to the output.
        x: the inputs.
        y: the labels.
        rate: the learning rate.
    """
    import tensorflow as tf

    cut = cut_of(model, has_hooks=True)

    def log_probabilities(outputs):
        is_head = isinstance(outputs, dict)
        return ops.log(outputs["probabilities"]) if is_head else ops.log_softmax(outputs)

    with tf.GradientTape() as tape:
        features = below(x)
        mask = np.random.default_rng(0).uniform(size=features.shape[-1]) >= cut.rate
        mask = tf.constant(np.tile(mask, (len(features), 1)), features.dtype)
        outputs = above(cut.masked(features, mask))
        clean = log_probabilities(outputs)
        with tf.GradientTape() as inner:
            inner.watch(features)
            logarithms = log_probabilities(above(features))
            divergence = ops.sum(ops.exp(ops.stop_gradient(clean)) * (clean - logarithms))
        jacobian = inner.gradient(divergence, features) * features
        jacobian = ops.sum(jacobian, axis=tuple(range(1, len(features.shape) - 1)))
        adversarial = ks.ops.adversarial_mask(mask, jacobian, cut.budget)
        other = log_probabilities(above(cut.masked(features, ops.stop_gradient(adversarial))))
        term = ops.mean(ops.sum(ops.exp(clean) * (clean - other), axis=-1))
        loss = model.loss(y, outputs) + term
    assert np.any(adversarial != mask)
    variables = model.trainable_variables
    gradients = map(
        tf.convert_to_tensor, tape.gradient(loss, variables)
    )  # an embedding's is sparse
    return [each - rate * slope for each, slope in zip(variables, gradients, strict=True)]


def assert_adversarial_step(model, below, above, x, y):
    """Hold the step of a model that is compiled with SGD(0.1) against the one written out."""
    model(keras.tree.map_structure(ops.convert_to_tensor, x))
    expected = adversarial_step(model, below, above, x, y)
    model.train_on_batch(x, y)
    for one, other in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6, err_msg=one.path)
