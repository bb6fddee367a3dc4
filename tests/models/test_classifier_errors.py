"""What a Classifier, or a plain model with a head of one, raises for."""

import keras
import numpy as np
import pytest
from problems import CLASSES, make_model, sequential

import keras_softmaxes as ks


@pytest.mark.parametrize(
    ("network", "head", "message"),
    [
        (None, ks.layers.DropMax, "`network`.*model or layer.*None"),
        (keras.ops.relu, ks.layers.DropMax, "`network`.*model or layer.*relu"),
        ((8,), ks.layers.DropMax, r"`network`.*model or layer.*\(8,\)"),
        (sequential, keras.layers.Dense, "`head`.*Head.*DropMax.*plain `keras.Model`.*Dense"),
        (sequential, lambda _: ks.layers.DropMax, "`head`.*Head.*class.*DropMax"),
        (sequential, lambda _: "dropmax", "`head`.*Head.*'dropmax'"),
    ],
)
def test_what_is_no_network_or_no_head_raises(network, head, message):
    with pytest.raises(ValueError, match=message):
        ks.models.Classifier(network() if network is sequential else network, head(CLASSES))


def test_a_network_of_several_tensors_raises():
    inputs = keras.Input((8,))
    network = keras.Model(inputs, {"features": keras.layers.Dense(4)(inputs)})
    with pytest.raises(ValueError, match=r"`network`.*one tensor of features.*'features'"):
        ks.models.Classifier(network, ks.layers.DropMax(CLASSES))


def test_a_classifier_is_no_network_of_another(problem):
    inner = ks.models.Classifier(sequential(), ks.layers.DropMax(CLASSES))
    model = ks.models.Classifier(inner, ks.layers.DropMax(CLASSES))
    with pytest.raises(ValueError, match=r"`features`.*'probabilities'"):
        model(problem[0])


@pytest.mark.parametrize("weights", [[10.0], 10.0, {"drop_max": 1.0}])
def test_weights_of_losses_raise(weights):
    model = ks.models.Classifier(sequential(), ks.layers.DropMax(CLASSES))
    with pytest.raises(ValueError, match=r"`loss_weights`.*one loss.*WeightedSum"):
        model.compile("adam", loss_weights=weights)


def softmax_networks():
    """Return networks that end in a softmax, as one does whose last layer was left in."""
    inputs = keras.Input((8,))
    probabilities = keras.layers.Dense(CLASSES, activation="softmax", name="last")(inputs)
    functional = keras.Model(inputs, probabilities)
    return {
        "functional": functional,
        "sequential": keras.Sequential(
            [keras.layers.Dense(5), keras.layers.Activation("softmax", name="last")]
        ),
        "nested": keras.Sequential([keras.layers.Identity(), functional]),
        "a layer": keras.layers.Softmax(name="last"),
    }


@pytest.mark.parametrize("way", softmax_networks())
def test_a_network_that_ends_in_a_softmax_raises(way):
    """The head would learn from probabilities, and badly, without a word."""
    with pytest.raises(ValueError, match=r"`network`.*features.*ends in a softmax, `last`"):
        ks.models.Classifier(softmax_networks()[way], ks.layers.DropMax(CLASSES))


def test_a_softmax_within_a_network_may_stay():
    inputs = keras.Input((8,))
    weights = keras.layers.Dense(8, activation="softmax")(inputs)
    network = keras.Model(inputs, keras.layers.Multiply()([inputs, weights]))
    ks.models.Classifier(network, ks.layers.DropMax(CLASSES))


class WithoutTraining(ks.models.Classifier):
    def call(self, inputs):
        return self.head(self.network(inputs))


def test_a_subclass_whose_call_takes_no_training_raises():
    """It would train without any mask."""
    message = r"`call`.*training=None.*no mask.*WithoutTraining"
    with pytest.raises(ValueError, match=message):
        WithoutTraining(sequential(), ks.layers.DropMax(CLASSES))


class Plain(ks.layers.Head):
    """A head without a loss of its own."""

    def build(self, input_shape):
        super().build(input_shape)
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units))

    def call(self, features):
        logits = keras.ops.matmul(features, self.kernel)
        return {"logits": logits, "probabilities": keras.ops.softmax(logits)}


def test_a_head_without_a_loss_of_its_own_is_told_one(problem):
    x, y = problem
    model = ks.models.Classifier(sequential(), Plain(CLASSES))
    with pytest.raises(ValueError, match=r"`loss`.*Plain has no `default_loss`"):
        model.compile("adam")
    model.compile(keras.optimizers.Adam(0.05), ks.losses.LargeMarginCrossentropy())
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_a_loss_of_another_head_raises_as_soon_as_the_features_are_known(problem):
    x, y = problem
    lists = r"`loss`.*'margin_logits', which `LSoftmaxLoss` reads.*'retain_logits'"
    with pytest.raises(ValueError, match=lists):
        make_model(loss=ks.losses.LSoftmaxLoss())
    lazy = make_model(loss=ks.losses.LSoftmaxLoss(), network=keras.layers.Dense(16))
    with pytest.raises(ValueError, match=lists):
        lazy.fit(x, y, verbose=0)


