import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from keras_softmaxes.layers import LSoftmax
from keras_softmaxes.ops import lsoftmax_logits

DECAY = {"initial_learning_rate": 8.0, "decay_steps": 1, "decay_rate": 1.0}


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def evidence(head, features, training=False):
    """Return what the loss reads."""
    outputs = head(features, training=training)
    return [numpy(outputs[name]) for name in ("logits", "margin_logits")]


def test_it_returns_the_logits_and_the_margin_logits(features):
    head = LSoftmax(4, margin=3, annealing=2.0)
    for training in (False, True):
        ours = evidence(head, features, training)
        expected = lsoftmax_logits(features, head.kernel, margin=3, annealing=2.0)
        np.testing.assert_allclose(ours, [numpy(each) for each in expected], atol=1e-6)


def test_probabilities_are_the_softmax_of_the_plain_logits(features):
    head = LSoftmax(4, annealing=0)
    outputs = head(features, training=True)
    expected = softmax(features @ numpy(head.kernel), axis=1)
    np.testing.assert_allclose(numpy(outputs["probabilities"]), expected, atol=1e-6)


def test_lambda_follows_the_schedule_by_calls_in_training_alone(features):
    head = LSoftmax(4, annealing=keras.optimizers.schedules.InverseTimeDecay(**DECAY))
    for step, annealing in enumerate([8.0, 4.0, 8 / 3, 2.0]):
        for _ in range(2):
            calm = evidence(head, features)
        assert int(head.training_step) == step
        assert float(head.current_annealing()) == pytest.approx(annealing)
        expected = lsoftmax_logits(features, head.kernel, margin=4, annealing=annealing)[1]
        np.testing.assert_allclose(calm[1], numpy(expected), atol=1e-5)
        np.testing.assert_array_equal(evidence(head, features, training=True), calm)


def test_the_default_schedule_is_the_one_of_the_documentation():
    head = LSoftmax(4)
    head.build((None, 5))
    for step, annealing in ((0, 1000), (1, 1000 / 1.12), (1000, 1000 / 121), (10_000, 1000 / 1201)):
        head.training_step.assign(step)
        assert float(head.current_annealing()) == pytest.approx(annealing, rel=1e-5)


@pytest.mark.parametrize(
    ("classes", "annealing"), [(2, 121.0), (10, 121.0), (101, 37.0), (1001, 4.6)]
)
def test_with_many_classes_the_margin_comes_more_slowly(classes, annealing):
    head = LSoftmax(classes)
    head.build((None, 5))
    head.training_step.assign(1000)
    assert 1000 / float(head.current_annealing()) == pytest.approx(annealing, rel=1e-5)


def test_the_counter_is_a_weight_that_does_not_train(features):
    head = LSoftmax(4)
    head(features, training=True)
    assert [weight.name for weight in head.trainable_weights] == ["kernel"]
    assert "training_step" in [weight.name for weight in head.non_trainable_weights]


def test_the_regulariser_acts_on_the_kernel(features):
    head = LSoftmax(4, kernel_regularizer=keras.regularizers.L2(1.0))
    head(features)
    (penalty,) = head.losses
    assert float(penalty) == pytest.approx(float((numpy(head.kernel) ** 2).sum()), rel=1e-5)


def test_mixed_precision_rounds_the_features_alone(features):
    head = LSoftmax(4, margin=3, annealing=0, dtype="mixed_float16")
    ours = evidence(head, features)
    rounded = features.astype("float16").astype("float32")
    expected = lsoftmax_logits(rounded, numpy(head.kernel), margin=3)
    np.testing.assert_allclose(ours, [numpy(each) for each in expected], atol=1e-6)


@pytest.mark.parametrize("annealing", [None, 0.5, "schedule"])
def test_a_saved_configuration_keeps_the_schedule(features, annealing):
    if annealing == "schedule":
        annealing = keras.optimizers.schedules.InverseTimeDecay(**DECAY)
    head = LSoftmax(4, 2, annealing, kernel_initializer="ones")
    again = keras.layers.deserialize(keras.layers.serialize(head))
    ours, theirs = (evidence(each, features, training=True) for each in (head, again))
    np.testing.assert_array_equal(ours, theirs)
    assert float(again.current_annealing()) == float(head.current_annealing())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 1}, "`units`.*at least 2.*units=1"),
        ({"units": 3, "margin": 5}, "`margin`.*from 1 to 4.*margin=5"),
        ({"units": 3, "margin": 2.0}, "`margin`.*integer.*margin=2.0"),
        ({"units": 3, "annealing": -1}, "`annealing`.*at least 0.*annealing=-1"),
        ({"units": 3, "annealing": float("nan")}, "`annealing`.*at least 0.*nan"),
        ({"units": 3, "annealing": "slow"}, "`annealing`.*number.*slow"),
        (
            {"units": 3, "annealing": keras.optimizers.schedules.InverseTimeDecay(1000, 1, 0.12)},
            r"`annealing`.*starts from a float.*'initial_learning_rate': 1000,",
        ),
    ],
)
def test_bad_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        LSoftmax(**arguments)
