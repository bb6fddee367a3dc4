"""Models and settings that the mixin raises for."""

import keras
import numpy as np
import pytest
from cut_models import CutModel, Hooked, compiled_cut, make_cut_model
from keras import layers
from problems import CLASSES, make_problem

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
P = ks.perturbations
NEW_KERAS = pytest.mark.skipif(
    tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15),
    reason="older versions of Keras find it in the first step",
)


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


def called_twice():
    inputs = [keras.Input((16,)) for _ in range(2)]
    cut = ks.layers.AdversarialDropout()
    return CutModel(inputs, layers.Dense(CLASSES)(layers.Add()([cut(each) for each in inputs])))


class OneHook(ks.models.AdversarialDropoutMixin, keras.Model):
    def below(self, inputs, training=None):
        return inputs


class NoHook(ks.models.AdversarialDropoutMixin, keras.Model):
    def __init__(self):
        super().__init__()
        self.cut = ks.layers.AdversarialDropout()

    def call(self, inputs):
        return self.cut(inputs)


class Uncut(ks.models.AdversarialDropoutMixin, keras.Model):
    def below(self, inputs, training=None):
        return inputs

    def above(self, features, training=None):
        return features


class Around(Hooked):
    """Has the hooks, and a call that goes around the cut."""

    def call(self, inputs, training=None):
        return self.above(self.below(inputs))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: functional(cuts=0), "`model`. Expected exactly one .*CutModel with 0 of them"),
        (lambda: functional(cuts=2), "CutModel with 2 of them"),
        (lambda: functional(cuts=0, nested=True), "inside a nested model does not count"),
        (lambda: functional(skip=True), "cuts in two: every path from the inputs to the output"),
        (lambda: functional(twice=True), r"`model`\. Expected one output"),
        (
            lambda: functional(head=ks.layers.DropMax(CLASSES)),
            r"`model`\. Expected one output. Received: model=CutModel of \[\(None, 4\), \(",
        ),
        (lambda: functional(above=False), "passes through it to a layer above it"),
        pytest.param(called_twice, "called once, cuts in two", marks=NEW_KERAS),
        (OneHook, "overrides both hooks, `below` and `above`. Received: model=OneHook, .*`below`"),
        (NoHook, "a functional or sequential model, or a subclass that overrides the hooks"),
        (Uncut, "`model`. Expected exactly one .*Uncut with 0 of them"),
        (Around, "that defines no `call`. Received: model=Around, which does"),
    ],
)
def test_models_without_a_clean_cut_raise(problem, make, message):
    x, y = problem
    model = make()
    with pytest.raises(ValueError, match=message):
        compiled_cut(model)
    for use in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(ValueError, match=r"call `compile\(\)`"):
            use(x, y)


@pytest.mark.parametrize("make", [OneHook, Uncut, Around])
def test_hooks_are_checked_where_no_perturbation_needs_them(make):
    with pytest.raises(ValueError, match="`model`"):
        compiled_cut(make(), [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"perturbations": P.PiModel()}, "`perturbations`. Expected a list of"),
        ({"perturbations": ["vadd"]}, "`perturbations`. Expected a list of"),
        ({"perturbations": [P.PiModel(name="accuracy")]}, "`perturbations`.*other names than the"),
        ({"loss": ["mse"]}, "`loss`. Expected a single loss"),
        ({"loss": None}, "`loss`. Expected a single loss"),
        ({"loss": "mse"}, "`loss`. Expected a loss of classes, .*divergence='quadratic'.*mse"),
        (
            {"loss": "mse", "perturbations": [P.VirtualAdversarialTraining(1.0)]},
            "`loss`. Expected a loss of classes",
        ),
        (
            {"head": ks.layers.DropMax(CLASSES), "loss": keras.losses.MeanSquaredError()},
            "`loss`. Expected a loss of classes",
        ),
        (
            {"head": ks.layers.DropMax(CLASSES), "loss": "mse", "perturbations": []},
            "`loss`. Expected a `keras_softmaxes.losses.HeadLoss`",
        ),
    ],
)
def test_settings_that_cannot_train_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_cut_model(**arguments)


def test_the_wrong_order_of_bases_raises():
    with pytest.raises(TypeError, match=r"`Wrong`. Expected the mixin before `keras\.Model`"):

        class Wrong(keras.Model, ks.models.AdversarialDropoutMixin):
            pass


@pytest.mark.thorough
def test_labels_of_an_array_are_checked_before_a_compiled_step():
    """Inside XLA nothing could raise; -1 stays no label."""
    x, y = make_problem()
    model = make_cut_model([P.PiModel()], head=ks.layers.DropMax(CLASSES), jit_compile=True)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"`labels`.*classes from 0 to 3"):
        model.fit(x, y + CLASSES, verbose=0)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    unlabelled = np.r_[y[:-1], -1]
    assert np.isfinite(model.fit(x, unlabelled, verbose=0).history["loss"][0])
