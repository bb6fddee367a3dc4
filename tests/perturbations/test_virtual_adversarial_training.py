"""The term of virtual adversarial training, and the direction behind it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cut_models import CutModel, compiled_cut, make_cut_model, softmax
from keras import ops

import keras_softmaxes as ks
from keras_softmaxes.perturbations import Step, VirtualAdversarialTraining

pytestmark = pytest.mark.tensorflow


def hessian_direction(model, x, start, steps):
    """Power steps with the Hessian of KL(f(x) || f(x + r)) at r = 0 itself, in float64."""
    hidden_kernel, hidden_bias, kernel, bias = (w.astype("float64") for w in model.get_weights())
    directions = []
    for row, direction in zip(x.astype("float64"), start.astype("float64"), strict=True):
        hidden = np.tanh(row @ hidden_kernel + hidden_bias)
        p = softmax(hidden @ kernel + bias)
        jacobian = (hidden_kernel * (1 - hidden**2)) @ kernel  # (inputs, classes)
        hessian = jacobian @ (np.diag(p) - np.outer(p, p)) @ jacobian.T
        for _ in range(steps):
            direction = hessian @ direction
            direction /= np.linalg.norm(direction)
        directions.append(direction)
    return np.array(directions)


def make_model(policy, confidence, has_cut):
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((8,))
        hidden = keras.layers.Dense(16, activation="tanh")(inputs)
        if has_cut:
            hidden = ks.layers.AdversarialDropout(0.0, name="cut")(hidden)
        model = CutModel(inputs, keras.layers.Dense(4)(hidden))
    finally:
        keras.config.set_dtype_policy("float32")
    kernel, bias, last, last_bias = model.get_weights()
    model.set_weights([kernel / 3, bias, last * confidence, last_bias])
    return model


@pytest.mark.parametrize("power_steps", [1, 3])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("confidence", [1.0, 20.0])
@pytest.mark.parametrize("has_cut", [True, False])
def test_it_moves_along_the_hessian_with_the_right_length(
    problem, monkeypatch, power_steps, policy, confidence, has_cut
):
    """Also where the predictions are so sure that differences of probabilities would vanish."""
    x, y = problem[0][:64], problem[1][:64]
    model = make_model(policy, confidence, has_cut)
    perturbation = VirtualAdversarialTraining(0.1, power_steps=power_steps)
    compiled_cut(model, [perturbation])

    start = np.random.default_rng(0).normal(size=x.shape).astype("float32")
    monkeypatch.setattr(Step, "draw_normal", lambda step: ops.convert_to_tensor(start))
    asked = []
    outputs_at = Step.outputs_at
    monkeypatch.setattr(
        Step, "outputs_at", lambda step, z: asked.append(np.asarray(z)) or outputs_at(step, z)
    )
    perturbation.term(model.clean_pass(x, y))
    assert len(asked) == power_steps + 1
    moved = asked[-1] - x
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 0.1, rtol=1e-3)
    expected = hessian_direction(model, x, start, power_steps)
    cosines = (moved * expected).sum(axis=1) / 0.1
    assert np.median(np.abs(cosines)) > (0.99 if policy == "float32" else 0.95)
    assert (np.abs(cosines) > 0.9).mean() > (0.9 if policy == "float32" else 0.8)


def test_its_gradient_is_that_at_the_moved_inputs_alone(problem, monkeypatch):
    """The clean predictions and the direction are constants."""
    x, y = problem
    perturbation = VirtualAdversarialTraining(0.5)
    model = make_cut_model([perturbation], rate=0.0)
    asked = []
    outputs_at = Step.outputs_at
    monkeypatch.setattr(Step, "outputs_at", lambda step, z: asked.append(z) or outputs_at(step, z))
    with tf.GradientTape() as tape:
        term = perturbation.term(model.clean_pass(x, y))
    gradients = tape.gradient(term, model.trainable_variables)
    clean = tf.nn.softmax(model(x))
    with tf.GradientTape() as tape:
        moved = tf.nn.log_softmax(model(tf.stop_gradient(asked[-1])))
        divergence = tf.reduce_mean(tf.reduce_sum(clean * (tf.math.log(clean) - moved), axis=1))
    expected = tape.gradient(divergence, model.trainable_variables)
    assert float(term) == pytest.approx(float(divergence), rel=1e-5)
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
        assert np.abs(other).max() > 1e-4
