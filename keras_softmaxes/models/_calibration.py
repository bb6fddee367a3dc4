"""Calibration after training: one temperature, or a scale and a bias for each class."""

import itertools
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from ..layers import Sparsemax
from ..layers._calibration import (
    CalibratedHead,
    Calibration,
    Temperature,
    VectorScaling,
    deviations,
)
from ..support._arguments import Tensor, check_choice, check_integer, invalid
from ..support._labels import class_indices
from ..support._tensors import read_logits, weights_of
from ._classifier import Classifier
from ._draws import count_of

METHODS = ("temperature", "vector")
LEAST, MOST = 1e-2, 1e2  # that 1 / T may be
STEPS = 100


def calibrate(
    model: keras.Model,
    x: Any,
    y: Any,
    method: Literal["temperature", "vector"] = "temperature",
    batch_size: int = 256,
    sample_weight: Any = None,
) -> keras.Model:
    """Calibrate the probabilities of a trained model on validation data.

        temperature  p = softmax(z / T)
        vector       p = softmax(w z + b), a scale and a bias for each class

    z are the model's logits, or the logarithms of its probabilities, which of a softmax are the
    same: DropMax's probabilities are those of the logits o + log rho (its Eq. 15). A `Sparsemax`
    head cannot be calibrated, as 0 has no logarithm. The parameters are those of the lowest
    negative log-likelihood on the data, which is convex in 1 / T, and in w and b: Newton's method
    finds them in float64.

    One temperature never changes the most likely class, and so no error. A scale and a bias for
    each class may, and have as many parameters as twice the classes: they need thousands of
    examples. Take data that was neither trained on nor used to choose the model, some of which it
    gets wrong. If it gets none wrong, the likelihood rises as the temperature falls, to 1/100 here.

    Args:
        model: a trained model: a `keras_softmaxes.models.Classifier`, or any Keras model with one
            output, class probabilities or logits, (count, ..., classes). Outputs of x that are at
            least 0 and sum to 1 are taken for probabilities, others for logits. There is one class
            per example: other outputs that are all from 0 to 1, as sigmoids are, raise. Logits of
            several labels look like those of classes, and raise if their labels are not one-hot.
        x: validation inputs as `model.predict` takes them, but not in batches.
        y: their labels, (...) or (..., 1) integers, or (..., classes) one-hot. The outputs of all
            are held at once.
        method: "temperature" or "vector".
        batch_size: examples that are predicted at once.
        sample_weight: weights of the examples in the likelihood, (...), or of the rows of x,
            (count,), at least 0; None is 1. Padding counts unless its weight is 0.

    Returns:
        A model of the same kind, not compiled: a `Classifier`, or a model of probabilities or of
        logits as before. It shares network, head and weights with the one that was given, and has
        the temperature (or the scales and biases) as one more, which is saved, loaded and exported
        with it and does not train: `head.calibration.temperature` of a classifier, and
        `get_layer("calibration").temperature` of another model.

    Raises:
        ValueError: another method; x that is not made of arrays of one length, or has no examples;
            batch_size that is not an integer of at least 1; a model of several outputs, as one by
            tiles is, of a single class, or of several labels per example; outputs that are not
            finite; labels out of range or of neither form; weights of another shape, below 0, or
            all 0.

    Example:
        >>> import keras_softmaxes as ks
        >>> x, y = np.array([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]]), np.array([0, 1, 0])
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
        >>> calibrated = ks.models.calibrate(model, x, y)
        >>> round(float(calibrated.get_layer("calibration").temperature), 3)  # 2 / log 2
        2.885

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4
        (https://arxiv.org/abs/1706.04599).
    """
    check_choice("method", method, METHODS)
    if isinstance(model, Classifier) and isinstance(model.head, Sparsemax):
        expected = "a head whose probabilities are above 0, as the likelihood needs them"
        raise invalid("model", expected, f"{model.name!r} with a `Sparsemax` head")
    outputs = predicted(model, x, batch_size)
    from_logits = gives_logits(model, outputs)
    labels = ops.convert_to_numpy(class_indices(y, outputs)).ravel()
    shares = _shares(sample_weight, outputs[..., 0])
    scores = ops.convert_to_numpy(deviations(outputs, from_logits))
    scores = scores.reshape(len(labels), -1).astype("float64")
    rate = fitted_rate(scores, labels, shares)
    layer = (Temperature if method == "temperature" else VectorScaling)(
        from_logits=from_logits,
        name=_free_name(model),
        dtype=keras.backend.standardize_dtype(outputs.dtype),
    )
    layer.build(outputs.shape)
    if method == "temperature":
        layer.temperature.assign(1 / rate)
    else:
        scale, bias = fitted_vectors(scores, labels, shares, rate)
        layer.scale.assign(scale)
        layer.bias.assign(bias)
    return _followed(model, layer, x)


def predicted(model: keras.Model, x: Any, batch_size: int, argument: str = "x") -> Tensor:
    """Return the probabilities or logits of a model, (count, ..., classes), in float32 or more.

    Args:
        model: a model.
        x: an array, or any structure of arrays, (count, ...) each.
        batch_size: examples that are predicted at once.
        argument: the name of x.

    Raises:
        ValueError: another x, or one without examples; a batch_size that is not an integer of at
            least 1; a model whose output is not one tensor of finite numbers for two classes or
            more.
    """
    check_integer("batch_size", batch_size, least=1)
    if not isinstance(model, keras.Model):
        raise invalid("model", "a `keras.Model`", repr(model))
    count_of(argument, x, "an array, or a structure of arrays, not in batches")
    outputs = model.predict(x, batch_size=batch_size, verbose=0)
    if keras.tree.is_nested(outputs):
        expected = "a model with one output"
        if isinstance(model, Classifier):
            expected = "a head of all probabilities, as `ManyClasses(classes, dense=True)`"
        raise invalid("model", expected, f"{model.name!r}, of {len(outputs)} outputs")
    outputs = read_logits("model(x)", outputs)
    if not bool(ops.all(ops.isfinite(outputs))):
        raise invalid("model", f"a model whose outputs for `{argument}` are finite", model.name)
    return outputs


