import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from numerics import MODES, execute

from keras_softmaxes.support._labels import (
    MISSING,
    SOFT,
    UNREADABLE,
    at_target,
    check_ignore_class,
    class_indices,
    counted_classes,
    multi_hot,
    multi_hot_or_missing,
    one_hot,
    read_labels,
)

CLASSES = 5
INTEGERS = ["uint8", "int8", "int32", "int64", "uint16"]
LEADING = [(6,), (2, 3), (1, 2, 3)]


def logits_of(*examples):
    return ops.zeros((*examples, CLASSES))


@given(
    st.lists(st.integers(0, CLASSES - 1), min_size=6, max_size=6),
    st.sampled_from(INTEGERS),
    st.sampled_from(LEADING),
)
def test_every_form_reads_the_same(classes, dtype, examples):
    labels = np.array(classes, dtype).reshape(examples)
    rows = np.eye(CLASSES)[labels]
    forms = [
        labels,
        labels[..., None],
        labels.astype("float32"),
        labels[..., None].astype("float64"),
    ]
    forms += [rows.astype(t) for t in ("float32", "float16", "int32", "bool")]
    for form in forms:
        indices = class_indices(form, logits_of(*examples))
        assert keras.backend.standardize_dtype(indices.dtype) == "int32"
        np.testing.assert_array_equal(ops.convert_to_numpy(indices), labels)
    target = one_hot(labels, logits_of(*examples))
    np.testing.assert_array_equal(ops.convert_to_numpy(target), rows)


def test_one_hot_keeps_many_classes_exact():
    labels = np.array([301, 4099, 69_999])
    logits = ops.zeros((3, 70_000), dtype="bfloat16")
    rows = ops.convert_to_numpy(ops.cast(one_hot(labels, logits), "float32"))
    np.testing.assert_array_equal(rows.argmax(1), labels)
    np.testing.assert_array_equal(rows.sum(1), 1)


@pytest.mark.parametrize("mode", MODES)
def test_no_examples_are_read_too(mode):
    for labels, examples in ((np.zeros(0), (0,)), (np.zeros((0, 3, CLASSES)), (0, 3))):
        rows = execute(
            lambda y, examples=examples: one_hot(y, logits_of(*examples)), [labels], mode, "int32"
        )
        assert rows.shape == (*examples, CLASSES)


