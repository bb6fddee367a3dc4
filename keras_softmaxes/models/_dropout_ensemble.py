"""The predictions of dropout's ensemble."""

from functools import partial
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from ..layers._adversarial_dropout import AdversarialDropout
from ..ops._likelihood import log
from ..support._arguments import Tensor, check_integer, invalid
from ._draws import batches_of, joined, statistics

DROPOUTS = (
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    AdversarialDropout,
)
RULES = ("arithmetic", "geometric", "weight_scaling")


def dropout_ensemble(
    model: keras.Model,
    x: Any,
    rule: Literal["arithmetic", "geometric", "weight_scaling"] = "arithmetic",
    samples: int = 100,
    batch_size: int = 256,
) -> dict[str, np.ndarray]:
    """Predict class probabilities by averaging over the masks of dropout.

        arithmetic      mean_mu p(y | x, mu)
        geometric       proportional to exp( mean_mu log p(y | x, mu) )
        weight scaling  p(y | x) of the one network with all units: `model.predict`

    with masks mu drawn as in training. For softmax regression weight scaling is the geometric mean
    over all masks, exactly; with hidden layers between it is an approximation.

    Args:
        model: a functional or sequential model whose output is class probabilities, with
            `keras.layers.Dropout` layers (or `SpatialDropout`, or
            `keras_softmaxes.layers.AdversarialDropout`) among its own layers. Its other layers,
            such as batch normalisation, and dropout within a recurrent layer, predict as at
            inference.
        x: inputs as an array, or any structure of arrays that the model takes, (count, ...) each,
            or a `tf.data.Dataset` of batches x or (x, y); y is not read.
        rule: which of the three.
        samples: the number of masks, at least 1; weight scaling needs none.
        batch_size: examples of arrays that are predicted at once.

    Returns:
        A dict of NumPy arrays, each (count, classes): "mean", the class probabilities, and
        "stddev", the (population) standard deviation of the networks' own, 0 where there is one.
        The draws follow the seeds of the dropout layers.

    Raises:
        ValueError: another rule; x that is not made of arrays of one length, or has no examples;
            samples or batch_size that are not integers of at least 1; a subclassed model, a model
            without dropout, with dropout in a nested model, with several outputs, or whose output
            is not probabilities of two classes or more.

    Example:
        >>> import keras_softmaxes as ks
        >>> layers = [keras.Input((4,)), keras.layers.Dropout(0.5)]
        >>> model = keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])
        >>> result = ks.models.dropout_ensemble(model, np.ones((2, 4)), "geometric", samples=20)
        >>> result["mean"].shape
        (2, 3)

    Reference:
        Srivastava et al., Dropout, JMLR 2014; Goodfellow et al., Deep Learning, 2016, section 7.12
        (https://www.deeplearningbook.org).
    """
    if rule not in RULES:
        raise invalid("rule", f"one of {', '.join(RULES)}", repr(rule))
    check_integer("samples", samples, least=1)
    check_integer("batch_size", batch_size, least=1)
    _check_model(model)
    if rule == "weight_scaling":  # one network, whatever is drawn
        network, samples = model, 1
    else:
        network = _stochastic(model)
    return joined(map(partial(_measured, network, rule, samples), batches_of(x, batch_size)))


def _check_model(model: keras.Model) -> None:
    """Raise ValueError for a graph that is not known, other dropout, and several outputs."""
    if not getattr(model, "outputs", None):
        raise invalid("model", "a functional or sequential model", model.name)
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if any(isinstance(layer, DROPOUTS) for inner in nested for layer in inner.layers):
        raise invalid("model", "a model without dropout in nested models", model.name)
    if not any(isinstance(layer, DROPOUTS) for layer in model.layers):
        raise invalid("model", "a model with dropout among its own layers", model.name)
    if len(model.outputs) != 1:
        raise invalid("model", "a model with one output", model.name)


def _checked(probabilities: Tensor) -> Tensor:
    """Return the probabilities; raise ValueError for logits and the like."""
    sums = ops.sum(probabilities, axis=-1)
    if probabilities.shape[-1] < 2 or ops.min(probabilities) < 0 or ops.max(abs(sums - 1)) > 0.01:
        extremes = f"outputs from {ops.min(probabilities)} to {ops.max(probabilities)}"
        raise invalid("model", "a model whose output is class probabilities", extremes)
    return probabilities


def _stochastic(model: keras.Model) -> keras.Model:
    """Return the model with dropout at inference, of the same layers."""

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, DROPOUTS):
            kwargs["training"] = True
        return layer(*args, **kwargs)

    inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.models.clone_model(
        keras.Model(inputs, model.outputs[0]),
        clone_function=lambda layer: layer,
        call_function=call,
    )


def _measured(network: keras.Model, rule: str, samples: int, x: Any) -> tuple[Tensor, Tensor]:
    """Return the ensemble's probabilities of a batch, and the deviation of its networks'."""

    def draw() -> Tensor:
        probabilities = _checked(ops.cast(network(x), "float32"))
        return ops.stack([probabilities, log(probabilities)])

    (mean, log_mean), (stddev, _) = statistics(draw, samples)
    return ops.softmax(log_mean, axis=-1) if rule == "geometric" else mean, stddev
