import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import expit, logit, softmax

import keras_softmaxes as ks


@pytest.fixture
def model():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, activation="relu")])
    return ks.models.Classifier(network, ks.layers.DropMax(4, bias_initializer="random_normal"))


def without_network(head):
    return ks.models.Classifier(keras.layers.Identity(), head)


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(7, 3)).astype("float32")


def enumerated(logits, retain_logits):
    """Return the mean and the deviation over all subsets of the classes."""
    mean, square = np.zeros((2, *logits.shape))
    for mask in np.ndindex((2,) * logits.shape[1]):
        weight = np.where(mask, expit(retain_logits), expit(-retain_logits)).prod(1, keepdims=True)
        probabilities = softmax(logits + np.log(np.array(mask) + 1e-20), axis=1)
        mean += weight * probabilities
        square += weight * probabilities**2
    return mean, np.sqrt(square - mean**2)


@pytest.mark.parametrize("temperature", [1e-3, 0.1, 10.0])
def test_mean_and_deviation_are_those_of_binary_masks(x, temperature):
    """Eq. 14 draws Bernoulli masks; the relaxation, whatever its temperature, is for training."""
    model = without_network(ks.layers.DropMax(3, temperature))
    outputs = {name: ops.convert_to_numpy(each) for name, each in model(x).items()}
    mean, deviation = enumerated(outputs["logits"], outputs["retain_logits"])
    samples, copies = 40, 1000  # each copy of an example draws masks of its own
    result = ks.models.monte_carlo(model, np.repeat(x, copies, axis=0), samples, batch_size=7000)
    means, stddevs = (result[key].reshape(7, copies, 3) for key in ("mean", "stddev"))
    tolerance = 5 * deviation / np.sqrt(samples * copies) + 1e-3
    assert (np.abs(means.mean(axis=1) - mean) < tolerance).all()
    squares = (means**2 + stddevs**2).mean(axis=1)
    np.testing.assert_allclose(np.sqrt(squares - mean**2), deviation, atol=0.01)


def test_a_class_that_leads_is_uncertain_where_it_may_be_dropped():
    """The value of the paper's Fig. 4f for o = (10, 0, ..., 0), by enumeration."""
    head = ks.layers.DropMax(10)
    model = without_network(head)
    x = np.ones((2000, 1), "float32")
    model(x)
    logits, retain = np.zeros((2, 10))
    logits[0], retain[:] = 10, logit(0.218)
    retain[0] = logit(0.782)
    for branch, values in ((head.logits, logits), (head.retain, retain)):
        branch.kernel.assign(values[None])
    mean, deviation = (each[0, 0] for each in enumerated(logits[None], retain[None]))
    assert (mean, deviation) == pytest.approx((0.806, 0.396), abs=1e-3)
    result = ks.models.monte_carlo(model, x, samples=20, batch_size=2000)
    means, stddevs = (result[name][:, 0] for name in ("mean", "stddev"))
    assert means.mean() == pytest.approx(mean, abs=0.01)
    assert np.sqrt((means**2 + stddevs**2).mean() - mean**2) == pytest.approx(deviation, abs=0.01)


