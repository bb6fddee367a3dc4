"""The losses that `keras_softmaxes.losses` exports, each by its formula, and data for them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from numerics import value_and_gradients
from scipy.special import expit, log_expit, logsumexp, softmax

import keras_softmaxes as ks

L = ks.losses
CLASSES = 3
BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
# What a tensor of that name cannot hold, an extreme value among them.
SIGNS = {"log_mask": -1, "reserve_log_mask": -1, "distances": 1}
NAMES = [
    "logits",
    "retain_logits",
    "posterior_shift",
    "log_mask",
    "reserve_log_mask",
    "attention_logits",
    "margin_logits",
    "distances",
    "half_log_determinants",
    "presence_logits",
    "absence_logits",
]


@dataclass
class Case:
    """A loss: its value for each example by the formula, and arguments of its own.

    `formula` takes the labels as booleans, (rows, K), and the tensors by their names, (rows, K).
    `settings` holds each argument, at another value than its default, and `given` those that have
    none.
    """

    formula: Callable
    settings: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)


def cross_entropy(target, logits):
    return logsumexp(logits, axis=1) - logits[target]


def divergence(target, logits):
    others = logits[~target].reshape(len(logits), -1)
    q = softmax(others, axis=1)
    return ((q - 1 / q.shape[1]) * np.log(q)).sum(axis=1) / 2


def large_margin(target, logits):
    return cross_entropy(target, logits) + 0.3 * divergence(target, logits)


def hinge(target, logits):
    violations = np.maximum(0, logits - logits[target][:, None] + 1)
    return violations[~target].reshape(len(logits), -1).mean(axis=1)


def sparsemax(target, logits):
    falling = -np.sort(-logits, axis=1)
    excess = (falling.cumsum(axis=1) - 1) / np.arange(1, logits.shape[1] + 1)
    threshold = excess[np.arange(len(logits)), (falling > excess).sum(axis=1) - 1][:, None]
    squares = np.where(logits > threshold, logits**2 - threshold**2, 0)
    return squares.sum(axis=1) / 2 + 1 / 2 - logits[target]


def dropmax(target, logits, retain_logits, log_mask, posterior_shift):
    rho, posterior = expit(retain_logits), expit(retain_logits + posterior_shift)
    kl = posterior * np.log(posterior / rho)
    kl += (1 - posterior) * np.log((1 - posterior) / (1 - rho))
    auxiliary = np.log(np.where(target, expit(posterior_shift), 1 - expit(posterior_shift)))
    negative_entropy = rho * np.log(rho) + (1 - rho) * np.log(1 - rho)
    terms = np.where(target, -np.log(rho), kl) - auxiliary + negative_entropy
    terms *= np.where(target, 1, min(1, 27 / (target.shape[1] - 1)))
    return cross_entropy(target, logits + np.where(target, 0, log_mask)) + terms.sum(axis=1)


def masked(target, logits, log_mask, reserve_log_mask):
    is_drawn = (log_mask[target] == 0)[:, None]
    log_mask = np.where(is_drawn, reserve_log_mask, log_mask)
    return cross_entropy(target, logits + np.where(target, 0, log_mask))


def attention(target, logits, attention_logits):
    return cross_entropy(target, logits + log_expit(attention_logits))


def lsoftmax(target, logits, margin_logits):
    return cross_entropy(target, np.where(target, margin_logits, logits))


def gaussian_mixture(target, distances, half_log_determinants):
    size = min(1, 9 / (target.shape[1] - 1))
    logits = -distances * (1 + 0.3 * size * target) - half_log_determinants
    likelihood = (distances + half_log_determinants)[target]
    return cross_entropy(target, logits) + 0.1 * size * likelihood


def paired(target, presence_logits, absence_logits):
    return -np.where(target, log_expit(presence_logits), log_expit(absence_logits)).sum(axis=1)


def sum_of_two(target, logits, margin_logits):
    return 2 * lsoftmax(target, logits, margin_logits) + 0.3 * divergence(target, logits)


CASES = {
    L.AttentionCrossentropy: Case(attention, {"supervised": True, "non_targets": 2.0}),
    L.DropMaxLoss: Case(dropmax, {"entropy_weight": 0.1, "non_targets": None}),
    L.GaussianMixtureLoss: Case(gaussian_mixture, {"margin": 0.2, "likelihood_weight": 0.5}),
    L.LargeMarginCrossentropy: Case(
        large_margin,
        {"weight": 0.5, "divergence": "reverse", "bias": 1.0, "label_smoothing": 0.1},
    ),
    L.LargeMarginDivergence: Case(divergence, {"divergence": "forward"}),
    L.LSoftmaxLoss: Case(lsoftmax),
    L.MaskedCrossentropy: Case(masked),
    L.MeanMulticlassHinge: Case(hinge),
    L.PairedCrossentropy: Case(paired),
    L.SparsemaxLoss: Case(sparsemax),
    L.WeightedSum: Case(
        sum_of_two,
        given={
            "losses": [L.LSoftmaxLoss(), L.LargeMarginDivergence()],
            "weights": [2.0, 0.3],
        },
    ),
}
EXPORTED = [each for each in vars(L).values() if inspect.isclass(each) and each is not L.HeadLoss]
EACH = pytest.mark.parametrize("kind", EXPORTED)
EACH_OF_CLASSES = pytest.mark.parametrize(
    "kind", [each for each in EXPORTED if each is not L.PairedCrossentropy]
)
COMMON = {"reduction": "sum", "name": "head_loss", "dtype": "float64"}
needs_compiler = pytest.mark.skipif(BACKEND == "torch", reason="torch runs eagerly")


def make(kind, **arguments):
    return kind(**CASES[kind].given, **arguments)


def of_classes(kind):
    return kind is not L.PairedCrossentropy


def names_of(kind):
    return [*make(kind).reads, *make(kind).may_read]


def labels_of(kind, shape, classes=CLASSES):
    """Return labels in the plainest form that the loss takes."""
    if of_classes(kind):
        return RNG.integers(0, classes, shape)
    return RNG.integers(0, 2, (*shape, classes))


def forms_of(kind, labels, classes=CLASSES):
    """Return the same labels in every form that the loss takes."""
    if not of_classes(kind):
        return [labels.astype(dtype) for dtype in ("int8", "uint8", "int64", "float32", "bool")]
    one_hot = np.eye(classes)[labels]
    integers = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    return [
        *(labels.astype(dtype) for dtype in integers if (BACKEND, dtype) != ("torch", "uint64")),
        labels[..., None],
        labels[..., None].astype("uint8"),
        labels.astype("float64"),
        labels[..., None].astype("float32"),
        *(one_hot.astype(dtype) for dtype in ("int32", "uint8", "float32", "float64", "bool")),
    ]


def outputs_of(kind, shape, classes=CLASSES):
    """Return what a head may return. Half of the classes that could be masked are not."""
    outputs = {}
    for name in names_of(kind):
        values = -3 * RNG.uniform(size=(*shape, classes)).astype("float32")
        outputs[name] = np.where(values > -1.5, 0, values) if "log_mask" in name else values
    return outputs


def by_formula(kind, labels, outputs):
    """Return the loss of each example in float64."""
    *shape, classes = next(iter(outputs.values())).shape
    target = np.eye(classes)[labels] if of_classes(kind) else labels
    rows = {name: each.astype("float64").reshape(-1, classes) for name, each in outputs.items()}
    return CASES[kind].formula(target.reshape(-1, classes) == 1, **rows).reshape(shape)


def by_hand(losses, weights, counted, reduction):
    """Reduce as Keras does, whose mean is that over the examples that count."""
    weighted = losses * weights * counted
    return {
        "none": weighted,
        "sum": weighted.sum(),
        "sum_over_batch_size": weighted.sum() / counted.sum(),
        "mean_with_sample_weight": weighted.sum() / (weights * counted).sum(),
    }[reduction]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def differentiated(loss, labels, outputs, mode="eager", dtype="float32"):
    """Return the loss, and its gradient for each of the outputs."""
    names = list(outputs)
    value, gradients = value_and_gradients(
        lambda *tensors: loss(labels, dict(zip(names, tensors, strict=True))),
        list(outputs.values()),
        mode,
        dtype,
    )
    return value, dict(zip(names, gradients, strict=True))


@keras.saving.register_keras_serializable("tests")
class Everything(ks.layers.Head):
    """A head whose tensors any loss can read."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.dense = keras.layers.Dense(units * len(NAMES))

    def build(self, input_shape):
        super().build(input_shape)
        self.dense.build(input_shape)

    def call(self, features):
        tensors = ops.split(ops.relu(self.dense(features)), len(NAMES), axis=-1)
        outputs = {
            name: SIGNS.get(name, 1) * each for name, each in zip(NAMES, tensors, strict=True)
        }
        return {"probabilities": ops.softmax(outputs["logits"]), **outputs}

    def get_config(self):
        return {**super().get_config(), "units": self.units}
