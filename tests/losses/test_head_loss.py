"""The base of the losses, by losses of a user's own."""

import keras
import numpy as np
import pytest
from keras import ops
from numerics import MODES, execute

import keras_softmaxes as ks

CLASSES = 5
LABELS = np.random.default_rng(0).integers(0, CLASSES, (2, 3, 4))
LOGITS = np.random.default_rng(1).normal(size=(2, 3, 4, CLASSES)).astype("float32")


@keras.saving.register_keras_serializable("tests")
class Brier(ks.losses.HeadLoss):
    """A loss of one's own, as a user writes it."""

    reads = ("probabilities",)

    def call(self, y_true, y_pred):
        target = ops.one_hot(y_true, y_pred["probabilities"].shape[-1])
        return ops.sum((y_pred["probabilities"] - target) ** 2, axis=-1)


class Spy(ks.losses.HeadLoss):
    """Keeps what `call` receives."""

    may_read = ("other",)

    def call(self, y_true, y_pred):
        self.received = y_true, y_pred
        return ops.zeros_like(y_pred["logits"][..., 0])


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def test_call_receives_classes_and_what_it_reads_in_one_type_whatever_came():
    one_hot = np.eye(CLASSES)[LABELS]
    half = ops.cast(LOGITS, "float16")
    for form in (LABELS, LABELS[..., None], one_hot, one_hot.astype(bool), LABELS.astype("uint8")):
        for outputs in (LOGITS, {"logits": half}, {"logits": half, "other": half, "third": half}):
            spy = Spy()
            spy(form, outputs)
            labels, tensors = spy.received
            assert keras.backend.standardize_dtype(labels.dtype) == "int32"
            np.testing.assert_array_equal(numpy(labels), LABELS)
            types = {keras.backend.standardize_dtype(each.dtype) for each in tensors.values()}
            assert types == {"float32"}
            has_other = isinstance(outputs, dict) and "other" in outputs
            assert set(tensors) == ({"logits", "other"} if has_other else {"logits"})


def test_ignored_examples_reach_call_as_class_0_of_zeros():
    spy = Spy(ignore_class=255)
    logits = np.where((LABELS == 1)[..., None], np.nan, LOGITS)
    spy(np.where(LABELS == 1, 255, LABELS), logits)
    labels, tensors = spy.received
    np.testing.assert_array_equal(numpy(labels), np.where(LABELS == 1, 0, LABELS))
    expected = np.where((LABELS == 1)[..., None], 0, LOGITS)
    np.testing.assert_array_equal(numpy(tensors["logits"]), expected)


def test_a_loss_of_ones_own_trains_any_head_and_is_saved(problem, tmp_path):
    x, y = problem
    model = ks.models.Classifier(keras.layers.Identity(), ks.layers.ClassAttention(4))
    model.compile(keras.optimizers.Adam(0.1), Brier(ignore_class=3), metrics=["accuracy"])
    history = model.fit(x, y, epochs=6, validation_data=(x[y < 3], y[y < 3]), verbose=0).history
    assert history["loss"][-1] < 0.6 * history["loss"][0]
    assert history["val_accuracy"][-1] > 0.85
    probabilities = model.predict(x, verbose=0)
    each = ((probabilities - np.eye(4)[y]) ** 2).sum(axis=1)
    ours = model.loss(y, {"probabilities": probabilities})
    assert float(ours) == pytest.approx(each[y < 3].mean(), rel=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.loss) is Brier
    assert again.loss.ignore_class == 3


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ignore_class", [None, 255])
def test_evaluation_is_the_mean_likelihood_whatever_the_reduction(mode, ignore_class):
    """Read, weighted and masked as the loss is."""
    probabilities = numpy(ops.softmax(LOGITS, axis=-1))
    likelihood = np.take_along_axis(-np.log(probabilities), LABELS[..., None], axis=-1)[..., 0]
    counted = np.ones(LABELS.shape, bool) if ignore_class is None else LABELS > 0
    labels = np.where(counted, LABELS, 255)
    weights = np.array([2.0, 0.5], "float32")
    expected = (likelihood * weights[:, None, None])[counted].mean()
    for reduction in ("sum", "none", "mean_with_sample_weight"):
        loss = Spy(ignore_class, reduction)
        ours = execute(
            lambda p, loss=loss: loss.evaluate(labels, {"probabilities": p}, weights),
            [probabilities],
            mode,
        )
        assert ours == pytest.approx(expected, rel=1e-5)


def test_evaluation_is_finite_where_a_probability_is_0():
    loss = Spy().evaluate(np.array([1]), {"probabilities": np.array([[1.0, 0.0]], "float32")})
    assert float(numpy(loss)) == pytest.approx(87.34, abs=0.01)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((2, 3, 4), CLASSES), "classes from 0 to 4"),
        (np.full((2, 3, 4), -1), "classes from 0 to 4"),
        (LABELS + 0.5, "whole numbers"),
        (np.full((2, 3, 4, CLASSES), 0.3), "sum to 1"),
        (LABELS[:, :2], r"\(batch, 3, 4\).*\(batch, 3, 4, 5\).*int\d\d of shape \(2, 2, 4\)"),
        (LABELS[0], r"of shape \(3, 4\)"),
        (LABELS[:, 0, 0], r"`Flatten` or a global pooling.*of shape \(2,\)"),
    ],
)
def test_bad_labels_raise_with_the_shapes_that_are_taken(labels, message):
    with pytest.raises(ValueError, match=f"`labels`.*{message}"):
        Spy()(labels, LOGITS)


@pytest.mark.parametrize("value", [0.5, "a", True, np.float32(1), -(2**31)])
def test_what_is_no_class_to_ignore_raises(value):
    with pytest.raises(ValueError, match=r"`ignore_class`.*integer.*ignore_class="):
        Spy(ignore_class=value)


def test_one_class_raises():
    with pytest.raises(ValueError, match=r"`logits`.*at least 2.*\(3, 1\)"):
        Spy()(np.zeros(3, int), np.zeros((3, 1), "float32"))


@pytest.mark.tensorflow
def test_labels_whose_form_static_shape_cannot_tell_raise():
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None), tf.int32)]
    trace = tf.function(lambda y: Spy()(y, tf.zeros((4, 3))), input_signature=signature)
    with pytest.raises(ValueError, match=r"`labels`.*\(None, None\)"):
        trace.get_concrete_function()


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_an_adjustment_of_probabilities_is_one_of_their_logits(scale):
    adjustment = np.random.default_rng(2).normal(0, scale, CLASSES)
    labels, logits = LABELS.ravel(), LOGITS.reshape(-1, CLASSES)
    outputs = {"probabilities": ops.softmax(logits)}
    shifted = {"probabilities": ops.softmax(logits + adjustment.astype("float32"))}
    ours = Brier(logit_adjustment=adjustment, reduction=None)(labels, outputs)
    np.testing.assert_allclose(
        numpy(ours), numpy(Brier(reduction=None)(labels, shifted)), atol=1e-5
    )


def test_an_adjustment_is_not_ignored():
    class OfDistances(Brier):
        reads = ("distances",)

    with pytest.raises(ValueError, match=r"`logit_adjustment`.*'distances'.*`adjust`"):
        OfDistances(logit_adjustment=[0.0] * CLASSES)([0], {"distances": LOGITS[0, 0, :1]})
