"""What the fuzz tests draw from: what each public argument may hold, and how cases are counted."""

import inspect
import re
import zlib
from dataclasses import dataclass, field
from typing import Any

import keras
import ml_dtypes
import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from keras import ops

import keras_softmaxes as ks

EAGER = keras.backend.backend() == "tensorflow"
# By kind: how many examples hypothesis makes for each name, and how many cases each holds.
PLAN = {
    "ops": (8, 400),
    "compiled": (4, 400),
    "linear": (12, 40),
    "layers": (3, 400),
    "schedules": (4, 400),
    "whole": (45, 1),
    "metrics": (30, 1),
    "constraints": (45, 1),
    "shapes": (60, 1),
    "graphs": (20, 1),
    "labels": (60, 1),
    "arguments": (50, 1),
}
if not EAGER:  # where each new shape is compiled
    PLAN = {kind: (-(-examples // 10), cases) for kind, (examples, cases) in PLAN.items()}


def rows_of(kind):
    """Return how many examples a batch has, each of which is a case."""
    return PLAN[kind][1]


def fuzz(kind, name, check):
    """Make cases, the same ones in every run, and return how many there were.

    Args:
        kind: of which `PLAN` says how many.
        name: of what is tested, by which the cases differ.
        check: takes hypothesis's data, and returns how many cases it looked at.
    """
    examples, cases = PLAN[kind]
    counts = []

    @seed(zlib.crc32(f"{kind} {name}".encode()))
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def each(data):
        counts.append(check(data))

    each()
    assert sum(counts) >= examples * cases
    return sum(counts)


def public(face):
    """Return what a face of the package exports, by name."""
    members = vars(getattr(ks, face)).items()
    return {name: member for name, member in members if not name.startswith("_")}


BASES = {"Head", "HeadLoss"}
# Of features, a kernel and labels, whose sizes go together: tests/fuzz/test_linear.py.
OF_LINEAR = {"linear_cross_entropy", "linear_ranks", "linear_top_k", "sampled_cross_entropy"}
OPS = {name: op for name, op in public("ops").items() if name not in OF_LINEAR}
LOSSES = {name: member for name, member in public("losses").items() if name not in BASES}
METRICS = {name: each for name, each in public("metrics").items() if name != "TopKAccuracy"}
LAYERS = {name: member for name, member in public("layers").items() if name not in BASES}
HEADS = {name: each for name, each in LAYERS.items() if issubclass(each, ks.layers.Head)}
OF_PROBABILITIES = {"BrierScore", "CalibrationError", "RiskCoverage"}
OF_CLASSES = {"MarginBias", *OF_PROBABILITIES}
SCHEDULES = public("schedules")
CONSTRAINTS = public("constraints")

# Tensors.


def numbers(rng, shape, limit):
    """Return numbers, (rows, width), each row of one of the ways in which rows are difficult."""
    rows, width = shape
    wide = rng.choice([-1, 1], shape) * 10 ** rng.uniform(-6, np.log10(limit), shape)
    normal = rng.normal(size=shape)
    ends = rng.choice([-limit, 0, limit], shape)
    ways = [
        normal,
        wide,
        ends,
        np.broadcast_to(wide[:, :1], shape),  # all equal
        rng.choice([-1, 0, 1], shape) * np.abs(wide[:, :1]),  # some equal
        np.where(np.arange(width) == rng.integers(0, width, (rows, 1)), ends, normal),
        np.zeros(shape),
    ]
    chosen = np.stack(ways)[rng.integers(0, len(ways), rows), np.arange(rows)]
    return np.clip(chosen, -limit, limit)


def below_zero(rng, shape, limit):
    """Return logarithms of masks: many at 0, some at minus infinity."""
    values = -np.abs(numbers(rng, shape, limit))
    return np.where(rng.uniform(size=shape) < 0.1, -np.inf, values)


def above_zero(rng, shape, limit):
    return np.abs(numbers(rng, shape, limit))


def bounded(least, most):
    return lambda rng, shape, limit: np.clip(numbers(rng, shape, limit), least, most)


def deviations(rng, shape, limit):
    return np.clip(np.abs(numbers(rng, shape, limit)), 1e-3, 1e4)


def distributions(rng, shape, limit):
    exponents = numbers(rng, shape, min(limit, 100))
    odds = np.exp(exponents - exponents.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def zeros_and_ones(rng, shape, limit):
    return rng.integers(0, 2, shape).astype("float64")


# What a tensor of that name may hold.
TENSORS = {
    "absence_logits": numbers,
    "attention_logits": numbers,
    "confidence": numbers,
    "distances": above_zero,
    "features": numbers,
    "half_log_determinants": numbers,
    "jacobian": numbers,
    "kernel": numbers,
    "log_mask": below_zero,
    "log_variances": bounded(-10, 10),
    "logits": numbers,
    "margin_logits": numbers,
    "mask": zeros_and_ones,
    "mean": numbers,
    "means": numbers,
    "negative": numbers,
    "positive": numbers,
    "posterior_shift": numbers,
    "presence_logits": numbers,
    "probabilities": distributions,
    "reserve_log_mask": below_zero,
    "retain_logits": numbers,
    "scores": numbers,
    "stddev": deviations,
    "uniform": bounded(1e-3, 1 - 1e-3),
    "weights": above_zero,
    "wrong": zeros_and_ones,
    "x": numbers,
}
# What a number or name of that argument may be.
SETTINGS = {
    "adaptive": [False, True],
    "annealing": [0.0, 0.5, 1e4],
    "average": [None, "macro", "micro"],
    "bias": [0.0, 1.0, 100.0],
    "bins": [15, 1, 4],
    "boundaries": [[1, 5], [100, 10**6]],
    "budget": [0.0, 0.29, 1.0],
    "capacity": [100],
    "class_wise": [False, True],
    "class_weight": [None, (0.0, 0.5, 1e4)],
    "dense": [None, True],
    "divergence": ["symmetric", "forward", "reverse"],
    "entropy_weight": [1.0, 0.0, 0.1],
    "exponents": [[0, -8, -9], [30, -80, 3]],
    "fraction": [0.7, 1.0],
    "form": ["softmax", "sigmoids"],
    "ignore_class": [None, 1, -1],
    "initial_learning_rate": [0.1, 1e-10],
    "label_smoothing": [0.0, 0.1, 0.9],
    "learn": [True, False],
    "learn_covariance": [True, False],
    "likelihood_weight": [0.1, 0.0, 3.0],
    "limit": [0.1, 100.0],
    "logit_adjustment": [None, (0.0, -3.0, 1e3)],
    "margin": [1, 2, 3, 4],
    "measure": ["aurc", "augrc", "coverage"],
    "maximum": [0.0, 1.0, 1e4],
    "mean": [0.0, -2.0],
    "multi_label": [False, True],
    "non_target_weight": [1.0, 0.0, 0.01],
    "non_targets": [9.0, 1.0, None],
    "norm": [None, "l1"],
    "posterior": ["label", "prior"],
    "rate": [0.01, 0.5],
    "risk": [0.05, 0.37, 1.0],
    "retain": [0.01, 0.4, 1.0],
    "sampled": [None],
    "sampled_by": ["uniform", "log_uniform"],
    "scale": [1.0, 0.0, 10.0],
    "stddev": [1e-3, 1.0, 100.0],
    "steps": [1, 10**6],
    "supervised": [False, True],
    "temperature": [0.1, 1.0, 10.0],
    "threshold": [0.5, 0.0],
    "top_k": [1, 2, 3],
    "weight": [0.3, 0.0, 3.0],
}
# Where an argument of the same name is another thing.
SETTINGS_OF = {"CalibrationError": {"norm": ["l1", "l2", "max"]}}
# What Keras reads, and the tests of the layers and losses draw by themselves.
KERAS = {
    "bias_initializer",
    "bias_regularizer",
    "branch_initializer",
    "dtype",
    "kernel_initializer",
    "kernel_regularizer",
    "kwargs",
    "mean_initializer",
    "mean_regularizer",
    "name",
    "reduction",
    "seed",
}
# Given by the tests where they make an object: what it wraps, and of how many classes it is.
GIVEN = {
    "ClassAttention": {"units": 3},
    "ClassDropout": {"units": 3},
    "ClassSampling": {"units": 3},
    "DropMax": {"units": 3},
    "GaussianMixture": {"units": 3},
    "LSoftmax": {"units": 3},
    "ManyClasses": {"units": 3},
    "NormConstraint": {"layer": keras.layers.Dense},
    "PairedGSoftmax": {"units": 3},
    "ParameterTying": {"first": keras.layers.Dense, "second": keras.layers.Dense},
    "Sparsemax": {"units": 3},
    "WeightNoise": {"layer": keras.layers.Dense},
    "WeightedSum": {
        "losses": [ks.losses.LSoftmaxLoss(), ks.losses.LargeMarginDivergence()],
        "weights": [1.0, 0.3],
    },
}


def given_to(name):
    """Return what an object is always made with, layers within it made anew."""
    given = GIVEN.get(name, {})
    return {
        argument: value(3) if inspect.isclass(value) else value for argument, value in given.items()
    }


def arguments_of(member):
    """Return the names of the arguments, but for those of Keras."""
    return [each for each in inspect.signature(member).parameters if each not in KERAS]


def settings_of(name, member):
    """Return the values that each argument may have which is no tensor and is not given.

    A new argument that the tables do not know raises KeyError.
    """
    table = {**SETTINGS, **SETTINGS_OF.get(name, {})}
    return {
        argument: table[argument]
        for argument in arguments_of(member)
        if argument not in GIVEN.get(name, {})
    }


# Ops.

SIZE = 4  # of what is neither examples nor classes


@dataclass(frozen=True)
class Op:
    """An op: its arguments by what they are.

    Attributes:
        function: the op.
        rows: the tensors of the shape (..., classes).
        shared: the shapes of those that all examples share, by the number of classes.
        settings: what the others may be.
        labels: "classes" of the examples, "several" an example, or None.
    """

    function: Any
    rows: list[str]
    shared: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    labels: str | None = None

    def __call__(self, labels, tensors, **settings):
        """Return all that the op returns for each example, as tensors."""
        given = {} if self.labels is None else {"labels": labels}
        results = keras.tree.flatten(self.function(**given, **tensors, **settings))
        return results[:1] if self.function is ks.ops.gaussian_distances else results


SHARED = {
    "gaussian_cdf": {"mean": lambda width: (width,), "stddev": lambda width: (width,)},
    "gaussian_distances": {
        "means": lambda width: (SIZE, width),
        "log_variances": lambda width: (SIZE, width),
    },
    "gsoftmax_logits": {"mean": lambda width: (width,), "stddev": lambda width: (width,)},
    "lsoftmax_logits": {"kernel": lambda width: (width, SIZE)},
}
SEVERAL = {"average_precision", "paired_cross_entropy"}
# Of which no example has a value of its own.
WHOLE = {"compactness", "separability", "separability_ratio", "super_symmetric_projection"}
OF_EXAMPLES = {"reliability", "risk_coverage"}


def op_of(name):
    """Return an op's case; KeyError where an argument of it has no entry in the tables."""
    function = OPS[name]
    names = list(inspect.signature(function).parameters)
    shared = SHARED.get(name, {})
    tensors = [each for each in names if each in TENSORS and each not in shared]
    others = [each for each in names if each not in ("labels", *tensors, *shared)]
    labels = ("several" if name in SEVERAL else "classes") if "labels" in names else None
    settings = {each: SETTINGS[each] for each in others}
    return Op(function, tensors, shared, settings, labels)


def shape_of(name, tensor, examples, classes):
    """Return the shape of an op's tensor: of what has no classes it is that of the examples."""
    of_examples = name == "risk_coverage" or (name, tensor) == ("reliability", "weights")
    return examples if of_examples else (*examples, classes)


# Losses.


def names_of(loss):
    """Return the names of all tensors that a loss reads."""
    return [*loss.reads, *loss.may_read]


def make_loss(name, **arguments):
    return LOSSES[name](**given_to(name), **arguments)


def has_several_labels(name):
    return name in ("PairedCrossentropy", "PairedGSoftmax") or name.startswith("Multi")


# Errors.


def names_argument(error, names):
    """Tell whether an error says which of the arguments is wrong."""
    found = re.findall(r"argument `(\w+)`", str(error))
    return isinstance(error, ValueError) and bool(set(found) & set(names))


def is_python_signature(error):
    """Tell whether Python or Keras raised before anything of a call ran."""
    said = "argument", "positional", "keyword"
    return isinstance(error, TypeError) and any(each in str(error) for each in said)


def outcome(function):
    """Return what a function returns, and the error it raises instead."""
    try:
        return function(), None
    except Exception as error:
        return None, error


def numpy(tensor):
    if keras.backend.standardize_dtype(tensor.dtype) in ("float16", "bfloat16"):
        tensor = ops.cast(tensor, "float32")
    return ops.convert_to_numpy(tensor)


def epsilon(dtype):
    return float(ml_dtypes.finfo(dtype).eps)


# How many names there are of each kind, of which the plan says how often each is tried.
COMPILED = {"large_margin_cross_entropy", *LOSSES}
CASES = {
    "ops": len(OPS.keys() - WHOLE - OF_EXAMPLES - COMPILED),
    "compiled": len(COMPILED),
    "layers": len(LAYERS),
    "schedules": len(SCHEDULES),
    "whole": len(WHOLE),
}