BAD_LABELS = {
    "too large": (np.array([0, 5]), "classes from 0 to 4"),
    "negative": (np.array([-1, 0]), "classes from 0 to 4"),
    "smoothed": (np.full((1, 5), 0.2, "float32"), "one-hot"),
    "mixed up": (np.array([[0.7, 0.3, 0, 0, 0]], "float32"), "one-hot"),
    "two targets": (np.array([[1, 1, 0, 0, 0]]), "one-hot"),
    "no target": (np.zeros((1, 5), "int32"), "one-hot"),
    "one and more": (np.array([[1, 0.5, -0.5, 0, 0]], "float32"), "one-hot"),
    "not a number": (np.array([[1, np.nan, 0, 0, 0]], "float32"), "one-hot"),
    "between two classes": (np.array([1.0, 1.5], "float32"), "whole numbers, the classes"),
    "no class": (np.array([0, np.nan], "float32"), "whole numbers, the classes"),
    "infinite": (np.array([0, np.inf], "float32"), "whole numbers, the classes"),
    "wrong width": (np.zeros((2, 4), "int32"), r"int32 of shape \(2, 4\)"),
    "wrong rank": (np.zeros((2, 1, 5), "int32"), r"int32 of shape \(2, 1, 5\)"),
    "scalar": (np.array(1, "int32"), r"int32 of shape \(\)"),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_what_cannot_be_read_raises(case):
    labels, message = BAD_LABELS[case]
    with pytest.raises(ValueError, match=f"`labels`.*{message}"):
        class_indices(labels, logits_of(len(labels) if labels.ndim else 2))


@pytest.mark.parametrize("labels", [np.zeros(1, int), np.zeros((1, 1), int), np.eye(5)[:1]])
def test_fewer_labels_than_examples_raise(labels):
    with pytest.raises(ValueError, match=r"`labels`.*\(batch,\).*\(1,"):
        class_indices(labels, logits_of(3))


def test_the_words_tell_the_shapes_that_are_taken():
    expected = (
        r"classes of shape \(batch, 4\) or \(batch, 4, 1\), or one-hot or soft rows of shape "
        r"\(batch, 4, 5\)"
    )
    with pytest.raises(ValueError, match=expected):
        class_indices(np.zeros((2, 3), int), logits_of(2, 4))


@pytest.mark.tensorflow
def test_an_integer_that_a_cast_would_wrap_raises():
    with pytest.raises(ValueError, match="4294967297"):
        class_indices(np.array([2**32 + 1]), logits_of(1))


@pytest.mark.tensorflow
def test_labels_of_unknown_rank_raise():
    import tensorflow as tf

    trace = tf.function(
        lambda y: class_indices(y, logits_of(2)), input_signature=[tf.TensorSpec(None, tf.int32)]
    )
    with pytest.raises(ValueError, match=r"`labels`.*known rank"):
        trace.get_concrete_function()


VALUES = ["too large", "negative", "smoothed", "two targets", "no target", "not a number"]
VALUES += ["between two classes", "no class", "infinite"]


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", VALUES)
def test_values_raise_in_a_graph(case):
    import tensorflow as tf

    labels, message = BAD_LABELS[case]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.function(lambda y: class_indices(y, logits_of(len(labels))))(labels)


@pytest.mark.parametrize("case", VALUES)
def test_values_that_cannot_be_checked_become_nan(case):
    labels, _ = BAD_LABELS[case]
    dtype = "int32" if labels.dtype.kind == "i" else "float32"
    rows = execute(lambda y: one_hot(y, logits_of(len(labels))), [labels], MODES[-1], dtype)
    bad = 0 if labels.ndim == 2 or case == "negative" else -1
    assert np.isnan(rows[bad]).all()
    assert not np.isnan(np.delete(rows, bad, axis=0)).any()


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("read", "labels"),
    [
        (one_hot, np.zeros(1, "int32")),
        (one_hot, np.eye(CLASSES, dtype="float32")[:1]),
        (multi_hot, np.ones((1, CLASSES), "float32")),
    ],
)
def test_one_label_is_not_that_of_all_examples_where_the_batch_is_unknown(read, labels):
    import tensorflow as tf

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, *labels.shape[1:]], labels.dtype),
            tf.TensorSpec([None, CLASSES]),
        ]
    )
    def compute(labels, logits):
        return logits + read(labels, logits)

    assert compute(np.repeat(labels, 3, axis=0), np.zeros((3, CLASSES))).shape == (3, CLASSES)
    with pytest.raises(tf.errors.InvalidArgumentError):
        compute(labels, np.zeros((3, CLASSES)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ignored", [255, -1, 2])
def test_an_ignored_class_does_not_count(ignored, mode):
    labels = np.array([[0, ignored, 1], [ignored, 4, 3]])

    def read(labels):
        return ops.stack(
            [ops.cast(each, "int32") for each in counted_classes(labels, logits_of(2, 3), ignored)]
        )

    indices, counted = execute(read, [labels], mode, "int32")
    np.testing.assert_array_equal(counted, labels != ignored)
    np.testing.assert_array_equal(indices, np.where(labels == ignored, 0, labels))


def test_beside_an_ignored_class_others_raise_still():
    with pytest.raises(ValueError, match=r"`labels`.*classes from 0 to 4.*-1 to 255"):
        counted_classes(np.array([255, -1]), logits_of(2), 255)


def test_an_ignored_class_is_an_integer():
    for value in (None, 0, -1, 255, np.int64(7)):
        check_ignore_class(value)
    for value in ("a", 1.5, 2.0, True, [1], -(2**31)):
        with pytest.raises(ValueError, match=r"`ignore_class`\. Expected an integer"):
            check_ignore_class(value)


@pytest.mark.parametrize("mode", MODES)
def test_the_targets_value_is_read_beside_infinities(mode):
    values = np.array([[[1.0, -np.inf, np.inf], [np.inf, 2.0, -np.inf]]])
    labels = np.array([[0, 1]])
    ours = execute(lambda v: at_target(one_hot(labels, v), v), [values], mode)
    np.testing.assert_array_equal(ours, [[1, 2]])


@pytest.mark.parametrize("dtype", ["bool", "int32", "uint8", "float32", "float16"])
@pytest.mark.parametrize("shape", [(4, CLASSES), (2, 3, CLASSES), (0, CLASSES)])
def test_any_number_of_labels_may_be_present(dtype, shape):
    present = np.random.default_rng(0).integers(0, 2, shape)
    rows = multi_hot(present.astype(dtype), ops.zeros(shape))
    assert keras.backend.standardize_dtype(rows.dtype) == "float32"
    np.testing.assert_array_equal(ops.convert_to_numpy(rows), present)


def test_labels_that_are_neither_present_nor_absent_raise():
    for labels, message in [
        ([[0.0, 0.5]], "a 1 for each label that is present, else 0.*0.0 to 0.5"),
        ([[2, 1]], "a 1 for each label.*1 to 2"),
        ([[0.0, float("nan")]], "a 1 for each label"),
        ([0, 1], r"the shape \(1, 2\) of `logits`.*\(2,\)"),
        ([[0, 1, 1]], r"the shape \(1, 2\) of `logits`.*\(1, 3\)"),
    ]:
        with pytest.raises(ValueError, match=f"`labels`.*{message}"):
            multi_hot(np.array(labels), ops.zeros((1, 2)))


def test_and_are_nan_alone_where_nothing_can_be_raised():
    labels = np.array([[0.0, 0.5], [1.0, 0.0]])
    rows = execute(lambda y: multi_hot(y, ops.zeros((2, 2))), [labels], MODES[-1])
    np.testing.assert_array_equal(rows, [[0, np.nan], [1, 0]])


@pytest.mark.tensorflow
def test_a_mean_of_labels_is_taken_for_the_shape_that_a_strategy_asks_and_never_computed(
    two_replicas,
):
    """Keras builds a model under a strategy with the mean of the replicas' labels."""
    import tensorflow as tf

    with two_replicas.scope():
        read = tf.function(lambda y: class_indices(y, logits_of(2)))
        assert read.get_concrete_function(tf.TensorSpec([2])).structured_outputs.shape == (2,)
        with pytest.raises(tf.errors.InvalidArgumentError, match="`labels`"):
            read(tf.constant([1.0, 1.5]))


@pytest.mark.parametrize("dtype", ["bool", "float32"])
def test_booleans_and_a_column_of_floats_are_classes(dtype):
    """As `image_dataset_from_directory(label_mode="binary")` makes them."""
    labels = np.array([[True], [False], [True]]).astype(dtype)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(class_indices(labels, logits_of(3))), [1, 0, 1]
    )


@pytest.mark.parametrize(("dtype", "most"), [("float16", 2048), ("bfloat16", 256)])
def test_a_type_that_cannot_tell_the_classes_raises(dtype, most):
    labels = ops.zeros((2,), dtype)
    assert class_indices(labels, ops.zeros((2, most))).shape == (2,)
    with pytest.raises(ValueError, match=rf"`labels`.*holds {most + 1} classes.*={dtype}"):
        class_indices(labels, ops.zeros((2, most + 1)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_soft_labels_are_read_as_rows_and_one_hot_ones_as_classes_too(dtype, mode):
    rows = np.array([[[0.25, 0, 0.5, 0, 0.25], [0, 0, 1, 0, 0]]], dtype)

    def read(labels):
        classes, rows = read_labels(labels, logits_of(1, 2))
        column = ops.where(classes == SOFT, -1.0, ops.cast(classes, "float32"))[..., None]
        return ops.concatenate([rows, column], axis=-1)

    read_rows = execute(read, [rows], mode, dtype)
    np.testing.assert_array_equal(read_rows[..., :-1], rows)
    np.testing.assert_array_equal(read_rows[..., -1], [[-1, 2]])


@pytest.mark.parametrize("row", [[0.5, 0.4, 0, 0, 0], [1.5, -0.5, 0, 0, 0], [np.nan] * 5])
def test_rows_that_are_no_distributions_raise(row):
    labels = np.array([row, [0.5, 0.5, 0, 0, 0]], "float32")
    with pytest.raises(ValueError, match=r"`labels`.*at least 0 that sum to 1"):
        read_labels(labels, logits_of(2))
    is_unreadable = execute(
        lambda y: read_labels(y, logits_of(2)).classes == UNREADABLE, [labels], MODES[-1]
    )
    np.testing.assert_array_equal(is_unreadable, [1, 0])


def test_labels_that_are_missing_are_told_from_those_that_cannot_be_read():
    logits = ops.zeros((2, 3))
    labels = np.array([[1, np.nan, 0], [np.nan, 0, 1]])
    expected = np.where(np.isnan(labels), MISSING, labels)
    rows = ops.convert_to_numpy(multi_hot_or_missing(labels, logits))
    np.testing.assert_array_equal(rows, expected)
    with pytest.raises(ValueError, match=r"`labels`.*a 1 for each label"):
        multi_hot_or_missing(np.array([[1, np.nan, 0.5]] * 2), logits)
    with pytest.raises(ValueError, match=r"`labels`.*a 1 for each label"):
        multi_hot_or_missing(np.array([[1, 0, -1]] * 2), logits)


def test_an_error_of_rows_shows_the_number_below_0_or_the_sum():
    for row, told in (([1.5, -0.5], "from -0.5 to"), ([0.75, 0.75], "to 1.5")):
        with pytest.raises(ValueError, match=f"`labels`.*{told}"):
            read_labels(np.array([row, [0.0, 1.0]]), ops.zeros((2, 2)))
