"""Every loss of logits gives the same by tiles as of all logits at once."""

import keras
import numpy as np
import pytest
from keras import ops
from linear_problems import CLASSES, evidence, make_linear
from linear_problems import small_tiles as small_tiles
from numerics import MODES, value_and_gradients

import keras_softmaxes as ks

pytestmark = pytest.mark.usefixtures("small_tiles")
L = ks.losses
RNG = np.random.default_rng(3)
PER_CLASS = {
    "logit_adjustment": RNG.normal(size=CLASSES).tolist(),
    "class_weight": RNG.uniform(0.5, 2, CLASSES).tolist(),
}
DTYPE = "float64" if keras.backend.backend() == "tensorflow" else "float32"
TOLERANCE = 1e-10 if DTYPE == "float64" else 1e-5


class Brier(L.HeadLoss):
    """A loss of a user's own, which reads probabilities."""

    reads = ("probabilities",)

    def call(self, y_true, y_pred):
        probabilities = y_pred["probabilities"]
        target = ops.one_hot(y_true, CLASSES, dtype=probabilities.dtype)
        return ops.sum((probabilities - target) ** 2, axis=-1)


def two_terms(**arguments):
    return L.WeightedSum(
        [L.MeanMulticlassHinge(), L.LargeMarginDivergence()], [1, 0.3], **arguments
    )


LOSSES = [
    L.LargeMarginCrossentropy,
    L.LargeMarginDivergence,
    L.MeanMulticlassHinge,
    L.SparsemaxLoss,
    Brier,
    two_terms,
]


def dense(features, kernel, bias):
    logits = ops.matmul(features, ops.transpose(kernel)) + bias
    return {"logits": logits, "probabilities": ops.softmax(logits, axis=-1)}


def both(loss, labels, weights=None, mode=MODES[-1], rows=7):
    """Return value and gradients by tiles, and of all logits."""
    _, tensors = make_linear(rows)
    return [
        value_and_gradients(lambda *t, f=form: loss(labels, f(*t), weights), tensors, mode, DTYPE)
        for form in (evidence, dense)
    ]


def check_equal(ours, theirs):
    assert ours[0] == pytest.approx(theirs[0], abs=TOLERANCE, rel=TOLERANCE)
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(one, other, atol=TOLERANCE)


def make(kind, **arguments):
    return kind(**arguments, dtype="float64" if DTYPE == "float64" else None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LOSSES)
def test_weights_adjustments_and_ignored_classes_act_as_of_all_logits(kind):
    labels, _ = make_linear(7)
    weights = RNG.uniform(size=7)
    check_equal(*both(make(kind, reduction="sum", **PER_CLASS), labels, weights))
    ignored = int(labels[0])
    check_equal(*both(make(kind, ignore_class=ignored), labels, weights))


@pytest.mark.parametrize("kind", [L.LargeMarginCrossentropy, L.MeanMulticlassHinge])
def test_labels_of_two_classes_are_their_expectation(kind):
    rows = np.zeros((7, CLASSES))
    labels, _ = make_linear(7)
    rows[np.arange(7), labels], rows[np.arange(7), labels - 1] = 0.7, 0.3
    check_equal(*both(make(kind), rows, mode=MODES[0]))
    rows[0] = 1 / CLASSES
    with pytest.raises(ValueError, match=r"at most two classes, as .* of linear logits"):
        make(kind)(rows, evidence(*make_linear(7)[1]))


def test_no_rows_have_no_loss():
    for kind in (L.LargeMarginCrossentropy, L.MeanMulticlassHinge):
        check_equal(*both(make(kind, reduction="sum"), np.zeros(0, int), mode=MODES[0], rows=0))


def test_the_likelihood_in_evaluation_is_that_of_all_probabilities():
    labels, tensors = make_linear(7)
    tensors = [each.astype("float32") for each in tensors]
    tensors[0][0] *= 1e3  # underflows
    for loss in (L.LargeMarginCrossentropy(ignore_class=int(labels[-1])), L.SparsemaxLoss()):
        ours = float(loss.evaluate(labels, evidence(*tensors), np.arange(7.0)))
        theirs = float(loss.evaluate(labels, dense(*tensors), np.arange(7.0)))
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_drawn_classes_are_for_the_plain_cross_entropy_alone():
    labels, tensors = make_linear(7)
    outputs = {
        **evidence(*(each.astype("float32") for each in tensors)),
        "sampled_classes": np.arange(CLASSES, dtype="int32"),
        "log_counts": np.zeros(CLASSES, "float32"),
    }
    plain = L.LargeMarginCrossentropy(weight=0.0, bias=1.0)
    exact = {name: outputs[name] for name in ("features", "kernel", "bias")}
    assert float(plain(labels, outputs)) == pytest.approx(float(plain(labels, exact)), rel=1e-5)
    others = [L.LargeMarginCrossentropy(), L.MeanMulticlassHinge(), two_terms()]
    for loss in others:
        with pytest.raises(ValueError, match=r"`loss`.*drawn"):
            loss(labels, outputs)


@pytest.mark.parametrize("loss", [L.DropMaxLoss(), L.LSoftmaxLoss(), L.MaskedCrossentropy()])
def test_what_reads_more_than_logits_raises(loss):
    labels, tensors = make_linear(7)
    with pytest.raises(
        ValueError, match=r"of its own.* the logits alone.*returns 'features', 'kernel'"
    ):
        loss(labels, evidence(*tensors))
