"""Models and settings that the mixin refuses."""

import keras
import numpy as np
import pytest
from cut_models import CutModel, CutSequential, Hooked, compiled_cut, make_cut_model
from keras import layers
from problems import CLASSES

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
P = ks.perturbations


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_masks_of_padding_are_refused(kind):
    """Keras computes them from the inputs, around the cut."""
    sequence = [
        keras.Input((4,)),
        layers.Embedding(5, 16, mask_zero=True),
        ks.layers.AdversarialDropout(0.5, 0.2),
        layers.GlobalAveragePooling1D(),
        layers.Dense(CLASSES),
    ]
    model = CutSequential(sequence)
    if kind == "functional":
        model = CutModel(model.inputs[0], model.outputs[0])
    with pytest.raises(ValueError, match="mask of padding"):
        compiled_cut(model).train_on_batch(np.array([[1, 2, 0, 0], [3, 0, 0, 0]]), np.array([0, 1]))


def functional(cuts=1, skip=False, nested=False, twice=False, above=True, head=None):
    inputs = keras.Input((8,))
    x = hidden = layers.Dense(16)(inputs)
    for _ in range(cuts):
        x = ks.layers.AdversarialDropout()(x)
    if nested:
        inner = keras.Sequential([keras.Input((16,)), ks.layers.AdversarialDropout()])
        x = inner(x)
    if not above:
        return CutModel(inputs, x)
    x = layers.Dense(16)(x)
    outputs = (head or layers.Dense(CLASSES))(x + hidden if skip else x)
    return CutModel(inputs, [outputs, outputs] if twice else outputs)


class OneHook(ks.models.AdversarialDropoutMixin, keras.Model):
    def under(self, inputs, training=None):
        return inputs


class NoHook(ks.models.AdversarialDropoutMixin, keras.Model):
    def __init__(self):
        super().__init__()
        self.cut = ks.layers.AdversarialDropout()

    def call(self, inputs):
        return self.cut(inputs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: functional(cuts=0), "`model`. Expected exactly one .*CutModel with 0 of them"),
        (lambda: functional(cuts=2), "CutModel with 2 of them"),
        (lambda: functional(cuts=0, nested=True), "inside a nested model does not count"),
        (lambda: functional(skip=True), "cuts in two: every path from the inputs to the output"),
        (lambda: functional(twice=True), r"`model`\. Expected one output"),
        (lambda: functional(above=False), "passes through it to a layer above it"),
        (
            lambda: functional(head=ks.layers.DropMax(CLASSES)),
            "Classifier` beside the mixin",
        ),
        (OneHook, "overrides both hooks, `under` and `upper`"),
        (NoHook, "a functional model, or a subclass that overrides the hooks"),
    ],
)
def test_models_without_a_clean_cut_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        compiled_cut(make())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"perturbations": P.PiModel()}, "`perturbations`. Expected a list of"),
        ({"perturbations": ["vadd"]}, "`perturbations`. Expected a list of"),
        ({"loss": ["mse"]}, "`loss`. Expected a single loss"),
        ({"loss": "mse"}, "`loss`. Expected a loss of classes, .*divergence='quadratic'.*mse"),
        (
            {"loss": "mse", "perturbations": [P.VirtualAdversarialTraining(1.0)]},
            "`loss`. Expected a loss of classes",
        ),
    ],
)
def test_settings_that_cannot_train_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_cut_model(**arguments)


def test_the_wrong_order_of_bases_is_refused():
    with pytest.raises(TypeError, match=r"`AdversarialDropoutMixin` before `keras\.Model`"):

        class Wrong(keras.Model, ks.models.AdversarialDropoutMixin):
            pass


def test_a_refused_compilation_leaves_the_model_as_it_was(problem):
    model = make_cut_model([P.PiModel()])
    with pytest.raises(ValueError, match="`perturbations`"):
        compiled_cut(model, ["pi"], loss="mse")
    assert isinstance(model.loss, keras.losses.SparseCategoricalCrossentropy)


def test_data_without_labels_are_refused(problem):
    x, _ = problem
    model = make_cut_model([P.SupervisedAdversarialDropout()])
    with pytest.raises(ValueError, match=r"`y`. Expected labels, of any class where the row has"):
        model.fit(x, verbose=0)


class Twice(Hooked):
    """Masks by itself what the mixin masks."""

    def under(self, inputs, training=None):
        return self.cut(super().under(inputs), training=training)


class Around(Hooked):
    """Has the hooks, and a call that goes around the cut."""

    def call(self, inputs, training=None):
        return self.upper(self.under(inputs))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Twice, "a model that calls its cut once .*=one that calls 'adversarial_dropout' again"),
        (Around, "a model that passes its cut .*=Around, which does not"),
    ],
)
@pytest.mark.filterwarnings("ignore:`build")
def test_hooks_that_miss_the_cut_or_repeat_it_are_refused(problem, kind, message):
    keras.utils.clear_session()  # which names the cut anew
    with pytest.raises(ValueError, match=message):
        compiled_cut(kind()).train_on_batch(*problem)
