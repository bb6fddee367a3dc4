"""The term of the Pi-model, and the noise behind it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cut_models import CutModel, compiled_cut, make_cut_model, softmax
from problems import CLASSES

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
PiModel = ks.perturbations.PiModel


def test_it_draws_two_masks(problem):
    step = make_cut_model().clean_pass(*problem)
    others = step.outputs_under_other_noise()
    assert (np.abs(others - step.outputs).max(axis=1) > 1e-3).mean() > 0.95
    expected = np.square(softmax(others.numpy()) - softmax(step.outputs.numpy())).sum(axis=1)
    assert float(PiModel().term(step)) == pytest.approx(expected.mean(), rel=1e-5)
    assert expected.mean() > 0


@pytest.mark.parametrize("divergence", ["quadratic", "kl"])
def test_its_gradient_flows_through_both_passes(problem, divergence):
    x, y = problem
    model = make_cut_model([PiModel(divergence=divergence)])
    hidden, cut, logits = model.layers[1:]
    seed = cut.seed_generator.state.numpy()
    masks = [cut.draw_mask(hidden(x)) for _ in range(2)]
    cut.seed_generator.state.assign(seed)
    with tf.GradientTape() as tape:
        term = PiModel(divergence=divergence).term(model.clean_pass(x, y))
    gradients = tape.gradient(term, model.trainable_variables)
    with tf.GradientTape() as tape:
        p, q = (tf.nn.softmax(logits(cut.masked(hidden(x), mask))) for mask in masks)
        quadratic = divergence == "quadratic"
        distances = (p - q) ** 2 if quadratic else p * (tf.math.log(p) - tf.math.log(q))
        expected = tf.reduce_mean(tf.reduce_sum(distances, axis=1))
    assert float(term) == pytest.approx(float(expected), rel=1e-4)
    for one, other in zip(
        gradients, tape.gradient(expected, model.trainable_variables), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_each_step_draws_others(problem):
    model = make_cut_model()
    one, two = (float(PiModel().term(model.clean_pass(*problem))) for _ in range(2))
    assert one > 0
    assert one != two


def test_without_a_cut_the_passes_differ_by_all_that_is_random(problem):
    inputs = keras.Input((8,))
    dropped = keras.layers.Dropout(0.5)(keras.layers.Dense(16)(inputs))
    noisy = CutModel(inputs, keras.layers.Dense(CLASSES)(dropped))
    still = CutModel(inputs, keras.layers.Dense(CLASSES)(inputs))
    terms = [PiModel().term(compiled_cut(m, []).clean_pass(*problem)) for m in (noisy, still)]
    assert float(terms[0]) > 1e-3
    assert float(terms[1]) == 0
