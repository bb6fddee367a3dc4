import numpy as np
import pytest
from keras import ops
from numerics import MODES, value_and_gradients
from scipy.special import expit

from keras_softmaxes.losses import PairedCrossentropy

LABELS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
PRESENCE, ABSENCE = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")


@pytest.mark.parametrize("mode", MODES)
def test_the_compiled_kernel_has_the_gradient_of_two_sigmoids(mode):
    loss = PairedCrossentropy(reduction="sum")
    _, gradients = value_and_gradients(
        lambda p, a: loss(LABELS, {"presence_logits": p, "absence_logits": a}),
        [PRESENCE, ABSENCE],
        mode,
    )
    expected = [LABELS * (expit(PRESENCE) - 1), (1 - LABELS) * (expit(ABSENCE) - 1)]
    np.testing.assert_allclose(gradients, expected, atol=1e-6)


def test_its_likelihood_is_the_sum_over_the_labels():
    probabilities = expit(PRESENCE)
    expected = -np.log(np.where(LABELS == 1, probabilities, 1 - probabilities)).sum(axis=1)
    ours = PairedCrossentropy().evaluate(LABELS, {"probabilities": probabilities})
    assert float(ops.convert_to_numpy(ours)) == pytest.approx(expected.mean(), rel=1e-6)
