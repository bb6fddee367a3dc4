"""Where models are cut: every kind of them takes the step that is written out."""

import keras
import numpy as np
import pytest
from cut_models import (
    CutClassifier,
    CutModel,
    CutSequential,
    Hooked,
    assert_adversarial_step,
    compiled_cut,
)
from keras import layers, ops
from problems import CLASSES

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
P = ks.perturbations


def cut():
    return ks.layers.AdversarialDropout(0.5, 0.2)


def graph(kind, *sequence, shape=(8,)):
    """Return a functional model of layers, one after the other."""
    inputs = outputs = keras.Input(shape)
    for layer in sequence:
        outputs = layer(outputs)
    return kind(inputs, outputs)


def added(*sequence):
    """Return a sequential model whose graph was built anew for each layer."""
    model = CutSequential([keras.Input((8,))])
    for layer in sequence:
        model.add(layer)
    return model


def listed(*sequence):
    """Return a functional model of a list of one input and a list of one output."""
    model = graph(CutModel, *sequence)
    return CutModel(model.inputs, model.outputs)


KINDS = {
    "functional": lambda *sequence: graph(CutModel, *sequence),
    "listed": listed,
    "sequential": lambda *sequence: CutSequential([keras.Input((8,)), *sequence]),
    "lazy": lambda *sequence: CutSequential(sequence),
    "added": added,
}


def sgd():
    return keras.optimizers.SGD(0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_layers(problem, kind, fixed_draws):
    hidden, last, logits = layers.Dense(16), layers.Dense(7, "tanh"), layers.Dense(CLASSES)
    model = compiled_cut(KINDS[kind](hidden, cut(), last, logits), optimizer=sgd())
    assert_adversarial_step(model, hidden, lambda h: logits(last(h)), *problem)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["functional", "sequential", "lazy"])
@pytest.mark.parametrize("is_last", [False, True])
def test_a_classifier(problem, kind, is_last, fixed_draws, fixed_masks):
    hidden, last = layers.Dense(16), layers.Dense(7, "tanh")
    sequence = [hidden, cut(), *([] if is_last else [last])]
    network = {
        "functional": lambda: graph(keras.Model, *sequence),
        "sequential": lambda: keras.Sequential([keras.Input((8,)), *sequence]),
        "lazy": lambda: keras.Sequential(sequence),
    }[kind]()
    head = ks.layers.DropMax(CLASSES)
    model = compiled_cut(CutClassifier(network, head), loss=head.default_loss(), optimizer=sgd())

    def above(h):
        return head(h if is_last else last(h), training=True)

    assert_adversarial_step(model, hidden, above, *problem)


def test_a_cut_that_is_the_first_layer(problem, fixed_draws):
    logits = layers.Dense(CLASSES)
    for kind in ("functional", "sequential", "lazy"):
        model = compiled_cut(KINDS[kind](cut(), logits), optimizer=sgd())
        x, y = problem
        assert_adversarial_step(model, ops.convert_to_tensor, logits, x, y)


def test_hooks(problem, fixed_draws):
    model = compiled_cut(Hooked(), optimizer=sgd())
    assert_adversarial_step(model, model.hidden, model.logits, *problem)


@keras.saving.register_keras_serializable("tests")
class HookedWithin(ks.models.AdversarialDropoutMixin, ks.models.Classifier):
    """A classifier with hooks around the cut of its network."""

    def below(self, inputs, training=None):
        return self.network.layers[0](inputs)

    def above(self, features, training=None):
        return self.head(features)


@keras.saving.register_keras_serializable("tests")
class HookedBeside(HookedWithin):
    """A classifier with hooks around a cut of its own."""

    def __init__(self, network, head, **kwargs):
        super().__init__(network, head, **kwargs)
        self.cut = cut()

    def below(self, inputs, training=None):
        return self.network(inputs)


@pytest.mark.parametrize("kind", [HookedWithin, HookedBeside])
def test_hooks_of_a_classifier(problem, kind, fixed_draws, fixed_masks, tmp_path):
    x, y = problem
    hidden = layers.Dense(16)
    sequence = [hidden, cut()] if kind is HookedWithin else [hidden]
    network = keras.Sequential([keras.Input((8,)), *sequence])
    model = kind(network, ks.layers.DropMax(CLASSES))
    compiled_cut(model, loss=None, optimizer=sgd())
    assert_adversarial_step(model, hidden, lambda h: model.head(h, training=True), x, y)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), model.head(hidden(x))["probabilities"], atol=1e-6
    )
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


