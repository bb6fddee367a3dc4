"""The terms of adversarial dropout, and the masks behind them."""

import keras
import numpy as np
import pytest
from cut_models import CutModel, compiled_cut, make_cut_model
from keras import ops
from problems import CLASSES

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
P = ks.perturbations


def test_the_masks_of_vadd_differ_within_the_budget(problem):
    model = make_cut_model(budget=0.2)
    step = model.clean_pass(*problem)
    clean = ops.stop_gradient(step.outputs)
    vadd = P.VirtualAdversarialDropout()
    mask = step.adversarial_mask(lambda outputs: ops.sum(vadd.compare(step, clean, outputs)))
    flips = np.abs(mask - step.mask).sum(axis=1)
    assert (flips == 3).mean() > 0.9  # floor(0.2 * 16), with a candidate for each
    assert flips.max() == 3
    assert float(vadd.term(step)) > 1e-3


def test_masks_of_ones_will_do_for_sadd_and_not_for_vadd(problem):
    step = make_cut_model([], rate=0.0, budget=1.0).clean_pass(*problem)
    assert float(P.SupervisedAdversarialDropout().term(step)) > float(
        step.supervised_loss(step.outputs)
    )
    with pytest.raises(ValueError, match=r"`rate`. Expected a rate above 0 at the cut"):
        make_cut_model(rate=0.0)


@pytest.mark.slow
def test_sadd_nearly_always_raises_the_loss_of_a_trained_model(problem):
    x, y = problem
    model = make_cut_model([], budget=0.2)
    model.fit(x, y, epochs=15, verbose=0)
    wins = []
    for rows in np.split(np.arange(256), 16):
        step = model.clean_pass(x[rows], y[rows])
        mask = step.adversarial_mask(step.summed_loss)
        loss = step.supervised_loss(step.outputs_under(mask))
        wins.append(float(loss) >= float(step.supervised_loss(step.outputs)))
    assert np.mean(wins) > 0.9


def test_sadd_leaves_rows_of_no_weight_alone(problem):
    weight = np.where(np.arange(256) % 4, 0.0, 4.0).astype("float32")
    step = make_cut_model(budget=0.2).clean_pass(*problem, weight)
    mask = step.adversarial_mask(step.summed_loss)
    flips = np.abs(mask - step.mask).sum(axis=1)
    assert (flips[weight == 0] == 0).all()
    assert (flips[weight > 0] > 0).all()


def test_a_mask_is_asked_of_a_model_with_a_cut_alone(problem):
    inputs = keras.Input((8,))
    model = CutModel(inputs, keras.layers.Dense(CLASSES)(inputs))
    step = compiled_cut(model, []).clean_pass(*problem)
    with pytest.raises(ValueError, match=r"`model`. Expected a model with one `keras_softmaxes"):
        step.adversarial_mask(step.summed_loss)
