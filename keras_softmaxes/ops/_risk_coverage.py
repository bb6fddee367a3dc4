"""Risk and coverage: the error of the examples that a classifier is the most confident of."""

from keras import ops

from ..support._arguments import Tensor, invalid, static_shape
from ..support._tensors import at_least_float32
from ._average_precision import running_maximum
from ._calibration import read_weights


def risk_coverage(wrong: Tensor, confidence: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """The risk-coverage curve, and the area under it.

    With the examples ranked by falling confidence, n(k) the weight of those down to rank k, e(k)
    that of the wrong ones among them, and n all of it,

        coverage = n(k) / n,   risk = e(k) / n(k),   generalised risk = e(k) / n
        AURC  = sum_k w_k e(k) / n(k) / n,   the risk at the confidence of each example, its mean
        AUGRC = area under the generalised risk, by the trapezoidal rule
              = (1 - A) a (1 - a) + (1 - a)^2 / 2

    with a the accuracy and A the area under the ROC curve of the confidence as a score for being
    right. Examples of equal confidence share one rank, the last of theirs. (torch-uncertainty's
    areas begin at the first example, by the trapezoidal rule from there on: its AURC is
    ( n AURC - (e(1) + e(n) / n) / 2 ) / (n - 1), its AUGRC ( n AUGRC - e(1) / (2 n) ) / (n - 1).)

    Args:
        wrong: 1 where the prediction is wrong, else 0, (examples,), a known number of them.
        confidence: of any scale, higher where the prediction is more certain, (examples,).
        weights: (examples,), at least 0. An example of weight 0 is as if it were absent.

    Returns:
        A dict of tensors. "coverage" and "risk", (examples,), rise with the rank, and stay where
        examples share one with the next; "aurc" and "augrc" are numbers, NaN where a confidence is.

    Raises:
        ValueError: shapes that differ or are not (examples,); weights below 0. In a graph
            TensorFlow raises InvalidArgumentError for these; inside XLA or `jax.jit` the areas are
            NaN.

    Example:
        >>> import keras_softmaxes as ks
        >>> curve = ks.ops.risk_coverage([0, 1, 0], [0.9, 0.6, 0.5], [1, 1, 1])
        >>> curve["risk"].numpy().round(4), round(float(curve["aurc"]), 4)
        (array([0.    , 0.5   , 0.3333], dtype=float32), 0.2778)

    Reference:
        Geifman et al., Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers, ICLR 2019
        (https://arxiv.org/abs/1805.08206); AUGRC: Traub et al., Overcoming Common Flaws in the
        Evaluation of Selective Classification Systems, NeurIPS 2024
        (https://arxiv.org/abs/2407.01032).
    """
    confidence = at_least_float32(confidence)
    wrong = ops.convert_to_tensor(wrong, dtype=confidence.dtype)
    for argument, tensor in (("confidence", confidence), ("wrong", wrong)):
        shape = static_shape(argument, tensor)
        if len(shape) != 1 or shape != tuple(confidence.shape):
            raise invalid(argument, "shape (examples,), as `confidence`", f"shape {shape}")
    return risk_coverage_of(wrong, confidence, read_weights(weights, confidence))


def risk_coverage_of(wrong: Tensor, confidence: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Return `risk_coverage` of what was read."""
    # What has no weight comes last, and may hold NaN.
    confidence = ops.where(weights == 0, float("-inf"), confidence)
    wrong = ops.where(weights == 0, 0, wrong)
    order = ops.argsort(-confidence)
    ranked, errors, seen = (ops.take(each, order) for each in (confidence, wrong, weights))
    errors, seen = ops.cumsum(errors * seen), ops.cumsum(seen)
    is_last = ops.concatenate([ranked[1:] != ranked[:-1], ops.ones_like(ranked[:1], dtype="bool")])
    errors, seen = (running_maximum(ops.where(is_last, each, 0)) for each in (errors, seen))
    total = ops.max(seen, initial=0)
    coverage = ops.divide_no_nan(seen, total)
    risk, generalised = ops.divide_no_nan(errors, seen), ops.divide_no_nan(errors, total)
    start = ops.zeros_like(coverage[:1])
    gained = ops.diff(ops.concatenate([start, coverage]))
    before = ops.concatenate([start, generalised])[: generalised.shape[0]]
    unknown = ops.any(ops.isnan(confidence) | ops.isnan(wrong) | ops.isnan(weights))
    areas = {
        "aurc": ops.sum(gained * risk),
        "augrc": ops.sum(gained * (generalised + before)) / 2,
    }
    return {
        "coverage": coverage,
        "risk": risk,
        **{name: ops.where(unknown, float("nan"), area) for name, area in areas.items()},
    }
