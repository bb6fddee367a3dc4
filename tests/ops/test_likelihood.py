import numpy as np
from keras import ops

from keras_softmaxes.ops._likelihood import (
    labels_negative_log_likelihood,
    negative_log_likelihood,
)


def test_it_is_the_logarithm_of_the_targets_probability():
    probabilities = ops.convert_to_tensor([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])
    values = ops.convert_to_numpy(negative_log_likelihood([1, 2], probabilities))
    np.testing.assert_allclose(values, [np.log(4), -np.log(0.7)], rtol=1e-6)


def test_a_probability_of_zero_stays_finite():
    for dtype, expected in (("float32", 87.34), ("float16", 9.70), ("bfloat16", 87.34)):
        probabilities = ops.convert_to_tensor([[0.0, 1.0]], dtype=dtype)
        value = ops.cast(negative_log_likelihood([0], probabilities), "float32")
        np.testing.assert_allclose(ops.convert_to_numpy(value), expected, rtol=5e-3)


def test_that_of_several_labels_is_the_sum_over_them():
    probabilities = ops.convert_to_tensor([[0.5, 0.25, 0.1], [0.1, 0.2, 0.7]])
    labels = ops.convert_to_tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    values = labels_negative_log_likelihood(labels, probabilities)
    expected = [-np.log(0.5 * 0.75 * 0.9), -np.log(0.9 * 0.2 * 0.7)]
    np.testing.assert_allclose(ops.convert_to_numpy(values), expected, rtol=1e-6)


def test_certainty_costs_as_much_whether_the_label_is_present_or_absent():
    probabilities = ops.convert_to_tensor([[1.0, 0.0], [0.0, 1.0]])
    labels = ops.convert_to_tensor([[0.0, 0.0], [1.0, 1.0]])
    values = labels_negative_log_likelihood(labels, probabilities)
    np.testing.assert_allclose(ops.convert_to_numpy(values), [24 * np.log(2)] * 2, rtol=1e-6)
