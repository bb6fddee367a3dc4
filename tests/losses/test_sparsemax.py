import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from numerics import MODES, value_and_gradients

from keras_softmaxes.losses import SparsemaxLoss
from keras_softmaxes.ops import sparsemax

LABELS = np.array([0, 3, 1])
LOGITS = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


@pytest.mark.parametrize("mode", MODES)
def test_the_compiled_kernel_has_the_error_for_its_gradient(mode):
    weights = np.array([2.0, 0.0, 0.5], "float32")
    loss = SparsemaxLoss(reduction="sum")
    _, (gradient,) = value_and_gradients(lambda z: loss(LABELS, z, weights), [LOGITS], mode)
    error = ops.convert_to_numpy(sparsemax(LOGITS)) - np.eye(4)[LABELS]
    np.testing.assert_allclose(gradient, weights[:, None] * error, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_it_is_computed_in_float32_at_least(dtype):
    logits = np.zeros((1, 5000), "float32")
    loss = SparsemaxLoss(dtype=dtype)
    # || 1 / 5000 - onehot ||^2 / 2, of which half precision keeps nothing but 1 / 2
    assert float(loss(np.array([4099]), logits)) == pytest.approx((1 - 1 / 5000) / 2, rel=1e-6)


def trained(how="default"):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 6)).astype("float32")
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(3)]
    )
    options = {"jit": {"jit_compile": True}, "eager": {"run_eagerly": True}}.get(how, {})
    model.compile(
        keras.optimizers.Adam(0.03), loss=SparsemaxLoss(), metrics=["accuracy"], **options
    )
    history = model.fit(x, x[:, :3].argmax(1), epochs=12, batch_size=16, verbose=0, shuffle=False)
    return model, x, history.history


@pytest.mark.slow
@pytest.mark.parametrize("how", ["default", "jit", "eager"])
def test_it_trains(how):
    if (keras.backend.backend(), how) in (("jax", "eager"), ("torch", "jit")):
        pytest.skip("JAX's training is compiled, torch's is not")
    _, _, history = trained(how)
    assert history["loss"][-1] < 0.6 * history["loss"][0]
    assert history["accuracy"][-1] > 0.85


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_model_that_serves_probabilities_is_saved_and_exported(tmp_path):
    """The exported one is loaded where the package is not."""
    model, x, _ = trained()
    served = keras.Sequential([model, keras.layers.Activation(sparsemax, dtype="float32")])
    probabilities = served.predict(x, verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert (probabilities == 0).any()

    served.save(tmp_path / "served.keras")
    again = keras.saving.load_model(tmp_path / "served.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), probabilities)

    served.export(tmp_path / "exported", verbose=False)
    np.save(tmp_path / "x.npy", x[:5])
    np.save(tmp_path / "probabilities.npy", probabilities[:5])
    program = """
import sys
import numpy as np
import tensorflow as tf
artifact = tf.saved_model.load("exported")
probabilities = artifact.serve(tf.constant(np.load("x.npy"))).numpy()
np.testing.assert_allclose(probabilities, np.load("probabilities.npy"), atol=1e-6)
assert "keras_softmaxes" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