def test_statistics_are_numpys_over_the_same_draws(model, x):
    result = ks.models.monte_carlo(model, x, samples=5, seed=3)
    generator = keras.random.SeedGenerator(3)
    outputs = model(x)
    draws = [model.head.sample_probabilities(outputs, generator) for _ in range(5)]
    draws = np.stack([ops.convert_to_numpy(draw) for draw in draws])
    np.testing.assert_allclose(result["mean"], draws.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(result["stddev"], draws.std(axis=0), atol=1e-6)


def test_the_seed_fixes_the_draws(model, x):
    def mean(seed=None):
        return ks.models.monte_carlo(model, x, 10, batch_size=4, seed=seed)["mean"]

    np.testing.assert_array_equal(mean(1), mean(1))
    assert (mean(1) != mean(2)).any()
    keras.utils.set_random_seed(1)
    first = mean()
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(mean(), first)


def test_every_example_comes_back_whatever_the_batches(model, x):
    """Retain probabilities of 0 and 1 leave nothing to chance."""
    model(x)
    head = model.head
    head.retain.kernel.assign(np.zeros((8, 4)))
    head.retain.bias.assign([1e4, -1e4, 1e4, 1e4])
    expected = model.predict(x, verbose=0)
    assert (expected[:, 1] == 0).all()
    for batch_size in (2, 7, 100):
        result = ks.models.monte_carlo(model, x, 2, batch_size)
        np.testing.assert_allclose(result["mean"], expected, atol=1e-6)
        np.testing.assert_allclose(result["stddev"], 0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_memory_does_not_grow_with_the_samples(x):
    """No tensor of the loop outlives its draw."""
    import gc

    import tensorflow as tf

    model = without_network(ks.layers.DropMax(4))
    counts = []
    for samples in (10, 100):
        ks.models.monte_carlo(model, x, samples, seed=0)
        gc.collect()
        counts.append(sum(isinstance(o, tf.Tensor) for o in gc.get_objects()))
    assert counts[1] <= counts[0] + 5


@pytest.mark.parametrize(
    "head",
    [ks.layers.DropMax, ks.layers.ClassDropout, ks.layers.ClassSampling],
)
def test_features_may_have_any_leading_shape(head, x):
    """Each pixel has draws of its own."""
    model = without_network(head(6))
    image = np.broadcast_to(x[:, None, None], (7, 20, 30, 3))
    result = ks.models.monte_carlo(model, image, samples=3)
    assert result["mean"].shape == result["stddev"].shape == (7, 20, 30, 6)
    np.testing.assert_allclose(result["mean"].sum(axis=-1), 1, atol=1e-5)
    flat = ks.models.monte_carlo(model, np.repeat(x, 600, axis=0), samples=3, batch_size=4200)
    means = flat["mean"].reshape(7, 600, 6).mean(axis=1)
    np.testing.assert_allclose(result["mean"].mean(axis=(1, 2)), means, atol=0.05)
    assert (result["mean"][:, 0, 0] != result["mean"][:, 1, 0]).any()


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", [ks.layers.DropMax, ks.layers.ClassSampling])
def test_a_head_of_float64_has_statistics_of_float64(kind, x):
    single, double = without_network(kind(4)), without_network(kind(4, dtype="float64"))
    for model in (single, double):
        model(x)
    double.set_weights(single.get_weights())
    ours, theirs = (ks.models.monte_carlo(each, x, 200, seed=1) for each in (double, single))
    for name in ("mean", "stddev"):
        assert ours[name].dtype == "float64"
        np.testing.assert_allclose(ours[name], theirs[name], atol=0.15)


@pytest.mark.tensorflow
def test_it_runs_in_the_scope_of_a_strategy(model, x, two_replicas):
    with two_replicas.scope():
        result = ks.models.monte_carlo(model, x, 3, seed=1)
    np.testing.assert_array_equal(
        result["mean"], ks.models.monte_carlo(model, x, 3, seed=1)["mean"]
    )


@pytest.mark.parametrize("argument", ["samples", "batch_size"])
@pytest.mark.parametrize("value", [0, 2.0, True, "3", None])
def test_what_is_not_a_count_raises(model, x, argument, value):
    arguments = {"samples": 1, argument: value}
    with pytest.raises(ValueError, match=f"`{argument}`.*integer of at least 1.*={value!r}"):
        ks.models.monte_carlo(model, x, **arguments)


@pytest.mark.tensorflow
@pytest.mark.parametrize("with_labels", [False, True])
def test_a_dataset_is_its_batches(model, x, with_labels):
    import tensorflow as tf

    rows = (x, np.zeros(len(x))) if with_labels else x
    dataset = tf.data.Dataset.from_tensor_slices(rows).batch(4)
    ours = ks.models.monte_carlo(model, dataset, 3, seed=1)
    theirs = ks.models.monte_carlo(model, x, 3, batch_size=4, seed=1)
    for name in ("mean", "stddev"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    with pytest.raises(ValueError, match=r"`x`.*at least one batch"):
        ks.models.monte_carlo(model, dataset.take(0), 3)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "head", [ks.layers.DropMax, ks.layers.ClassDropout, ks.layers.ClassSampling]
)
def test_an_endpoint_serves_it_and_draws_anew_at_each_call(head, x, tmp_path):
    import tensorflow as tf

    model = without_network(head(4))
    expected = ks.models.monte_carlo(model, np.repeat(x, 500, axis=0), 20, batch_size=3500)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "monte_carlo",
        lambda x: ks.models.monte_carlo(model, x, 20),
        [keras.InputSpec(shape=(None, 3), dtype="float32")],
    )
    archive.write_out(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    ours = served.monte_carlo(np.repeat(x, 500, axis=0))
    for name in ("mean", "stddev"):
        means = (
            each.reshape(7, 500, 4).mean(axis=1) for each in (np.array(ours[name]), expected[name])
        )
        np.testing.assert_allclose(*means, atol=0.02)  # five standard errors
    assert (served.monte_carlo(x)["mean"] != served.monte_carlo(x)["mean"]).numpy().any()
    with pytest.raises(ValueError, match=r"`seed`.*None in a graph"):
        tf.function(lambda x: ks.models.monte_carlo(model, x, 20, seed=1))(tf.constant(x))


@pytest.mark.parametrize("arrays", [[], [np.zeros(())], [np.zeros((4, 3)), np.zeros((6, 3))]])
def test_inputs_must_be_arrays_of_one_length(model, arrays):
    with pytest.raises(ValueError, match=r"`x`.*arrays"):
        ks.models.monte_carlo(model, arrays, 3)


def test_no_examples_raise(model, x):
    with pytest.raises(ValueError, match=r"`len\(x\)`.*at least 1.*=0"):
        ks.models.monte_carlo(model, x[:0], 3)


def test_a_model_without_a_stochastic_head_raises(x):
    inputs = keras.Input((3,))
    for model in (
        keras.Model(inputs, keras.layers.Dense(2)(inputs)),
        keras.Model(inputs, ks.layers.DropMax(4)(inputs)),
        without_network(ks.layers.LSoftmax(4)),
    ):
        with pytest.raises(
            ValueError, match=r"`model`.*`keras_softmaxes.models.Classifier`.*stoch"
        ):
            ks.models.monte_carlo(model, x, 1)
