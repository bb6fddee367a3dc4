import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_softmaxes.support import _tensors as support

LOSSES = np.arange(1.0, 25).reshape(2, 3, 4).astype("float32")
TAKEN = {  # the weights, and as what they count
    "a number": (0.5, np.full((2, 3, 4), 0.5)),
    "one": (np.array([[[2.0]]])[0, 0, 0], np.full((2, 3, 4), 2.0)),
    "of the rows": ([1.0, 3.0], np.array([1.0, 3.0])[:, None, None]),
    "a column": ([[1.0], [3.0]], np.array([1.0, 3.0])[:, None, None]),
    "of two axes": (np.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3, 1)),
    "of two axes, one broadcast": (np.ones((2, 1)) * 3, np.full((2, 1, 1), 3.0)),
    "of all": (LOSSES + 1, LOSSES + 1),
    "of all, with a last axis": (LOSSES[..., None] + 1, LOSSES + 1),
    "of all, some axes broadcast": (LOSSES[:, :1], LOSSES[:, :1]),
}


@pytest.mark.parametrize("case", TAKEN)
def test_weights_multiply_what_they_belong_to(case):
    weights, expected = TAKEN[case]
    ours = support.weights_like(weights, LOSSES)
    assert keras.backend.standardize_dtype(ours.dtype) == "float32"
    np.testing.assert_array_equal(ops.convert_to_numpy(ours * LOSSES), expected * LOSSES)


@pytest.mark.parametrize(
    "weights",
    [
        np.ones(3),  # Keras would align them with the last axis but one
        np.ones(4),
        np.ones(1),
        np.ones((1, 3)),
        np.ones((2, 4)),
        np.ones((2, 3, 3)),
        np.ones((2, 3, 4, 4)),
        np.ones((2, 3, 4, 1, 1)),
        np.ones((0, 3)),
    ],
    ids=lambda weights: str(weights.shape),
)
def test_weights_of_another_shape_raise(weights):
    expected = r"`row_weight`\. Expected a number, or the shape \(2, 3, 4\) of the losses"
    with pytest.raises(ValueError, match=rf"{expected}.*shape {re.escape(str(weights.shape))}"):
        support.weights_like(weights, LOSSES, "row_weight")


@pytest.mark.tensorflow
def test_weights_agree_as_far_as_shapes_are_known():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None]), tf.TensorSpec([None, 3])])
    def weighted(weights, losses):
        return support.weights_like(weights, losses) * losses

    losses = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(weighted(tf.constant([1.0, 2.0]), losses), [[1] * 3, [2] * 3])
    with pytest.raises(tf.errors.InvalidArgumentError):
        weighted(tf.constant([1.0, 2.0, 3.0]), losses)


@pytest.mark.parametrize("weights", [None, 2.0, [1.0, 3.0], [[1.0], [3.0]]])
def test_examples_are_weighted_by_a_column(weights):
    ours = support.example_weights(weights, ops.zeros((2, 5)))
    expected = np.broadcast_to(1.0 if weights is None else np.ravel(weights), (2,))[:, None]
    np.testing.assert_array_equal(ops.convert_to_numpy(ours), expected)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("float32", "float32"),
        ("int32", "float32"),
        ("bool", "float32"),
        pytest.param("float64", "float64", marks=pytest.mark.tensorflow),
    ],
)
def test_half_precision_and_integers_become_float32(dtype, expected):
    ours = support.at_least_float32(ops.cast([0, 1], dtype))
    assert keras.backend.standardize_dtype(ours.dtype) == expected
    np.testing.assert_array_equal(ops.convert_to_numpy(ours), [0, 1])


def test_the_largest_is_minus_infinity_where_there_is_nothing():
    values = np.array([[1.0, 5.0, 2.0], [-3.0, -7.0, -np.inf]], "float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(support.largest(values)), [[5], [-3]])
    assert ops.convert_to_numpy(support.largest(values[:0])).shape == (0, 1)
    np.testing.assert_array_equal(ops.convert_to_numpy(support.largest(values[:, :0])), -np.inf)


def test_classes_are_counted():
    chosen = np.array([[[True, False, True]], [[False, False, False]]])
    ours = support.how_many(chosen, ops.zeros(1, "float32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(ours), [[[2.0]], [[0.0]]])


@pytest.mark.tensorflow
def test_a_variable_becomes_a_tensor():
    """Keras hands a `tf.Variable` on as it is, which its own operations do not all take."""
    import tensorflow as tf

    for variable in (tf.Variable([1.0, 2.0]), keras.Variable([1.0, 2.0])):
        tensor = support.at_least_float32(variable)
        assert isinstance(tensor, tf.Tensor)
        np.testing.assert_array_equal(tensor, [1, 2])