def gives_logits(model: keras.Model, outputs: Tensor) -> bool:
    """Tell whether outputs are logits, which numbers of at least 0 that sum to 1 are not.

    Raises:
        ValueError: a classifier of several labels, whose probabilities do not sum to 1; outputs of
            another model that all are in [0, 1], as of sigmoids, but do not sum to 1.
    """
    sums, least, most = ops.sum(outputs, axis=-1), ops.min(outputs), ops.max(outputs)
    if bool(least >= 0) and bool(ops.max(ops.abs(sums - 1)) <= 1e-2):
        return False
    if isinstance(model, Classifier) or (least >= 0 and most <= 1):
        expected = (
            "logits, or probabilities of one class per example, which sum to 1 (those of several "
            "labels do not)"
        )
        found = f"outputs from {least} to {most} that sum to {ops.min(sums)} to {ops.max(sums)}"
        raise invalid("model", expected, f"{model.name!r}, of {found}")
    return True


def _shares(sample_weight: Any, examples: Tensor) -> np.ndarray:
    """Return the weights of examples, (examples,), as shares of all, in float64."""
    weights = ops.convert_to_numpy(weights_of(sample_weight, examples)).ravel().astype("float64")
    if not weights.any():
        raise invalid("sample_weight", "a weight above 0", "0 alone")
    shares: np.ndarray = weights / weights.sum()
    return shares


def fitted_rate(scores: np.ndarray, labels: np.ndarray, shares: np.ndarray) -> float:
    """Return 1 / T of the lowest negative log-likelihood, by Newton's method within a bracket.

    Args:
        scores: z, (examples, classes), of float64.
        labels: (examples,).
        shares: their weights, (examples,), which sum to 1.
    """
    target = np.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
    low, high, rate = LEAST, MOST, 1.0
    for _ in range(STEPS):
        p = _softmax(rate * scores)
        mean = np.sum(p * scores, axis=1)
        slope = shares @ (mean - target)
        curvature = shares @ np.sum(p * (scores - mean[:, None]) ** 2, axis=1)
        low, high = (low, rate) if slope > 0 else (rate, high)
        step = rate - slope / curvature if curvature else high
        following = float(step if low < step < high else np.sqrt(low * high))
        if abs(following - rate) <= 1e-12 * rate:
            break
        rate = following
    return rate


def fitted_vectors(
    scores: np.ndarray, labels: np.ndarray, shares: np.ndarray, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scales and biases of the lowest negative log-likelihood, by Newton's method.

    It starts from one temperature, and takes no step that does not lower the likelihood's negative
    logarithm. Where classes can be told apart without an error the scales would grow for ever: it
    stops after a hundred steps.
    """
    classes = scores.shape[1]
    hot = np.eye(classes)[labels]
    parameters = np.stack([np.full(classes, rate), np.zeros(classes)])

    def loss(parameters: np.ndarray) -> float:
        z = parameters[0] * scores + parameters[1]
        return float(shares @ (_log_sum_exp(z) - np.sum(hot * z, axis=1)))

    now = loss(parameters)
    for _ in range(STEPS):
        p = _softmax(parameters[0] * scores + parameters[1])
        slope = np.stack([shares @ ((p - hot) * scores), shares @ (p - hot)])
        moments = np.concatenate([p * scores, p], axis=1)
        blocks = [[np.diag(shares @ (p * scores**k)) for k in (i, i - 1)] for i in (2, 1)]
        hessian = np.block(blocks) - moments.T @ (shares[:, None] * moments)
        step = np.linalg.lstsq(hessian, slope.ravel(), rcond=1e-10)[0].reshape(2, classes)
        lengths = (0.5**halvings for halvings in range(30))
        tried = ((loss(each), each) for each in (parameters - t * step for t in lengths))
        following, moved = next((each for each in tried if each[0] < now), (now, parameters))
        if now - following <= 1e-12:
            break
        now, parameters = following, moved
    return parameters[0], parameters[1]


def _log_sum_exp(z: np.ndarray) -> np.ndarray:
    most = z.max(axis=1)
    total: np.ndarray = most + np.log(np.sum(np.exp(z - most[:, None]), axis=1))
    return total


def _softmax(z: np.ndarray) -> np.ndarray:
    probabilities: np.ndarray = np.exp(z - _log_sum_exp(z)[:, None])
    return probabilities


def _free_name(model: keras.Model) -> str:
    """Return a name that no layer of the model has."""
    names = {layer.name for layer in model.layers}
    numbered = (f"calibration_{number}" for number in itertools.count(1))
    return next(name for name in itertools.chain(["calibration"], numbered) if name not in names)


def _followed(model: keras.Model, layer: Calibration, x: Any) -> keras.Model:
    """Return a model of the same kind with the layer at its end."""
    if isinstance(model, Classifier):
        calibrated = Classifier(model.network, CalibratedHead(model.head, layer))
    elif getattr(model, "inputs", None):
        inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        return keras.Model(inputs, layer(model.outputs[0]))
    else:
        calibrated = keras.Sequential([model, layer])
    if not calibrated.built:
        calibrated(keras.tree.map_structure(lambda array: array[:1], x))
    return calibrated
