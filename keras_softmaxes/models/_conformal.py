"""Sets of classes that hold the right one as often as is asked for."""

import math
from typing import Any, Literal, TypedDict

import keras
import numpy as np
from keras import ops

from ..support._arguments import check_choice, check_seed, check_share, invalid
from ..support._labels import class_indices
from ._calibration import gives_logits, predicted

SCORES = ("lac", "aps")


class ConformalSets(TypedDict):
    """The sets, booleans (count, ..., classes), and the threshold q."""

    sets: np.ndarray
    threshold: float


def conformal_sets(
    model: keras.Model,
    x: Any,
    calibration: tuple[Any, Any],
    coverage: float = 0.9,
    score: Literal["lac", "aps"] = "lac",
    batch_size: int = 256,
    seed: int | None = None,
) -> ConformalSets:
    """Predict a set of classes for each example, by split conformal prediction.

        set(x) = { k : s(x, k) <= q },   q the ceil((n + 1) coverage)-th smallest of s(x_i, y_i)

        lac  s(x, k) = 1 - p_k                                smallest sets on average
        aps  s(x, k) = sum of all p_j > p_k, plus u p_k       u uniform in [0, 1], one per example

    over the n calibration examples. Whatever the model, the set of a new example holds its class
    with a probability of at least `coverage`, and of at most 1 / (n + 1) more where no two scores
    are equal, if the example and those of the calibration are **exchangeable**: drawn alike, and
    none seen in training. It holds on average over all examples and over draws of the calibration
    data, not for each class, and not once the data drift. Padding counts like any other position.
    LAC gives small sets, and may give an empty one for an uncertain example; APS gives large sets
    where the model is uncertain.

    Args:
        model: a `keras_softmaxes.models.Classifier`, or any Keras model with one output of class
            probabilities, or of logits, whose softmax is taken.
        x: inputs as `model.predict` takes them, but not in batches.
        calibration: a tuple of inputs, likewise, and their labels, (...) or (..., 1) integers, or
            (..., classes) one-hot, which the model was not trained on, in place of a validation
            set.
        coverage: the probability, in (0, 1). With n below coverage / (1 - coverage) examples each
            set is that of all classes.
        score: "lac" (least ambiguous classifiers) or "aps" (adaptive prediction sets).
        batch_size: examples that are predicted at once.
        seed: integer that fixes the draws of APS; None takes it from `keras.utils.set_random_seed`.

    Returns:
        A dict: "sets", booleans as a NumPy array (count, ..., classes), and "threshold", q.

    Raises:
        ValueError: a coverage outside of (0, 1); another score; inputs that are not made of arrays
            of one length, or have no examples; a model of several outputs, as one by tiles is, of
            several labels per example, or of outputs that are not finite; labels out of range or of
            neither form.

    Example:
        >>> import keras_softmaxes as ks
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Softmax()])
        >>> rng = np.random.default_rng(0)
        >>> y = rng.integers(0, 3, 1000)
        >>> x = np.eye(3)[y] + rng.normal(size=(1000, 3))
        >>> found = ks.models.conformal_sets(model, x[500:], (x[:500], y[:500]), coverage=0.9)
        >>> float(found["sets"][np.arange(500), y[500:]].mean())
        0.916

    Reference:
        LAC: Sadinle et al., Least Ambiguous Set-Valued Classifiers with Bounded Error Levels, JASA
        2019 (https://arxiv.org/abs/1609.00451). APS: Romano et al., Classification with Valid and
        Adaptive Coverage, NeurIPS 2020 (https://arxiv.org/abs/2006.02544).
    """
    check_share("coverage", coverage, above_zero=True, below_one=True)
    check_choice("score", score, SCORES)
    # Keras's generator takes the seed that is not given from `set_random_seed`.
    state = keras.random.SeedGenerator(check_seed(seed)).state
    rng = np.random.default_rng(int(ops.convert_to_numpy(state)[0]))
    if not isinstance(calibration, tuple | list) or len(calibration) != 2:
        expected = "a tuple of inputs and labels, each in arrays"
        raise invalid("calibration", expected, type(calibration).__name__)
    inputs, labels = calibration
    outputs = predicted(model, inputs, batch_size, "calibration[0]")
    from_logits = gives_logits(model, outputs)
    labels = ops.convert_to_numpy(class_indices(labels, outputs))

    def scores(outputs: Any) -> np.ndarray:
        outputs = ops.softmax(outputs, axis=-1) if from_logits else outputs
        probabilities = ops.convert_to_numpy(outputs).astype("float64")
        return 1 - probabilities if score == "lac" else _adaptive(probabilities, rng)

    known = np.take_along_axis(scores(outputs), labels[..., None], axis=-1).ravel()
    rank = math.ceil(round((known.size + 1) * coverage, 9))
    threshold = float(np.sort(known)[rank - 1]) if rank <= known.size else math.inf
    sets = scores(predicted(model, x, batch_size)) <= threshold
    return {"sets": sets, "threshold": threshold}


def _adaptive(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return APS's scores, (..., classes)."""
    order = np.argsort(-probabilities, axis=-1)
    ranked = np.take_along_axis(probabilities, order, axis=-1)
    share = rng.uniform(size=(*probabilities.shape[:-1], 1))
    scores = np.empty_like(probabilities)
    above = np.cumsum(ranked, axis=-1) - ranked
    np.put_along_axis(scores, order, above + share * ranked, axis=-1)
    return scores
