import keras
import numpy as np
import pytest
from numerics import MODES, execute, value_and_gradients
from scipy.special import expit, log_expit

from keras_softmaxes.losses import PairedCrossentropy

LABELS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
EVIDENCE = np.random.default_rng(0).normal(size=(4, 2, 3)).astype("float32")
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5], "float32")


def naive():
    positive, negative = EVIDENCE.astype("float64").swapaxes(0, 1)
    return -np.where(LABELS == 1, log_expit(positive), log_expit(negative)).sum(axis=1)


@pytest.mark.parametrize("mode", MODES)
def test_the_compiled_kernel_has_the_gradient_of_two_sigmoids(mode):
    loss = PairedCrossentropy(reduction="sum")
    value, (gradient,) = value_and_gradients(lambda e: loss(LABELS, e), [EVIDENCE], mode)
    assert value == pytest.approx(naive().sum(), rel=1e-5)
    positive, negative = EVIDENCE.swapaxes(0, 1)
    expected = [LABELS * (expit(positive) - 1), (1 - LABELS) * (expit(negative) - 1)]
    np.testing.assert_allclose(gradient, np.stack(expected, axis=1), atol=1e-6)


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size", "mean_with_sample_weight"])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "float32"])
def test_labels_of_any_type_and_weights_as_in_keras(reduction, dtype):
    loss = PairedCrossentropy(reduction=reduction)
    weighted = naive() * WEIGHTS
    expected = {
        "sum": weighted.sum(),
        "sum_over_batch_size": weighted.mean(),
        "mean_with_sample_weight": weighted.sum() / WEIGHTS.sum(),
    }[reduction]
    ours = float(loss(LABELS.astype(dtype), EVIDENCE, sample_weight=WEIGHTS))
    assert ours == pytest.approx(expected, rel=1e-5)


def test_config_round_trip():
    loss = PairedCrossentropy(reduction="sum", name="ours", dtype="float64")
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is PairedCrossentropy
    assert again.get_config() == loss.get_config()


def test_labels_that_cannot_be_refused_make_nan_of_their_example_alone():
    labels = LABELS.astype("float32")
    labels[1, 2] = 0.5
    loss = PairedCrossentropy(reduction=None)
    ours = execute(loss, [labels, EVIDENCE], MODES[-1])
    np.testing.assert_array_equal(np.isnan(ours), [False, True, False, False])
