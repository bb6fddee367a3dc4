"""The term of adversarial training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cut_models import CutModel, compiled_cut, make_cut_model
from problems import CLASSES

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
AdversarialTraining = ks.perturbations.AdversarialTraining


def fgsm(model, x, y, epsilon):
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        loss = model.loss(y, model(inputs))
    moved = x + epsilon * np.sign(tape.gradient(loss, inputs))
    return float(loss), float(model.loss(y, model(moved)))


def test_it_moves_every_entry_by_epsilon_against_the_label(problem):
    x, y = problem
    inputs = keras.Input((8,))
    uncut = CutModel(inputs, keras.layers.Dense(CLASSES)(inputs))
    perturbation = AdversarialTraining(0.1)
    for model in (make_cut_model([perturbation], rate=0.0), compiled_cut(uncut, [perturbation])):
        clean, expected = fgsm(model, x, y, 0.1)
        term = float(perturbation.term(model.clean_pass(x, y)))
        assert term == pytest.approx(expected, rel=1e-5)
        assert expected > clean
