"""What holds of every op whose last axis is that of the classes, each example on its own."""

import keras
import numpy as np
import pytest
from keras import ops
from numerics import MODES, execute, value_and_gradients

import keras_softmaxes as ks

CLASSES = 5
# JAX compiles each operation for itself where nothing compiles them all.
MODE = "eager" if keras.backend.backend() == "tensorflow" else MODES[-1]


def distances(_, x):
    means = np.tile(np.arange(4.0)[:, None], x.shape[-1]).astype("float32")
    return ks.ops.gaussian_distances(x, means, means / 4)[0]


def log_mask(_, a):
    return ks.ops.dropmax_log_mask(a, np.full(a.shape, 0.3, "float32"), temperature=0.5)


def lsoftmax(_, x):
    kernel = np.reshape(np.arange(4 * x.shape[-1]) % 7, (-1, 4)).astype("float32")
    return ks.ops.lsoftmax_logits(x, kernel, margin=3, annealing=0.5)


# The op, and of how many tensors (..., classes).
OPS = {
    "attention_terms": (ks.ops.attention_terms, 2),
    "dropmax_log_mask": (log_mask, 1),
    "dropmax_log_probabilities": (lambda _, o, a: ks.ops.dropmax_log_probabilities(o, a), 2),
    "dropmax_terms": (lambda y, o, a, r, z: ks.ops.dropmax_terms(y, o, a, r, -ops.abs(z)), 4),
    "gaussian_cdf": (lambda _, x: ks.ops.gaussian_cdf(x, 0.3, 2.0), 1),
    "gaussian_distances": (distances, 1),
    "gaussian_mixture_terms": (ks.ops.gaussian_mixture_terms, 2),
    "gsoftmax_logits": (lambda _, x: ks.ops.gsoftmax_logits(x, -0.3, 0.5), 1),
    "large_margin_cross_entropy": (ks.ops.large_margin_cross_entropy, 1),
    "large_margin_divergence": (ks.ops.large_margin_divergence, 1),
    "lsoftmax_cross_entropy": (ks.ops.lsoftmax_cross_entropy, 2),
    "lsoftmax_logits": (lsoftmax, 1),
    "margin_bias": (ks.ops.margin_bias, 1),
    "masked_cross_entropy": (lambda y, o, z: ks.ops.masked_cross_entropy(y, o, -ops.abs(z)), 2),
    "mean_multiclass_hinge": (ks.ops.mean_multiclass_hinge, 1),
    "paired_cross_entropy": (ks.ops.paired_cross_entropy, 2),
    "sparsemax": (lambda _, z: ks.ops.sparsemax(z), 1),
    "sparsemax_loss": (ks.ops.sparsemax_loss, 1),
}
OF_OTHER_SHAPES = {
    "adversarial_mask",  # of units, and not of float32
    "average_precision",  # of all examples
    "brier_score",  # of probabilities
    "compactness",  # of the classes alone
    "linear_cross_entropy",  # of features
    "linear_ranks",
    "linear_top_k",
    "sampled_cross_entropy",
    "reliability",
    "risk_coverage",
    "separability",
    "separability_ratio",
    "super_symmetric_projection",
}
LABELLED = [name for name in OPS if name.endswith(("terms", "entropy", "loss", "bias", "hinge"))]
EACH_OP = pytest.mark.parametrize("name", OPS)


def make_data(name, *examples, classes=CLASSES):
    """Return labels and tensors of different numbers."""
    rng = np.random.default_rng(0)
    tensors = [rng.normal(size=(*examples, classes)).astype("float32") for _ in range(OPS[name][1])]
    several = name == "paired_cross_entropy"
    labels = rng.integers(0, 2 if several else classes, (*examples, classes)).astype("int32")
    return (labels if several else labels[..., 0]), tensors


def apply(name, labels, tensors):
    """Return what the op returns as one tensor of its dict's or tuple's parts, (parts, ...)."""
    parts = keras.tree.flatten(OPS[name][0](labels, *tensors))
    assert all(keras.backend.standardize_dtype(part.dtype) == "float32" for part in parts)
    return ops.stack(parts)


def values(name, labels, tensors, dtype="float32"):
    return execute(lambda *t: apply(name, labels, t), tensors, MODE, dtype)


