import keras
import numpy as np
import pytest
from keras import ops
from scipy.stats import norm

import keras_softmaxes as ks


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def make_problem():
    x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
    return x, x[:, :4].argmax(axis=1)


def make_model(layer, loss=None, **arguments):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), layer])
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(**{"optimizer": keras.optimizers.Adam(0.05), "loss": loss, **arguments})
    return model


def test_it_adds_the_distribution_function_of_its_class():
    layer = ks.layers.GSoftmax(scale=0.5, mean=[0.1, -0.2, 0.3], stddev=[1.0, 0.5, 2.0])
    x = np.array([[0.5, -1, 2], [1.5, 0.3, -0.2]], "float32")
    expected = x + 0.5 * norm.cdf(x, [0.1, -0.2, 0.3], [1.0, 0.5, 2.0])
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-6)
    pixels = np.broadcast_to(x[:, None, None], (2, 3, 4, 3))
    np.testing.assert_allclose(numpy(layer(pixels))[:, 1, 2], expected, atol=1e-6)


def test_a_step_of_sgd_moves_mean_and_deviation_by_their_gradients():
    """d loss / d mu = -lambda (p - y) phi / sigma, and for sigma that times (x - mu) / sigma."""
    layer = ks.layers.GSoftmax(scale=0.7, stddev=0.8)
    model = keras.Sequential([keras.Input((3,)), layer])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    x = np.array([[0.5, -1.0, 2.0]], "float32")
    model.fit(x, np.array([1]), verbose=0)
    a = x[0] + 0.7 * norm.cdf(x[0], 0, 0.8)
    p = np.exp(a) / np.exp(a).sum()
    by_mean = -0.7 * (p - [0, 1, 0]) * norm.pdf(x[0], 0, 0.8)
    np.testing.assert_allclose(numpy(layer.mean), -0.1 * by_mean, atol=1e-6)
    np.testing.assert_allclose(numpy(layer.stddev), 0.8 - 0.1 * by_mean * x[0] / 0.8, atol=1e-6)


@pytest.mark.parametrize(
    "loss",
    [None, ks.losses.LargeMarginCrossentropy(weight=0.5), ks.losses.SparsemaxLoss()],
    ids=["Keras", "large margin", "sparsemax"],
)
def test_it_learns_under_any_loss_of_logits_and_its_parameters_move(loss):
    x, y = make_problem()
    layer = ks.layers.GSoftmax()
    model = make_model(layer, loss, metrics=["accuracy"])
    history = model.fit(x, y, epochs=15, verbose=0).history
    assert history["accuracy"][-1] > 0.85
    assert (np.abs(numpy(layer.mean)) > 1e-3).all()
    assert (np.abs(numpy(layer.stddev) - 1) > 1e-3).all()


def test_binary_cross_entropy_after_it_is_the_papers_eq_14_with_the_gaussian_term():
    layer = ks.layers.GSoftmax(scale=0.5, stddev=2.0)
    x, labels = np.array([[0.5, -1.0, 2.0]], "float32"), np.array([[1.0, 1.0, 0.0]])
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    probabilities = 1 / (1 + np.exp(-(x + 0.5 * norm.cdf(x, 0, 2))))
    expected = -np.log(np.where(labels == 1, probabilities, 1 - probabilities)).mean()
    assert float(loss(labels, layer(x))) == pytest.approx(expected, rel=1e-5)


def test_what_is_not_learned_stays():
    x, y = make_problem()
    layer = ks.layers.GSoftmax(mean=0.2, stddev=0.5, learn=False)
    make_model(layer).fit(x, y, verbose=0)
    assert not layer.trainable_variables
    np.testing.assert_array_equal(numpy(layer.mean), np.full(4, 0.2, "float32"))
    np.testing.assert_array_equal(numpy(layer.stddev), np.full(4, 0.5, "float32"))


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "RMSprop", "Lion"])
def test_the_deviation_stays_positive_whatever_the_step(optimizer):
    x, y = make_problem()
    layer = ks.layers.GSoftmax(stddev=0.1)
    model = make_model(layer, optimizer=getattr(keras.optimizers, optimizer)(100.0))
    model.fit(x, y, epochs=2, verbose=0)
    assert (numpy(layer.stddev) >= np.float32(0.001)).all()
    assert np.isfinite(model.predict(x, verbose=0)).all()


