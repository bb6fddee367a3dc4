"""Soft labels, and weights and adjustments of the classes, in every loss of classes."""

import keras
import numpy as np
import pytest
from keras import ops
from loss_cases import (
    CLASSES,
    EACH_OF_CLASSES,
    L,
    by_formula,
    differentiated,
    make,
    numpy,
    outputs_of,
)
from numerics import MODES, execute
from scipy.special import softmax

import keras_softmaxes as ks

RNG = np.random.default_rng(7)
# The Makefile lets JAX compile without optimisation, where one sum has another order.
LAST_BIT = np.finfo("float32").eps if keras.backend.backend() == "jax" else 0


def soft_labels(shape, classes=CLASSES, of_two=False):
    """Return distributions, the first of them one-hot; `of_two` has two classes a row at most."""
    rows = softmax(3 * RNG.normal(size=(*shape, classes)), axis=-1)
    if of_two:
        share = RNG.uniform(size=(*shape, 1))
        first, second = (np.eye(classes)[RNG.integers(0, classes, shape)] for _ in range(2))
        rows = share * first + (1 - share) * second
    rows.reshape(-1, classes)[0] = np.eye(classes)[1]
    return rows.astype("float32")


def takes_any(kind):
    """Tell whether the loss takes rows of more than two classes."""
    return kind is not L.MeanMulticlassHinge


def expected_by_formula(kind, rows, outputs):
    """Return the expectation of the formula; of sparsemax the Fenchel-Young loss."""
    shape, classes = rows.shape[:-1], rows.shape[-1]
    each = np.stack([by_formula(kind, np.full(shape, k), outputs) for k in range(classes)], axis=-1)
    expected = (rows.astype("float64") * each).sum(-1)
    if kind is L.SparsemaxLoss:
        expected -= (1 - (rows.astype("float64") ** 2).sum(-1)) / 2
    return expected


@EACH_OF_CLASSES
@pytest.mark.parametrize("classes", [3, 40])
def test_the_loss_of_a_soft_label_is_its_expectation(kind, classes):
    shape = (6,)
    rows = soft_labels(shape, classes, of_two=not takes_any(kind))
    outputs = outputs_of(kind, shape, classes)
    expected = expected_by_formula(kind, rows, outputs)
    np.testing.assert_allclose(
        numpy(make(kind, reduction="none")(rows, outputs)), expected, rtol=1e-5, atol=2e-6
    )


@EACH_OF_CLASSES
@pytest.mark.parametrize("mode", MODES)
def test_its_gradient_is_the_expectation_too(kind, mode):
    """Against the gradients of the losses of each class, weighted; sums of both agree."""
    shape = (2, 3)
    rows = soft_labels(shape, of_two=not takes_any(kind))
    outputs = outputs_of(kind, shape)
    loss = make(kind, reduction="sum")
    value, gradients = differentiated(loss, rows, outputs, mode)
    assert value == pytest.approx(expected_by_formula(kind, rows, outputs).sum(), rel=1e-5)
    expected = dict.fromkeys(outputs, 0.0)
    for k in range(CLASSES):
        each = differentiated(loss, np.full(shape, k), outputs)[1]
        for name in outputs:
            expected[name] = expected[name] + rows[..., k, None] * each[name]
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], atol=2e-6)


@EACH_OF_CLASSES
@pytest.mark.parametrize("mode", MODES)
def test_one_hot_rows_are_their_classes_exactly(kind, mode):
    labels = RNG.integers(0, CLASSES, (4, 2))
    outputs = outputs_of(kind, (4, 2))
    loss = make(kind)
    ours = differentiated(loss, np.eye(CLASSES, dtype="float32")[labels], outputs, mode)
    theirs = differentiated(loss, labels, outputs, mode)
    for one, other in zip(*map(keras.tree.flatten, (ours, theirs)), strict=True):
        np.testing.assert_allclose(one, other, rtol=LAST_BIT)


@EACH_OF_CLASSES
@pytest.mark.parametrize("scale", [30.0, 1e4])
def test_no_digits_are_lost_where_one_class_dominates(kind, scale):
    shape = (5,)
    rows = soft_labels(shape, 6, of_two=not takes_any(kind))
    outputs = outputs_of(kind, shape, 6)
    outputs = {
        name: each * (1 if "mask" in name else np.float32(scale)) for name, each in outputs.items()
    }
    loss, double = (make(kind, reduction="none", dtype=dtype) for dtype in ("float32", "float64"))
    precise = {name: each.astype("float64") for name, each in outputs.items()}
    expected = numpy(double(rows.astype("float64"), precise))
    ours = numpy(loss(rows, outputs))
    np.testing.assert_allclose(ours, expected, rtol=2e-6, atol=2e-7 * scale)
    _, gradients = differentiated(loss, rows, outputs)
    assert all(np.isfinite(each).all() for each in gradients.values())


