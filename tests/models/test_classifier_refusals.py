"""What a Classifier, or a plain model with a Classifier's head, refuses."""

import itertools

import keras
import numpy as np
import pytest
from problems import CLASSES, make_model

import keras_softmaxes as ks


@pytest.mark.parametrize(
    "loss",
    [
        "mse",
        "categorical_crossentropy",
        keras.losses.MeanSquaredError(),
        [keras.losses.mean_squared_error],
        {"head": "mse"},
        ks.losses.LargeMarginCrossentropy(),
        ks.losses.LSoftmaxLoss(),
        [ks.losses.GaussianMixtureLoss()],
    ],
)
def test_a_loss_of_logits_is_refused_on_evidence(problem, loss):
    """It would take (4, classes) labels for those of (4, 4, classes) evidence."""
    x, y = problem
    model = make_model(loss=loss)
    with pytest.raises(ValueError, match=r"`loss`.*DropMaxLoss.*Received: loss="):
        model.fit(x[:4], keras.utils.to_categorical(y[:4], CLASSES), verbose=0)


@pytest.mark.parametrize(
    ("combine", "names"),
    [
        (lambda head, other: [head, other], r"'0/evidence', '0/probabilities', '1'"),
        (lambda head, other: {"a": head, "b": other}, r"'a/evidence', 'a/probabilities', 'b'"),
        (lambda head, other: {**head, "other": other}, r"'evidence', 'other', 'probabilities'"),
    ],
)
def test_an_output_beside_the_head_is_refused(problem, combine, names):
    x, _ = problem

    class WithOther(ks.models.Classifier):
        def call(self, inputs):
            return combine(ks.layers.DropMax(CLASSES)(inputs), inputs)

    inputs = keras.Input((8,))
    outputs = combine(ks.layers.DropMax(CLASSES)(inputs), inputs)
    message = f"`outputs`.*only output.*{names}"
    with pytest.raises(ValueError, match=message):
        ks.models.Classifier(inputs, outputs)
    with pytest.raises(ValueError, match=message):
        WithOther()(x)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(256, CLASSES), "classes from 0 to 3"),
        (np.full((256, CLASSES), 0.25, "float32"), "one-hot rows"),
        (np.zeros(256, "float32"), "float32"),
        (np.zeros((256, 2, 2), "int32"), r"\(batch,\) or \(batch, 1\), or one-hot"),
    ],
)
def test_bad_labels_are_refused_in_fit_and_evaluate(problem, labels, message):
    x, _ = problem
    model = make_model(metrics=[])
    for use in (model.fit, model.evaluate):
        with pytest.raises(Exception, match=message) as error:
            use(x, labels, verbose=0)
        assert error.type.__name__ in ("ValueError", "InvalidArgumentError")


@pytest.mark.tensorflow
def test_float_classes_are_refused_under_a_strategy_too(problem, two_replicas):
    import tensorflow as tf

    x, y = problem
    with two_replicas.scope():
        model = make_model(metrics=[])
    with pytest.raises(tf.errors.InvalidArgumentError, match="integer classes"):
        model.fit(x, y.astype("float32"), verbose=0)


def test_bad_labels_are_nan_where_nothing_can_be_raised(problem):
    x, y = problem
    model = make_model(jit_compile=True, metrics=[])
    smoothed = keras.utils.to_categorical(y) * 0.9 + 0.1 / CLASSES
    assert np.isnan(model.evaluate(x, smoothed, verbose=0))
    assert np.isnan(model.fit(x, smoothed, verbose=0).history["loss"][0])


def plain_functional():
    inputs = keras.Input((8,))
    return keras.Model(inputs, ks.layers.DropMax(CLASSES)(inputs))


def plain_sequential():
    return keras.Sequential([keras.Input((8,)), ks.layers.DropMax(CLASSES)])


def plain_around_a_classifier():
    inputs = keras.Input((8,))
    return keras.Model(
        inputs, ks.models.Classifier(inputs, ks.layers.DropMax(CLASSES)(inputs))(inputs)
    )


class PlainSubclass(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = ks.layers.DropMax(CLASSES)

    def call(self, inputs):
        return self.head(inputs)


OURS, KERAS = ks.losses.DropMaxLoss, keras.losses.SparseCategoricalCrossentropy


@pytest.mark.parametrize(
    ("make", "loss"),
    [
        *itertools.product(
            [plain_functional, plain_sequential, plain_around_a_classifier], [OURS, KERAS]
        ),
        (PlainSubclass, OURS),
    ],
)
def test_a_plain_model_with_a_single_loss_refuses_evidence(problem, make, loss):
    x, y = problem
    model = make()
    model.compile("adam", loss=loss())
    for use in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"`model`.*Expected .*Classifier.*Received: model="):
            use(x, y, verbose=0)


def test_a_plain_model_may_use_the_parts_of_the_evidence(problem):
    """Each of these reads the dict rightly, with no `Classifier`."""
    x, y = problem
    inputs = keras.Input((8,))
    outputs = ks.layers.DropMax(CLASSES)(inputs)

    class RoutesItself(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ks.losses.DropMaxLoss()(y, y_pred["evidence"], sample_weight)

    models = {
        "evidence": keras.Model(inputs, outputs["evidence"]),
        "a loss each": keras.Model(inputs, outputs),
        "its own loss": RoutesItself(inputs, outputs),
    }
    losses = {"a loss each": {"evidence": ks.losses.DropMaxLoss(), "probabilities": None}}
    for how, model in models.items():
        model.compile("adam", loss=losses.get(how, ks.losses.DropMaxLoss()))
        labels = {"evidence": y, "probabilities": y} if how == "a loss each" else y
        assert np.isfinite(model.fit(x, labels, verbose=0).history["loss"]).all(), how