def test_the_wrong_pairs_do_not_train():
    """By position and number of tensors each of them gave some number."""
    for head, loss in (
        (ks.layers.LSoftmax, ks.losses.GaussianMixtureLoss),
        (ks.layers.LSoftmax, ks.losses.DropMaxLoss),
        (ks.layers.GaussianMixture, ks.losses.MaskedCrossentropy),
    ):
        model = ks.models.Classifier(sequential(), head(CLASSES))
        reads = ", ".join(map(repr, loss.reads))
        with pytest.raises(ValueError, match=f"`loss`.*returns {reads}, which `{loss.__name__}`"):
            model.compile("adam", loss())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_loss_of_another_head_that_finds_what_it_reads_trains(problem):
    """DropMax's masks and logits are what the masked cross-entropy reads."""
    x, y = problem
    model = make_model(loss=ks.losses.MaskedCrossentropy())
    history = model.fit(x, y, epochs=4, validation_data=(x, y), verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_accuracy"][-1] > 0.6  # chance is 0.25


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(256, CLASSES), "classes from 0 to 3"),
        (np.full((256, CLASSES), 0.5, "float32"), "sum to 1"),
        (np.full(256, 0.5, "float32"), "whole numbers"),
        (np.zeros((256, 2, 2), "int32"), r"\(batch,\) or \(batch, 1\), or one-hot"),
    ],
)
def test_bad_labels_raise_in_fit_and_evaluate(problem, labels, message, jit_compile):
    x, _ = problem
    model = make_model(metrics=[], jit_compile=jit_compile)
    before = model.get_weights()
    for use in (model.fit, model.evaluate):
        with pytest.raises(Exception, match=message) as error:
            use(x, labels, verbose=0)
        assert error.type.__name__ in ("ValueError", "InvalidArgumentError")
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.tensorflow
def test_labels_between_classes_raise_under_a_strategy_too(problem, two_replicas):
    import tensorflow as tf

    x, y = problem
    with two_replicas.scope():
        model = make_model(metrics=[])
    with pytest.raises(tf.errors.InvalidArgumentError, match="whole numbers"):
        model.fit(x, y + 0.5, verbose=0)


@pytest.mark.slow
def test_all_rows_of_an_array_are_checked(problem):
    x, y = (np.resize(each, (70_000, *each.shape[1:])) for each in problem)
    model = make_model(metrics=[], jit_compile=True)
    model.evaluate(x, y, batch_size=10_000, verbose=0)
    with pytest.raises(ValueError, match="classes from 0 to 3"):
        model.evaluate(x, np.r_[y[:-1], CLASSES], verbose=0)


class OneBatch(keras.utils.PyDataset):
    def __init__(self, *batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.batch


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch runs eagerly")
def test_bad_labels_are_nan_where_nothing_can_be_raised(problem):
    """A dataset is not read ahead."""
    x, y = problem
    model = make_model(jit_compile=True, metrics=[])
    batches = OneBatch(x, 2 * keras.utils.to_categorical(y))
    assert np.isnan(model.evaluate(batches, verbose=0))
    assert np.isnan(model.fit(batches, verbose=0).history["loss"][0])


def plain_functional():
    inputs = keras.Input((8,))
    return keras.Model(inputs, ks.layers.DropMax(CLASSES)(inputs))


def plain_sequential():
    return keras.Sequential([keras.Input((8,)), ks.layers.DropMax(CLASSES)])


def plain_around_a_classifier():
    inputs = keras.Input((8,))
    inner = ks.models.Classifier(keras.layers.Identity(), ks.layers.DropMax(CLASSES))
    return keras.Model(inputs, inner(inputs))


class PlainSubclass(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = ks.layers.DropMax(CLASSES)

    def call(self, inputs):
        return self.head(inputs)


@pytest.mark.parametrize(
    "make", [plain_functional, plain_sequential, plain_around_a_classifier, PlainSubclass]
)
def test_a_plain_model_trains_no_dict_by_a_single_loss(problem, make):
    """Keras would look for a loss of each tensor, and finds none: it never gives a number."""
    x, y = problem
    for loss in (ks.losses.DropMaxLoss(), keras.losses.SparseCategoricalCrossentropy(), "mse"):
        model = make()
        model.compile("adam", loss)
        with pytest.raises(KeyError, match="can't be found in either the model's output"):
            model.fit(x, y, verbose=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_plain_model_may_use_the_tensors_of_a_head(problem):
    """Each of these reads the dict rightly, with no `Classifier`."""
    x, y = problem
    inputs = keras.Input((8,))
    outputs = ks.layers.ClassAttention(CLASSES)(inputs)

    class RoutesItself(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ks.losses.AttentionCrossentropy()(y, y_pred, sample_weight)

    for model, loss in (
        (keras.Model(inputs, outputs["logits"]), ks.losses.LargeMarginCrossentropy()),
        (keras.Model(inputs, outputs["logits"]), ks.losses.SparsemaxLoss()),
        (RoutesItself(inputs, outputs), None),
    ):
        model.compile(keras.optimizers.Adam(0.1), loss)
        losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
        assert losses[-1] < 0.8 * losses[0]


@pytest.mark.tensorflow
@pytest.mark.parametrize("way", [{}, {"run_eagerly": True}, {"jit_compile": True}])
@pytest.mark.parametrize("last", ["softmax", "softmax layer", "sigmoid"])
def test_a_loss_of_logits_raises_for_what_a_softmax_returned(problem, way, last):
    x, y = problem
    layers = {
        "softmax": [keras.layers.Dense(CLASSES, activation="softmax")],
        "softmax layer": [keras.layers.Dense(CLASSES), keras.layers.Softmax()],
        "sigmoid": [keras.layers.Dense(CLASSES, activation="sigmoid")],
    }[last]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile("sgd", ks.losses.LargeMarginCrossentropy(), **way)
    weights = model.get_weights()
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"`y_pred`.*logits.*softmax or a sigmoid"):
            method(x, y, verbose=0)
    for one, other in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.tensorflow
@pytest.mark.parametrize("labels", [None, {"label": np.zeros(256, "int32")}])
def test_labels_that_are_missing_or_a_dict_raise_with_their_name(problem, labels):
    x, _ = problem
    model = make_model()
    with pytest.raises(ValueError, match=r"`labels`.*the class of each example"):
        model.fit(x, labels, verbose=0)