@pytest.mark.parametrize("divergence", ["symmetric", "forward", "reverse"])
@pytest.mark.parametrize("dominant", [1, 3])
def test_the_regulariser_of_a_dominant_class_keeps_its_digits(divergence, dominant):
    """Taken as a difference from the sum over all classes it would be 0, or rounding alone."""
    logits = np.array([[0.5, 0.2, -0.1, 0.3]], "float32")
    logits[0, dominant] = 60.0
    rows = np.full((1, 4), 0.01, "float32")
    rows[0, dominant] = 0.97
    loss = L.LargeMarginDivergence(divergence, reduction="none")
    expected = sum(
        rows[0, k] * numpy(ks.ops.large_margin_divergence([k], logits, divergence))
        for k in range(4)
    )
    np.testing.assert_allclose(numpy(loss(rows, logits)), expected, rtol=1e-6, atol=3e-7)


@EACH_OF_CLASSES
def test_rows_of_more_classes_than_a_loss_takes_raise(kind):
    rows, outputs = soft_labels((3,)), outputs_of(kind, (3,))
    if takes_any(kind):
        assert np.isfinite(numpy(make(kind)(rows, outputs)))
        return
    with pytest.raises(ValueError, match=f"`labels`.*at most two classes, as {kind.__name__}"):
        make(kind)(rows, outputs)


def test_a_loss_of_ones_own_takes_rows_of_two_classes():
    class Brier(L.HeadLoss):
        def call(self, y_true, y_pred):
            target = ops.one_hot(y_true, CLASSES)
            return ops.sum((ops.softmax(y_pred["logits"]) - target) ** 2, axis=-1)

    logits = RNG.normal(size=(4, CLASSES)).astype("float32")
    rows = soft_labels((4,), of_two=True)
    each = [(softmax(logits, -1) - np.eye(CLASSES)[k]) ** 2 for k in range(CLASSES)]
    expected = sum(rows[:, k] * each[k].sum(-1) for k in range(CLASSES))
    np.testing.assert_allclose(numpy(Brier(reduction="none")(rows, logits)), expected, rtol=1e-5)


@EACH_OF_CLASSES
def test_evaluation_of_a_soft_label_is_the_cross_entropy_of_the_probabilities(kind):
    rows = soft_labels((4,))
    probabilities = softmax(RNG.normal(size=(4, CLASSES)), -1).astype("float32")
    ours = numpy(make(kind).evaluate(rows, {"probabilities": probabilities}))
    assert ours == pytest.approx(-(rows * np.log(probabilities)).sum(-1).mean(), rel=1e-5)


@EACH_OF_CLASSES
def test_weights_of_the_classes_are_weights_of_their_examples(kind):
    weight = [0.5, 2.0, 0.0]
    outputs = outputs_of(kind, (4, 2))
    labels, own = RNG.integers(0, CLASSES, (4, 2)), RNG.uniform(size=(4, 2)).astype("float32")
    for given in (None, own):
        ours = make(kind, class_weight=weight)(labels, outputs, given)
        weights = np.array(weight)[labels] * (1 if given is None else own)
        theirs = make(kind)(labels, outputs, weights)
        assert float(numpy(ours)) == pytest.approx(float(numpy(theirs)), rel=1e-5)


@EACH_OF_CLASSES
def test_a_soft_label_has_the_expectation_of_the_weighted_losses(kind):
    weight = np.array([0.5, 2.0, 0.0])
    outputs = outputs_of(kind, (5,))
    rows = soft_labels((5,), of_two=True)
    rows[1] = [0, 0, 1]  # of which nothing counts
    plain = make(kind, reduction="none")
    each = np.stack([numpy(plain(np.full(5, k), outputs)) for k in range(CLASSES)], axis=1)
    expected = (rows * weight * each).sum(axis=1)
    if kind is L.SparsemaxLoss:  # the Fenchel-Young loss of the weighted row
        total = (rows * weight).sum(axis=1)
        weighted = rows * weight / np.where(total == 0, 1, total)[:, None]
        expected -= total * (1 - (weighted**2).sum(axis=1)) / 2
    ours = numpy(make(kind, reduction="none", class_weight=weight)(rows, outputs))
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(8,), (8, 3)])
def test_weights_of_the_classes_are_those_of_keras_and_of_dense_predictions(shape):
    logits = RNG.normal(size=(*shape, CLASSES)).astype("float32")
    labels, weight = RNG.integers(0, CLASSES, shape), np.array([0.2, 3.0, 1.0])
    keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours = L.LargeMarginCrossentropy(0.0, class_weight=weight)(labels, logits)
    theirs = keras_loss(labels, logits, weight[labels])
    assert float(numpy(ours)) == pytest.approx(float(numpy(theirs)), rel=1e-5)