@keras.saving.register_keras_serializable("tests")
class Stateful(Hooked):
    """Its hooks call layers in Keras's own style, without passing `training` on."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = (layers.BatchNormalization() for _ in range(2))

    def below(self, inputs, training=None):
        self.add_loss(ops.convert_to_tensor(0.5))
        return self.first(self.hidden(inputs))

    def above(self, features, training=None):
        self.add_loss(ops.convert_to_tensor(0.25))
        return self.second(self.logits(features))


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_what_hooks_call_knows_that_it_trains(problem, run_eagerly):
    x, y = problem
    perturbations = [P.VirtualAdversarialDropout(0.0), P.VirtualAdversarialTraining(0.1, 0.0)]
    still = keras.optimizers.SGD(0.0)
    model = compiled_cut(
        Stateful(rate=1e-9), perturbations, optimizer=still, run_eagerly=run_eagerly
    )
    losses = [float(model.train_on_batch(x, y)[0]) for _ in range(3)]
    for layer in (model.first, model.second):
        assert layer.moving_mean.numpy().any()
    normal = [layers.BatchNormalization() for _ in range(2)]
    outputs = normal[1](model.logits(normal[0](model.hidden(x), training=True)), training=True)
    assert losses == pytest.approx(3 * [float(model.loss(y, outputs)) + 0.75], rel=1e-4)
    assert len(model.losses) == 2


def test_a_nested_cut_is_ordinary_dropout(problem, fixed_draws):
    hidden, middle, logits = layers.Dense(16), layers.Dense(9, "tanh"), layers.Dense(CLASSES)
    nested = keras.Sequential([keras.Input((8,)), hidden, cut(), middle])
    for kind in ("functional", "sequential"):
        model = compiled_cut(KINDS[kind](nested, cut(), logits), optimizer=sgd())
        assert_adversarial_step(model, lambda x: nested(x, training=True), logits, *problem)


TOKENS = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [1, 2, 3, 0], [2, 2, 4, 1]])


@keras.saving.register_keras_serializable("tests")
class Reader(ks.models.AdversarialDropoutMixin, keras.Model):
    """A model of hooks that reads tokens."""

    def __init__(self, sequence):
        super().__init__()
        self.embedding, self.cut, *self.others = sequence

    def below(self, inputs, training=None):
        return self.embedding(inputs)

    def above(self, features, training=None):
        for layer in self.others:
            features = layer(features)
        return features


READERS = {
    "sequential": lambda sequence: CutSequential([keras.Input((4,)), *sequence]),
    "lazy": CutSequential,
    "hooks": Reader,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("pool", [layers.GlobalAveragePooling1D, lambda: layers.LSTM(5)])
def test_a_mask_of_padding_passes_through(kind, pool, fixed_draws):
    embedding = layers.Embedding(5, 16, mask_zero=True, embeddings_initializer="normal")
    pool, logits = pool(), layers.Dense(CLASSES)
    model = READERS[kind]([embedding, cut(), pool, logits])
    compiled_cut(model, optimizer=sgd())

    def above(features):
        return logits(pool(features, mask=TOKENS != 0))

    labels = np.array([0, 1, 2, 3])
    assert_adversarial_step(model, embedding, above, TOKENS, labels)


def test_a_mask_of_padding_that_goes_around_the_cut_of_a_graph_raises():
    embedding = layers.Embedding(5, 16, mask_zero=True)
    model = graph(CutModel, embedding, cut(), layers.LSTM(5), layers.Dense(CLASSES), shape=(4,))
    with pytest.raises(ValueError, match="also that of a mask of padding"):
        compiled_cut(model)


@pytest.mark.parametrize("kind", [*READERS, "functional"])
def test_positions_of_padding_have_no_part_in_loss_and_terms(kind, fixed_draws):
    """A label for each token."""
    embedding = layers.Embedding(5, 16, mask_zero=True, embeddings_initializer="normal")
    sequence = [embedding, cut(), layers.Dense(CLASSES)]
    functional = graph(CutModel, *sequence, shape=(4,)) if kind == "functional" else None
    model = functional or READERS[kind](sequence)
    compiled_cut(model, [P.PiModel()], optimizer=sgd())
    labels = np.random.default_rng(0).integers(CLASSES, size=TOKENS.shape)
    model(TOKENS)
    step = model.clean_pass(TOKENS, labels)
    losses = keras.losses.sparse_categorical_crossentropy(labels, step.outputs, from_logits=True)
    assert float(step.supervised_loss(step.outputs_under(step.mask))) == pytest.approx(
        losses.numpy()[TOKENS != 0].mean(), rel=1e-5
    )
    divergences = np.random.default_rng(1).uniform(size=TOKENS.shape).astype("float32")
    assert float(step.mean(ops.convert_to_tensor(divergences))) == pytest.approx(
        divergences[TOKENS != 0].mean(), rel=1e-6
    )


@pytest.mark.parametrize("kind", ["functional", "sequential", "lazy"])
def test_inputs_are_turned_into_what_the_layers_take(kind, fixed_draws):
    """As Keras turns images of bytes into floats, and numbers into columns."""
    rng = np.random.default_rng(0)
    images, y = rng.integers(255, size=(32, 6, 6, 1)).astype("uint8"), np.arange(32) % CLASSES
    convolution, logits = layers.Conv2D(8, 3, strides=3), layers.Dense(CLASSES)
    sequence = [layers.Rescaling(1 / 255), convolution, cut(), layers.Flatten(), logits]
    if kind == "functional":
        model = graph(CutModel, *sequence, shape=(6, 6, 1))
    else:
        model = CutSequential(
            [keras.Input((6, 6, 1)), *sequence] if kind == "sequential" else sequence
        )
    compiled_cut(model, optimizer=sgd())

    def below(x):
        return convolution(x.astype("float32") / 255)

    assert_adversarial_step(model, below, lambda h: logits(layers.Flatten()(h)), images, y)


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_bytes_and_columns_reach_the_first_layer_as_in_keras(kind, fixed_draws):
    rng = np.random.default_rng(0)
    y = np.arange(32) % CLASSES
    images = rng.integers(3, size=(32, 6, 6, 1)).astype("uint8")
    numbers = rng.normal(size=32).astype("float32")
    for x, first in ((images, layers.Conv2D(8, 6)), (numbers, layers.Dense(8))):
        logits = layers.Dense(CLASSES)
        sequence, shape = [first, cut(), layers.Flatten(), logits], (6, 6, 1)
        if x is numbers:
            shape = (1,)
        if kind == "functional":
            model = graph(CutModel, *sequence, shape=shape)
        else:
            model = CutSequential([keras.Input(shape), *sequence])
        compiled_cut(model, optimizer=sgd())
        assert_adversarial_step(
            model,
            lambda x, first=first, shape=shape: first(x.reshape(-1, *shape).astype("float32")),
            lambda h, logits=logits: logits(layers.Flatten()(h)),
            x,
            y,
        )
