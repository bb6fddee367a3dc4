import keras
import numpy as np
import pytest
from keras import ops
from numerics import MODES, value_and_gradients
from problems import CLASSES, make_model

import keras_softmaxes as ks

L = ks.losses
LABELS = np.array([0, 3, 1])
LOGITS, MARGIN_LOGITS = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
HEADS = {
    "dropmax": (lambda: ks.layers.DropMax(CLASSES), L.DropMaxLoss),
    "lsoftmax": (lambda: ks.layers.LSoftmax(CLASSES, margin=2), L.LSoftmaxLoss),
    "gaussian mixture": (lambda: ks.layers.GaussianMixture(CLASSES), L.GaussianMixtureLoss),
}


@pytest.mark.parametrize("mode", MODES)
def test_value_and_gradient_are_the_sums_of_the_terms(mode):
    terms = [L.LSoftmaxLoss(reduction="sum"), L.LargeMarginDivergence(reduction="sum")]

    def differentiated(loss):
        return value_and_gradients(
            lambda f, g: loss(LABELS, {"logits": f, "margin_logits": g}),
            [LOGITS, MARGIN_LOGITS],
            mode,
        )

    value, gradients = differentiated(L.WeightedSum(terms, [2.0, 0.3], reduction="sum"))
    (first, into_first), (second, into_second) = map(differentiated, terms)
    assert value == pytest.approx(2 * first + 0.3 * second, rel=1e-5)
    expected = 2 * np.array(into_first) + 0.3 * np.array(into_second)
    np.testing.assert_allclose(gradients, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_the_large_margin_is_added_to_the_loss_of_another_head_and_trains(problem, head):
    """The paper calls its regulariser applicable to the other losses with a softmax."""
    x, y = problem
    make_head, kind = HEADS[head]
    terms = [kind(), L.LargeMarginDivergence()]
    model = make_model(make_head(), L.WeightedSum(terms, [1.0, 0.3]))
    outputs = model(x, training=True)
    first, second, total = (
        float(ops.convert_to_numpy(loss(y, outputs))) for loss in (*terms, model.loss)
    )
    assert total == pytest.approx(first + 0.3 * second, rel=1e-5)
    history = model.fit(x, y, epochs=4, validation_data=(x, y), verbose=0).history
    assert history["val_accuracy"][-1] > 0.8
    assert history["val_loss"][-1] < history["val_loss"][0]


def test_the_sum_says_what_is_reduced_and_ignored_and_in_which_type():
    """What the terms say of reductions, names and types does not matter."""
    terms = [L.MeanMulticlassHinge(reduction="sum", dtype="float16"), L.SparsemaxLoss()]
    loss = L.WeightedSum(terms, [1.0, 0.0], ignore_class=3, reduction="none")
    expected = ops.convert_to_numpy(L.MeanMulticlassHinge(reduction="none")(LABELS, LOGITS))
    ours = ops.convert_to_numpy(loss(LABELS, LOGITS))
    np.testing.assert_allclose(ours, np.where(LABELS == 3, 0, expected), rtol=1e-6)


def test_it_reads_what_its_terms_read_once():
    terms = [L.LargeMarginDivergence(), L.LSoftmaxLoss(), L.AttentionCrossentropy()]
    loss = L.WeightedSum(terms, [1, 1, 1])
    assert loss.reads == ("logits", "margin_logits", "attention_logits")


def test_several_labels_are_evaluated_as_the_terms_do():
    outputs = {"probabilities": np.array([[0.25, 0.5]], "float32")}
    loss = L.WeightedSum([L.PairedCrossentropy()], [2.0])
    ours = loss.evaluate(np.array([[1, 0]]), outputs)
    assert float(ops.convert_to_numpy(ours)) == pytest.approx(3 * np.log(2), rel=1e-5)


@pytest.mark.parametrize(
    ("losses", "weights", "message"),
    [
        ([], [], "`losses`.*at least one"),
        (L.SparsemaxLoss(), [1.0], "`losses`.*a list"),
        ([keras.losses.MeanSquaredError()], [1.0], "`losses`.*`keras_softmaxes.losses.HeadLoss`"),
        ([L.SparsemaxLoss()], [1.0, 2.0], "`weights`.*list of 1 numbers"),
        ([L.SparsemaxLoss()], 1.0, "`weights`.*list of 1 numbers"),
        ([L.SparsemaxLoss()], [-1.0], "`weights`.*at least 0.*-1.0"),
        (
            [L.SparsemaxLoss(ignore_class=1)],
            [1.0],
            "`losses`.*without `ignore_class`.*ignore_class=1",
        ),
        ([L.SparsemaxLoss(class_weight=[1.0, 2.0])], [1.0], "`losses`.*without `class_weight`"),
        ([L.SparsemaxLoss(), L.PairedCrossentropy()], [1.0, 1.0], "`losses`.*in one way"),
    ],
)
def test_bad_arguments_raise(losses, weights, message):
    with pytest.raises(ValueError, match=message):
        L.WeightedSum(losses, weights)