@pytest.mark.parametrize(
    "form",
    [
        lambda logits: logits,
        lambda logits: Batches(logits, 30),
        lambda logits: (logits[first : first + 30] for first in range(0, 100, 30)),
    ],
    ids=["array", "dataset", "generator"],
)
def test_adapt_takes_the_moments_of_each_class(form):
    logits = np.random.default_rng(1).normal([1, -2, 0], [1, 0.5, 3], size=(100, 3))
    logits = logits.astype("float32")
    layer = ks.layers.GSoftmax()
    layer.adapt(form(logits))
    np.testing.assert_allclose(numpy(layer.mean), logits.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(numpy(layer.stddev), logits.std(axis=0), rtol=1e-5)


class Pieces(keras.utils.PyDataset):
    def __init__(self, pieces):
        super().__init__()
        self.pieces = pieces

    def __len__(self):
        return len(self.pieces)

    def __getitem__(self, index):
        return self.pieces[index]


class Batches(keras.utils.PyDataset):
    def __init__(self, rows, size):
        super().__init__()
        self.rows, self.size = rows, size

    def __len__(self):
        return -(-len(self.rows) // self.size)

    def __getitem__(self, index):
        return self.rows[index * self.size : (index + 1) * self.size]


@pytest.mark.tensorflow
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("batched", [False, True])
def test_moments_of_half_precision_are_taken_in_full(dtype, batched):
    """The squares of 4,000 numbers near 300 are far beyond either type."""
    import tensorflow as tf

    logits = np.random.default_rng(1).normal(300, 9, size=(4000, 3))
    logits = tf.cast(logits, dtype)
    data = tf.data.Dataset.from_tensor_slices(logits).batch(32) if batched else logits
    layer = ks.layers.GSoftmax()
    layer.adapt(data)
    expected = tf.cast(logits, "float64").numpy()
    np.testing.assert_allclose(numpy(layer.mean), expected.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(numpy(layer.stddev), expected.std(axis=0), rtol=1e-6)


def test_it_is_saved_with_what_it_learned(tmp_path):
    x, y = make_problem()
    layer = ks.layers.GSoftmax(scale=0.5, mean=[0.0, 0.1, 0.2, 0.3], stddev=2.0)
    model = make_model(layer)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.layers[-1].get_config() == layer.get_config()
    np.testing.assert_array_equal(numpy(again.layers[-1].stddev), numpy(layer.stddev))
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_its_parameters_and_logits_are_float32_in_mixed_precision(policy):
    layer = ks.layers.GSoftmax(mean=0.1001, dtype=policy)
    x = np.array([[0.50001, -10.03, 1000.123]], "float32")
    assert keras.backend.standardize_dtype(layer(x).dtype) == "float32"
    assert layer(keras.Input((3,), dtype="float32")).dtype == "float32"
    np.testing.assert_allclose(numpy(layer(x)), x + norm.cdf(x, 0.1001, 1), atol=1e-6)


def test_a_mask_of_padding_passes_through_it():
    """The loss is the mean over the tokens that are no padding."""
    x = np.array([[1, 2, 0], [3, 4, 5], [6, 0, 0]])
    y = np.array([[0, 1, 2], [2, 1, 0], [1, 1, 1]])
    model = keras.Sequential([keras.layers.Embedding(7, 5, mask_zero=True)])
    model.add(keras.layers.Dense(3))
    model.add(ks.layers.GSoftmax(stddev=2.0))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    logits = numpy(model(x))[x > 0]
    each = -logits[np.arange(6), y[x > 0]] + np.log(np.exp(logits).sum(axis=1))
    assert model.evaluate(x, y, verbose=0) == pytest.approx(each.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"scale": -0.5}, "scale.*at least 0.*-0.5"),
        ({"stddev": 0.0}, "stddev.*at least 0.001.*0.0"),
        ({"mean": float("nan")}, "mean.*finite"),
        ({"mean": [0.0, 1.0]}, r"mean.*3 classes.*\[0.0, 1.0\]"),
        ({"learn": 1}, "learn.*True or False.*1"),
    ],
)
def test_bad_arguments_raise(arguments, match):
    with pytest.raises(ValueError, match=match):
        ks.layers.GSoftmax(**arguments)(np.zeros((1, 3), "float32"))


def test_bad_logits_and_data_raise():
    with pytest.raises(ValueError, match=r"logits.*\(batch, ..., classes\).*\(3,\)"):
        ks.layers.GSoftmax().build((3,))
    layer = ks.layers.GSoftmax()
    layer.build((None, 3))
    with pytest.raises(ValueError, match=r"data.*\(examples, 3\).*2"):
        layer.adapt(np.random.default_rng(0).normal(size=(9, 2)).astype("float32"))
    with pytest.raises(ValueError, match=r"data.*deviate.*0.0"):
        layer.adapt(np.ones((9, 3), "float32"))
    with pytest.raises(ValueError, match=r"data.*finite"):
        layer.adapt([[0.0, 1.0, np.inf], [1.0, 0.0, 2.0]])
    with pytest.raises(ValueError, match=r"`data`.*as in the first, 3.*\(2, 2\)"):
        layer.adapt(Pieces([np.eye(3), np.eye(2)]))
    for data in (np.ones(9), np.ones((9, 1)), np.ones((0, 3))):
        with pytest.raises(ValueError, match=r"data.*\(examples, classes\)"):
            layer.adapt(data)


@pytest.mark.tensorflow
def test_the_export_serves_it_without_a_kernel_of_xla(tmp_path):
    import tensorflow as tf

    model = make_model(ks.layers.GSoftmax())
    x, _ = make_problem()
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve(x), model.predict(x, verbose=0), atol=1e-6)
    library = served.signatures["serving_default"].graph.as_graph_def().library.function
    assert not [f for f in library if f.attr["_XlaMustCompile"].b]
