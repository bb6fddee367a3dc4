"""A Classifier that is saved, loaded, copied, resumed, exported and served."""

import copy
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
from problems import CLASSES, make_derived, make_model, make_subclassed, random_operations

import keras_softmaxes as ks


def test_a_fresh_process_loads_it_after_importing_the_package(problem, tmp_path):
    x, y = problem
    model = make_model(ks.layers.DropMax(CLASSES, temperature=0.2, posterior="prior"))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    program = """
import sys, numpy as np, keras, keras_softmaxes
folder = sys.argv[1]
model = keras.saving.load_model(folder + "/model.keras")
assert type(model).__name__ == "Classifier" and isinstance(model, keras_softmaxes.models.Classifier)
x, y = np.load(folder + "/x.npy"), np.load(folder + "/y.npy")
np.save(folder + "/served.npy", model.predict(x, verbose=0))
before = int(model.optimizer.iterations)
model.fit(x, y, verbose=0)
assert int(model.optimizer.iterations) == 2 * before > 0
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    served = np.load(tmp_path / "served.npy")
    np.testing.assert_allclose(served, model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize("make", [make_model, make_derived])
def test_it_is_copied_pickled_and_saved_as_what_it_is(problem, make, tmp_path):
    x, y = problem
    model = make()
    model.fit(x, y, verbose=0)
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    copies = {
        "pickled": pickle.loads(pickle.dumps(model)),
        "copied": copy.deepcopy(model),
        "saved": keras.saving.load_model(tmp_path / "model.keras"),
    }
    for how, again in copies.items():
        assert type(again) is type(model), how
        np.testing.assert_allclose(again.predict(x, verbose=0), expected, atol=1e-6)


def test_training_resumes_where_it_stopped(problem, tmp_path, fixed_masks):
    """Two epochs, saved and loaded in between, are two epochs."""
    x, y = problem
    keras.utils.set_random_seed(4)
    whole = make_model()
    whole.fit(x, y, epochs=2, shuffle=False, verbose=0)
    keras.utils.set_random_seed(4)
    half = make_model()
    half.fit(x, y, shuffle=False, verbose=0)
    half.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    resumed.fit(x, y, shuffle=False, verbose=0)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize("make", [make_model, make_subclassed])
def test_the_export_serves_probabilities_of_any_batch_and_draws_nothing(problem, make, tmp_path):
    import tensorflow as tf

    x, y = problem
    model = make()
    model.fit(x, y, verbose=0)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    for count in (1, 3, 256):
        expected = model.predict(x[:count], verbose=0)
        np.testing.assert_allclose(served.serve(x[:count]).numpy(), expected, atol=1e-6)
    assert not random_operations(served)
    assert set(model(x[:2])) == {"probabilities", "evidence"}  # exporting changes nothing
