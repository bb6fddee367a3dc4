import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_softmaxes.ops.labels import class_indices, one_hot

CLASSES = 5
INTEGERS = ["uint8", "int8", "int32", "int64", "uint16"]


@given(st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=6), st.sampled_from(INTEGERS))
def test_every_form_reads_the_same(classes, dtype):
    labels = np.array(classes, dtype)
    forms = [labels, labels[:, None]]
    forms += [np.eye(CLASSES)[classes].astype(t) for t in ("float32", "float16", "int32", "bool")]
    for form in forms:
        indices = class_indices(form, CLASSES)
        np.testing.assert_array_equal(ops.convert_to_numpy(indices), classes)


def test_one_hot_keeps_many_classes_exact():
    labels = np.array([301, 4099, 69_999])
    logits = ops.zeros((3, 70_000), dtype="bfloat16")
    rows = ops.convert_to_numpy(ops.cast(one_hot(labels, logits), "float32"))
    np.testing.assert_array_equal(rows.argmax(1), labels)
    np.testing.assert_array_equal(rows.sum(1), 1)


REFUSED = {
    "too large": (np.array([0, 5]), "classes from 0 to 4"),
    "negative": (np.array([-1, 0]), "classes from 0 to 4"),
    "smoothed": (np.full((1, 5), 0.2, "float32"), "one-hot"),
    "mixed up": (np.array([[0.7, 0.3, 0, 0, 0]], "float32"), "one-hot"),
    "two targets": (np.array([[1, 1, 0, 0, 0]]), "one-hot"),
    "no target": (np.zeros((1, 5), "int32"), "one-hot"),
    "one and more": (np.array([[1, 0.5, -0.5, 0, 0]], "float32"), "one-hot"),
    "not a number": (np.array([[1, np.nan, 0, 0, 0]], "float32"), "one-hot"),
    "float classes": (np.array([1.0, 2.0], "float32"), r"float32 of shape \(2,\)"),
    "wrong width": (np.zeros((2, 4), "int32"), r"int32 of shape \(2, 4\)"),
    "wrong rank": (np.zeros((2, 1, 5), "int32"), r"int32 of shape \(2, 1, 5\)"),
    "scalar": (np.array(1), r"of shape \(\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused(case):
    labels, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"`labels`.*{message}"):
        class_indices(labels, CLASSES)


@pytest.mark.tensorflow
def test_an_integer_that_a_cast_would_wrap_is_refused():
    with pytest.raises(ValueError, match="4294967297"):
        class_indices(np.array([2**32 + 1]), CLASSES)


@pytest.mark.tensorflow
def test_labels_of_unknown_rank_are_refused():
    import tensorflow as tf

    trace = tf.function(
        lambda y: class_indices(y, CLASSES), input_signature=[tf.TensorSpec(None, tf.int32)]
    )
    with pytest.raises(ValueError, match=r"`labels`.*known rank"):
        trace.get_concrete_function()


VALUES = ["too large", "negative", "smoothed", "two targets", "no target", "not a number"]


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", VALUES)
def test_values_are_refused_in_a_graph(case):
    import tensorflow as tf

    labels, message = REFUSED[case]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.function(lambda y: class_indices(y, CLASSES))(labels)


@pytest.mark.parametrize("case", VALUES)
def test_values_that_cannot_be_refused_become_nan(case):
    labels, _ = REFUSED[case]
    rows = compiled(lambda y: one_hot(y, ops.zeros((len(labels), CLASSES))))(labels)
    bad = -1 if case == "too large" else 0
    assert np.isnan(ops.convert_to_numpy(rows)[bad]).all()


def compiled(function):
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True)
