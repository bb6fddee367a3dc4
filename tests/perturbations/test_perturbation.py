"""What the perturbations share: arguments, extreme outputs, terms of one's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cut_models import PERTURBATIONS, compiled_cut, indexed, make_cut_model, softmax
from keras import ops

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow
P = ks.perturbations


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("scale", [1e4, 1e-6])
def test_terms_are_finite_and_have_finite_gradients_for_extreme_logits(problem, name, scale):
    x, y = problem
    perturbation = PERTURBATIONS[name]()
    model = make_cut_model([perturbation])
    weights = model.get_weights()
    model.set_weights([*weights[:2], scale * weights[2], weights[3]])
    for _ in range(2):  # temporal ensembling begins with the second
        with tf.GradientTape() as tape:
            value = perturbation.term(model.clean_pass(indexed(x), y))
        assert np.isfinite(float(value))
        for gradient in tape.gradient(value, model.trainable_variables):
            assert gradient is None or np.isfinite(gradient.numpy()).all()


@keras.saving.register_keras_serializable("tests")
class Confidence(P.Perturbation):
    """A term of one's own."""

    def term(self, step):
        return -step.mean(ops.max(step.log_probabilities(step.outputs), axis=-1))


def test_a_term_of_ones_own_is_weighted_logged_and_saved(problem, tmp_path):
    x, y = problem
    arguments = {"rate": 0.0, "optimizer": keras.optimizers.SGD(0.0)}
    model = make_cut_model([Confidence(weight=0.5, name="confidence")], **arguments)
    expected = -0.5 * np.log(softmax(model.predict(x, verbose=0)).max(axis=1)).mean()
    history = model.fit(x, y, batch_size=100, verbose=0).history
    assert history["confidence"] == pytest.approx([expected], rel=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.fit(x, y, batch_size=100, verbose=0).history == history


def test_a_perturbation_itself_has_no_term(problem):
    with pytest.raises(NotImplementedError):
        compiled_cut(make_cut_model([]), [P.Perturbation()]).train_on_batch(*problem)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: P.VirtualAdversarialDropout(-1.0), "`weight`. Expected a finite number of at"),
        (lambda: P.PiModel(lambda step: 1.0), r"or a schedule \(`GaussianRampUp\(1.0, 1000\)`\)"),
        (lambda: P.PiModel(float("inf")), "`weight`"),
        (lambda: P.PiModel(True), "`weight`"),
        (
            lambda: P.PiModel(divergence="hellinger"),
            "`divergence`. Expected one of 'kl', 'quadratic'",
        ),
        (lambda: P.AdversarialTraining(0.0), "`epsilon`. Expected a finite number above 0"),
        (lambda: P.VirtualAdversarialTraining(0.0), "`epsilon`. Expected a finite number above 0"),
        (lambda: P.VirtualAdversarialTraining(1.0, power_steps=0), "`power_steps`"),
        (lambda: P.TemporalEnsembling(momentum=1.0), "`momentum`"),
        (lambda: P.TemporalEnsembling(examples=0), "`examples`"),
        (lambda: P.TemporalEnsembling(classes=0), "`classes`"),
    ],
)
def test_bad_arguments_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()
