import keras
import numpy as np
import pytest

import keras_softmaxes as ks

ROWS = 6


def steps(optimizer, gradients, start):
    """Return a table after some steps."""
    variable = keras.Variable(start)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([gradient], [variable])
    return keras.ops.convert_to_numpy(variable)


@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_rows_with_a_gradient_move_as_adams_and_the_others_stay(jit_compile):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    start = rng.normal(size=(ROWS, 3)).astype("float32")
    indices, values = np.array([4, 1, 4, 2, 1, 1]), rng.normal(size=(6, 3)).astype("float32")
    dense = np.zeros_like(start)
    np.add.at(dense, indices, values)
    apply = tf.function(lambda slices: slices, jit_compile=jit_compile)
    sparse = tf.IndexedSlices(apply(values), tf.constant(indices), (ROWS, 3))
    ours = steps(ks.optimizers.RowWiseAdam(0.1), [sparse, sparse], start)
    theirs = steps(keras.optimizers.Adam(0.1), [dense, dense], start)
    np.testing.assert_allclose(ours[[1, 2, 4]], theirs[[1, 2, 4]], atol=1e-6)
    np.testing.assert_array_equal(ours[[0, 3, 5]], start[[0, 3, 5]])


def test_a_dense_gradient_is_adams():
    rng = np.random.default_rng(0)
    start, *gradients = rng.normal(size=(4, ROWS, 3)).astype("float32")
    gradients = [keras.ops.convert_to_tensor(each) for each in gradients]
    ours, theirs = (
        steps(optimizer(0.1), gradients, start)
        for optimizer in (ks.optimizers.RowWiseAdam, keras.optimizers.Adam)
    )
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.tensorflow
def test_a_row_that_rests_is_not_moved_by_gradients_past():
    import tensorflow as tf

    start = np.ones((ROWS, 2), "float32")
    slices = [tf.IndexedSlices(tf.ones((1, 2)), tf.constant([row]), (ROWS, 2)) for row in (0, 1, 1)]
    after = steps(ks.optimizers.RowWiseAdam(0.1), slices, start)
    once = steps(ks.optimizers.RowWiseAdam(0.1), slices[:1], start)
    np.testing.assert_array_equal(after[0], once[0])
    np.testing.assert_array_equal(after[2:], start[2:])


def test_its_configuration_is_adams():
    optimizer = ks.optimizers.RowWiseAdam(0.1, beta_1=0.8, clipvalue=1.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is ks.optimizers.RowWiseAdam
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize(
    ("argument", "value"),
    [("beta_1", 1.0), ("beta_2", -0.1), ("epsilon", 0.0), ("amsgrad", "yes")],
)
def test_bad_arguments_raise(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}`"):
        ks.optimizers.RowWiseAdam(**{argument: value})
