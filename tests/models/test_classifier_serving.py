"""A Classifier that is saved, loaded, copied, resumed, exported and served."""

import copy
import pickle
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
from problems import CLASSES, make_model, sequential

import keras_softmaxes as ks


@pytest.mark.slow
def test_a_fresh_process_loads_it_after_importing_the_package_and_trains_on(problem, tmp_path):
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
assert type(model) is keras_softmaxes.models.Classifier
x, y = np.load(folder + "/x.npy"), np.load(folder + "/y.npy")
np.save(folder + "/served.npy", model.predict(x, verbose=0))
before = int(model.optimizer.iterations)
model.fit(x, y, verbose=0)
assert int(model.optimizer.iterations) == 2 * before > 0
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    served = np.load(tmp_path / "served.npy")
    np.testing.assert_allclose(served, model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.slow
def test_it_is_copied_pickled_and_saved_as_what_it_is(problem, tmp_path):
    x, y = problem
    model = make_model()
    model.fit(x, y, verbose=0)
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    copies = {
        "pickled": pickle.loads(pickle.dumps(model)),
        "copied": copy.deepcopy(model),
        "saved": keras.saving.load_model(tmp_path / "model.keras"),
        "cloned": keras.models.clone_model(model),
    }
    copies["cloned"].set_weights(model.get_weights())
    for how, again in copies.items():
        assert type(again) is ks.models.Classifier, how
        np.testing.assert_allclose(again.predict(x, verbose=0), expected, atol=1e-6)


def test_a_model_that_was_not_compiled_is_saved_and_loaded_so(problem, tmp_path):
    x, _ = problem
    compiled = make_model()
    model = ks.models.Classifier(compiled.network, compiled.head)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert not again.compiled
    np.testing.assert_allclose(
        again.predict(x, verbose=0), compiled.predict(x, verbose=0), atol=1e-6
    )


def test_weights_are_saved_and_loaded_alone(problem, tmp_path):
    x, y = problem
    model = make_model()
    other = ks.models.Classifier(sequential(), ks.layers.DropMax(CLASSES))
    model.fit(x, y, verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(other.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ks.layers.DropMax, ks.layers.LSoftmax])
def test_training_resumes_where_it_stopped(problem, tmp_path, fixed_masks, kind):
    """Two epochs, saved and loaded in between, are two epochs; the optimizer goes on too."""
    x, y = problem
    keras.utils.set_random_seed(4)
    whole = make_model(kind(CLASSES))
    whole.fit(x, y, epochs=2, shuffle=False, verbose=0)
    keras.utils.set_random_seed(4)
    half = make_model(kind(CLASSES))
    half.fit(x, y, shuffle=False, verbose=0)
    half.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    resumed.fit(x, y, shuffle=False, verbose=0)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    for one, other in zip(whole.optimizer.variables, resumed.optimizer.variables, strict=True):
        np.testing.assert_allclose(
            *(keras.ops.convert_to_numpy(each) for each in (one, other)), atol=1e-6
        )


def test_evaluation_and_prediction_do_not_count_as_training(problem):
    x, y = problem
    model = make_model(ks.layers.LSoftmax(CLASSES))
    model.fit(x, y, verbose=0)
    assert int(model.head.training_step.numpy()) == 8  # 256 examples in batches of 32
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    assert int(model.head.training_step.numpy()) == 8


@pytest.mark.tensorflow
def test_exporting_changes_nothing(problem, tmp_path):
    x, _ = problem
    model = make_model()
    before, names = model.get_weights(), [each.path for each in model.variables]
    model.export(tmp_path / "served", verbose=False)
    assert [each.path for each in model.variables] == names
    assert set(model(x[:2])) == {
        "probabilities",
        "logits",
        "retain_logits",
        "posterior_shift",
        "log_mask",
    }
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.tensorflow
def test_a_network_whose_inputs_are_not_known_needs_a_signature(problem, tmp_path):
    import tensorflow as tf

    x, _ = problem
    model = make_model(network=keras.layers.Dense(16))
    with pytest.raises(ValueError, match=r"`input_signature`.*subclassed.*never called"):
        model.export(tmp_path / "served", verbose=False)
    expected = model.predict(x, verbose=0)
    for name, signature in (
        ("known", None),
        ("given", [keras.InputSpec(shape=(None, 8), dtype="float32")]),
    ):
        model.export(tmp_path / name, verbose=False, input_signature=signature)
        served = tf.saved_model.load(tmp_path / name)
        np.testing.assert_allclose(served.serve(x[:3]), expected[:3], atol=1e-6)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_exports_beside_the_training_change_no_step(problem, tmp_path):
    """Nothing of the model is switched while another thread exports it."""
    x, y = problem

    def losses(stop):
        keras.utils.set_random_seed(3)
        model = make_model(metrics=[])
        taken = [model.train_on_batch(x, y)]
        step = stop(model)
        while len(taken) < 10 or not step(len(taken)):
            taken.append(model.train_on_batch(x, y))
        return taken

    def exporting(model):
        errors = []

        def export():
            try:
                for number in range(2):
                    model.export(tmp_path / str(number), verbose=False)
            except Exception as error:  # which a thread would swallow
                errors.append(error)

        thread = threading.Thread(target=export)
        thread.start()

        def is_done(_):
            assert not errors
            return not thread.is_alive()

        return is_done

    beside = losses(exporting)
    alone = losses(lambda model: lambda count: count >= len(beside))
    assert beside == pytest.approx(alone, rel=1e-5)