def value_and_slopes(name, labels, tensors):
    return value_and_gradients(lambda *t: apply(name, labels, t), tensors, MODE)


def test_every_public_op_is_here():
    public = {name for name in vars(ks.ops) if not name.startswith("_")}
    assert public == set(OPS) | OF_OTHER_SHAPES


@EACH_OP
def test_examples_may_have_any_shape(name):
    labels, tensors = make_data(name, 2, 3)
    rows = labels.reshape(6, *labels.shape[2:]), [each.reshape(6, -1) for each in tensors]
    of_rows, ours = values(name, *rows), values(name, labels, tensors)
    assert ours.shape == (len(ours), 2, 3, *of_rows.shape[2:])
    np.testing.assert_allclose(ours.reshape(of_rows.shape), of_rows, rtol=1e-6, atol=1e-6)
    total, slopes = value_and_slopes(name, labels, tensors)
    total_of_rows, slopes_of_rows = value_and_slopes(name, *rows)
    assert total == pytest.approx(total_of_rows, rel=1e-5)
    for slope, of_rows in zip(slopes, slopes_of_rows, strict=True):
        np.testing.assert_allclose(slope.reshape(of_rows.shape), of_rows, rtol=1e-5, atol=1e-6)


@EACH_OP
def test_there_may_be_no_examples(name):
    some = values(name, *make_data(name, 1))
    for examples in ((0,), (0, 3)):
        labels, tensors = make_data(name, *examples)
        assert values(name, labels, tensors).shape == (len(some), *examples, *some.shape[2:])
        total, slopes = value_and_slopes(name, labels, tensors)
        assert total == 0
        assert [slope.shape for slope in slopes] == [tensor.shape for tensor in tensors]


@EACH_OP
def test_half_precision_is_computed_in_float32(name):
    labels, tensors = make_data(name, 3)
    rounded = [ops.cast(ops.cast(tensor, "bfloat16"), "float32") for tensor in tensors]
    expected = values(name, labels, rounded)
    np.testing.assert_array_equal(values(name, labels, tensors, "bfloat16"), expected)


@EACH_OP
def test_many_equal_classes_do_not_overflow_in_float16(name):
    labels, tensors = make_data(name, 1, classes=100_000)
    outputs = OPS[name][0](labels, *[np.zeros_like(tensor, "float16") for tensor in tensors])
    assert all(np.isfinite(part).all() for part in keras.tree.flatten(outputs))
    cross_entropy = outputs["cross_entropy"] if isinstance(outputs, dict) else outputs
    if name.endswith(("terms", "cross_entropy")) and name != "paired_cross_entropy":
        assert float(cross_entropy[0]) == pytest.approx(np.log(100_000), rel=1e-5)


@EACH_OP
def test_integers_are_numbers_too(name):
    labels, tensors = make_data(name, 3)
    whole = [np.round(2 * tensor) for tensor in tensors]
    expected = values(name, labels, whole)
    np.testing.assert_array_equal(values(name, labels, whole, "int32"), expected)


@pytest.mark.tensorflow
@EACH_OP
def test_variables_are_taken(name):
    import tensorflow as tf

    labels, tensors = make_data(name, 3)
    for variable in (tf.Variable, keras.Variable):
        ours = apply(name, labels, [variable(each) for each in tensors])
        np.testing.assert_array_equal(ours, values(name, labels, tensors))


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", LABELLED)
def test_labels_are_read_once_and_belong_to_one_example_each(name):
    """The batch is unknown, where shapes alone do not show one label for all examples."""
    import tensorflow as tf

    labels, tensors = make_data(name, 3)
    compute = tf.function(
        lambda labels, tensors: apply(name, labels, tensors),
        input_signature=[
            tf.TensorSpec([None, *labels.shape[1:]], tf.int32),
            [tf.TensorSpec([None, CLASSES])] * len(tensors),
        ],
        autograph=False,
    )
    graph = compute.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    assert sum(node.op == "Assert" for node in nodes) == 1
    np.testing.assert_allclose(compute(labels, tensors), values(name, labels, tensors), rtol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError):
        compute(labels[:1], tensors)
