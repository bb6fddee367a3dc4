"""Models with the mixin, saved and loaded."""

import keras
import numpy as np
import pytest
from cut_models import Hooked, compiled_cut, indexed, make_cut_model
from problems import CLASSES

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
P = ks.perturbations


@pytest.mark.slow
@pytest.mark.parametrize("head", [None, ks.layers.LSoftmax])
def test_its_settings_are_saved_and_training_resumes(problem, head, tmp_path, fixed_draws):
    x, y = problem
    ramp = ks.schedules.GaussianRampUp(2.0, 100)
    model = make_cut_model(
        [
            P.VirtualAdversarialDropout(ramp, "quadratic"),
            P.VirtualAdversarialTraining(0.5, 0.3, power_steps=2),
            P.SupervisedAdversarialDropout(),
        ],
        head=head(CLASSES, margin=2) if head else None,
    )
    model.fit(x, y, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model)
    assert again.get_compile_config() == model.get_compile_config()
    losses = [each.fit(x, y, shuffle=False, verbose=0).history["loss"] for each in (model, again)]
    assert losses[0] == losses[1]


def test_a_model_that_was_not_compiled_is_saved(problem, tmp_path):
    x, _ = problem
    make_cut_model().save(tmp_path / "compiled.keras")
    model = keras.saving.load_model(tmp_path / "compiled.keras", compile=False)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert not again.compiled
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_subclassed_model_that_was_only_fitted_is_saved(problem, tmp_path):
    x, y = problem
    model = compiled_cut(Hooked())
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
    assert again.get_compile_config() == model.get_compile_config()


def test_the_random_numbers_and_the_averages_are_saved_whatever_their_order(problem, tmp_path):
    x, y = problem

    def perturbations():
        return [
            P.VirtualAdversarialTraining(0.5),
            P.TemporalEnsembling(examples=256, name="of/predictions"),
        ]

    def make(perturbations):
        return make_cut_model(perturbations, optimizer=keras.optimizers.SGD(0.1))

    model = make(perturbations())
    model.fit(indexed(x), y, shuffle=False, verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    again = make(perturbations()[::-1])
    again.load_weights(tmp_path / "model.weights.h5")
    logs = [each.fit(indexed(x), y, shuffle=False, verbose=0).history for each in (model, again)]
    assert logs[0].keys() == logs[1].keys()
    for name, values in logs[0].items():
        assert values == pytest.approx(logs[1][name], rel=1e-6)
    assert logs[0]["of/predictions"][0] > 0


def test_averages_of_another_number_of_examples_raise(problem, tmp_path):
    x, y = problem
    model = make_cut_model([P.TemporalEnsembling(examples=256)], optimizer="sgd")
    model.fit(indexed(x), y, verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    again = make_cut_model([P.TemporalEnsembling(examples=300)], optimizer="sgd")
    with pytest.raises(ValueError, match=r"(?s)\(300, 4\).*\(256, 4\)"):
        again.load_weights(tmp_path / "model.weights.h5")
