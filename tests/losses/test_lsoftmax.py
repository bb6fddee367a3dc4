import keras
import numpy as np
import pytest
from keras import ops
from numerics import MODES, value_and_gradients
from scipy.special import softmax

from keras_softmaxes.layers import LSoftmax
from keras_softmaxes.losses import LSoftmaxLoss

LABELS = np.array([0, 3, 1])
LOGITS, MARGIN_LOGITS = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")


@pytest.mark.parametrize("mode", MODES)
def test_the_compiled_kernel_has_the_closed_form_gradient(mode):
    _, gradients = value_and_gradients(
        lambda f, g: LSoftmaxLoss()(LABELS, {"logits": f, "margin_logits": g}),
        [LOGITS, MARGIN_LOGITS],
        mode,
    )
    target = np.eye(4)[LABELS]
    towards = softmax(np.where(target, MARGIN_LOGITS, LOGITS), axis=1) - target
    expected = np.stack([(1 - target) * towards, target * towards]) / 3
    np.testing.assert_allclose(gradients, expected, atol=1e-6)


def test_margin_one_is_softmax_of_a_dense_layer_without_bias():
    features = np.random.default_rng(1).normal(size=(3, 6)).astype("float32")
    head, dense = LSoftmax(4, margin=1), keras.layers.Dense(4, use_bias=False)
    outputs = head(features)
    dense.build((None, 6))
    dense.kernel.assign(head.kernel)
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, dense(features))
    ours = LSoftmaxLoss()(LABELS, outputs)
    np.testing.assert_allclose(*(ops.convert_to_numpy(each) for each in (ours, plain)), rtol=1e-6)