@EACH_OF_CLASSES
def test_an_adjustment_is_added_to_the_logits_of_the_loss_alone(kind):
    adjustment = np.log([0.7, 0.2, 0.1])
    outputs = outputs_of(kind, (4,))
    labels = RNG.integers(0, CLASSES, 4)
    shifted = {
        name: each + adjustment.astype("float32") if name in ("logits", "margin_logits") else each
        for name, each in outputs.items()
    }
    if kind is L.GaussianMixtureLoss:
        moved = outputs["half_log_determinants"] - adjustment.astype("float32")
        shifted["half_log_determinants"] = moved
    adjusted = make(kind, logit_adjustment=adjustment)
    for y in (labels, soft_labels((4,), of_two=True)):
        assert numpy(adjusted(y, outputs)) == pytest.approx(numpy(make(kind)(y, shifted)), rel=1e-6)
    probabilities = {"probabilities": softmax(RNG.normal(size=(4, CLASSES)), -1)}
    assert numpy(adjusted.evaluate(labels, probabilities)) == numpy(
        make(kind).evaluate(labels, probabilities)
    )


@EACH_OF_CLASSES
@pytest.mark.parametrize("argument", ["class_weight", "logit_adjustment"])
def test_numbers_of_the_classes_are_kept_and_checked(kind, argument):
    loss = make(kind, **{argument: np.array([1.0, 2.0, 3.0], "float32")})
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert getattr(again, argument) == [1.0, 2.0, 3.0]
    for bad in (1.0, "abc", [1.0, None], [[1.0, 2.0]], [1.0, float("nan")], {0: 1.0}):
        with pytest.raises(ValueError, match=f"`{argument}`.*one per class"):
            make(kind, **{argument: bad})
    with pytest.raises(ValueError, match=f"`{argument}`.*3 numbers, one per class.*=2"):
        make(kind, **{argument: [1.0, 2.0]})([0], outputs_of(kind, (1,)))
    with pytest.raises(ValueError, match=r"`class_weight`.*at least 0"):
        make(kind, class_weight=[1.0, -1.0, 1.0])


@EACH_OF_CLASSES
def test_soft_labels_and_an_ignored_class(kind):
    """A row counts unless it is the ignored class for certain."""
    rows = soft_labels((3,), of_two=True)
    rows[:] = [0, 0, 1], [0.5, 0.5, 0], [0, 0.25, 0.75]
    outputs = outputs_of(kind, (3,))
    ours = make(kind, ignore_class=2)(
        rows, {n: np.where([[1], [0], [0]], np.nan, o) for n, o in outputs.items()}
    )
    theirs = make(kind)(rows[1:], {name: each[1:] for name, each in outputs.items()})
    assert float(numpy(ours)) == pytest.approx(float(numpy(theirs)), rel=1e-5)


class Brier(L.HeadLoss):
    """A loss of a user's own, whose one-hot rows of a label out of range are zeros."""

    reads = ("probabilities",)

    def call(self, y_true, y_pred):
        target = ops.one_hot(y_true, CLASSES)
        return ops.sum((y_pred["probabilities"] - target) ** 2, axis=-1)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch runs eagerly")
@pytest.mark.parametrize(
    "labels",
    [
        np.array([0, CLASSES, 1]),
        np.array([0, -1, 1]),
        np.array([0, 0.5, 1], "float32"),
        np.array([[1, 0, 0], [0.2, 0.3, 0.5], [0, 1, 0]], "float32"),
        np.array([[1, 0, 0], [0.5, 0.6, 0], [0, 0.5, 0.5]], "float32"),
    ],
)
def test_a_loss_of_ones_own_is_nan_where_labels_could_not_be_checked(labels):
    outputs = {"probabilities": np.full((3, CLASSES), 1 / CLASSES, "float32")}
    loss = Brier(reduction="none")
    losses = execute(lambda _: loss(labels, outputs), [np.zeros(1)], MODES[-1])
    np.testing.assert_array_equal(np.isnan(losses), [False, True, False])


@pytest.mark.slow
@pytest.mark.tensorflow
@EACH_OF_CLASSES
def test_rows_are_compiled_where_the_batch_is_of_unknown_size(kind):
    import tensorflow as tf

    rows, outputs = soft_labels((5,), of_two=True), outputs_of(kind, (5,))
    spec = {name: tf.TensorSpec((None, CLASSES)) for name in outputs}
    step = tf.function(
        make(kind), input_signature=[tf.TensorSpec((None, CLASSES)), spec], jit_compile=True
    )
    for count in (5, 3):
        part = {name: each[:count] for name, each in outputs.items()}
        ours = step(rows[:count], part)
        assert float(ours) == pytest.approx(float(numpy(make(kind)(rows[:count], part))), rel=1e-5)
