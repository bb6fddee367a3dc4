"""The inputs of a model with the mixin: as the model takes them, with an index or without."""

import keras
import numpy as np
import pytest
from cut_models import (
    CutModel,
    assert_adversarial_step,
    compiled_cut,
    indexed,
    make_cut_model,
)
from keras import layers
from problems import CLASSES

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow


@pytest.mark.slow
@pytest.mark.parametrize("head", [None, ks.layers.DropMax])
def test_an_index_changes_nothing_but_for_who_reads_it(problem, head, fixed_masks):
    x, y = problem
    results = []
    for rows in (x, indexed(x)):
        keras.utils.set_random_seed(0)
        model = make_cut_model(head=head(CLASSES) if head else None)
        history = model.fit(rows, y, validation_data=(rows, y), verbose=0).history
        evaluation = model.evaluate(rows, y, verbose=0)
        predictions = model.predict(rows, verbose=0), model.predict_on_batch(rows)
        outputs = keras.tree.flatten(model(rows))
        results.append([*history.values(), evaluation, *predictions, *outputs])
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, expected)


def two_towers():
    """Return a model of the inputs "inputs" and "index", and what is below and above its cut."""
    inputs = {name: keras.Input((8,), name=name) for name in ("inputs", "index")}
    first, second, logits = layers.Dense(16), layers.Dense(16, "tanh"), layers.Dense(CLASSES)

    def below(x):
        return first(x["inputs"]) + second(x["index"])

    features = layers.Add()([first(inputs["inputs"]), second(inputs["index"])])
    cut = ks.layers.AdversarialDropout(0.5, 0.2)
    return CutModel(inputs, logits(cut(features))), below, logits


@pytest.mark.parametrize("is_indexed", [False, True])
def test_the_users_own_inputs_may_be_called_inputs_and_index(problem, is_indexed, fixed_draws):
    x, y = problem
    rows = {"inputs": x, "index": x[::-1].copy()}
    model, below, above = two_towers()
    compiled_cut(model, optimizer=keras.optimizers.SGD(0.1))
    data = rows
    if is_indexed:
        data = indexed(rows, np.arange(len(x)))
        np.testing.assert_array_equal(
            model.predict(data, verbose=0), model.predict(rows, verbose=0)
        )
        assert model.evaluate(data, y, verbose=0) == model.evaluate(rows, y, verbose=0)
    assert_adversarial_step(model, lambda each: below(rows), above, data, y)


def test_data_without_labels_raise(problem):
    x, _ = problem
    model = make_cut_model([ks.perturbations.SupervisedAdversarialDropout()])
    with pytest.raises(ValueError, match=r"`y`. Expected labels, -1 where there is none"):
        model.fit(x, verbose=0)


@pytest.mark.parametrize("inputs", [np.ones((4, 8), "int32"), {"a": np.ones((4, 8), "float32")}])
def test_inputs_without_a_gradient_raise(inputs):
    for make in (ks.perturbations.VirtualAdversarialTraining, ks.perturbations.AdversarialTraining):
        model = make_cut_model([make(1.0)])
        with pytest.raises(ValueError, match=r"`x`. Expected one tensor of a float type"):
            model.clean_pass(inputs, np.zeros(4, "int32"))


@pytest.mark.slow
@pytest.mark.parametrize("head", [None, ks.layers.DropMax])
@pytest.mark.parametrize("column", [False, True])
def test_the_class_minus_one_is_no_label_and_weighs_nothing(problem, head, column, fixed_draws):
    x, y = problem
    weights = np.where(np.arange(len(y)) % 3 == 0, 0.0, 1.5).astype("float32")
    shaped = y[:, None] if column else y
    missing = np.where(weights[:, None] == 0 if column else weights == 0, -1, shaped)

    def trained(labels, weights):
        keras.utils.set_random_seed(0)
        model = make_cut_model([ks.perturbations.PiModel()], head=head(CLASSES) if head else None)
        history = model.fit(x, labels, sample_weight=weights, shuffle=False, verbose=0).history
        return history["loss"], model.get_weights()

    ours = trained(missing, np.full_like(weights, 1.5))
    theirs = trained(shaped, weights)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-6)
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    alone = trained(missing, None)
    same = trained(shaped, (weights > 0).astype("float32"))
    assert alone[0] == pytest.approx(same[0], rel=1e-6)


def test_an_ignored_class_minus_one_is_left_to_the_loss(problem):
    x, y = problem
    inputs = keras.Input((8,))
    loss = ks.losses.LargeMarginCrossentropy(ignore_class=-1)
    model = compiled_cut(CutModel(inputs, layers.Dense(CLASSES)(inputs)), [], loss=loss)
    labels = np.where(np.arange(len(y)) < 200, -1, y)
    expected = float(loss(y[200:], model(x[200:])))
    history = model.fit(x, labels, batch_size=len(x), verbose=0).history
    assert history["loss"] == [pytest.approx(expected, rel=1e-5)]
