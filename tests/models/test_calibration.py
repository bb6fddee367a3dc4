import inspect

import keras
import numpy as np
import pytest
from problems import CLASSES, make_model, random_operations, sequential
from scipy import optimize
from scipy.special import log_softmax

import keras_softmaxes as ks

HEADS = [
    each
    for each in vars(ks.layers).values()
    if inspect.isclass(each) and issubclass(each, ks.layers.Head) and each is not ks.layers.Head
]
HEADS.remove(ks.layers.PairedGSoftmax)  # of several labels
HEADS.remove(ks.layers.Sparsemax)  # raises


@keras.saving.register_keras_serializable("tests")
class Tripled(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.last = keras.layers.Dense(CLASSES, kernel_initializer=keras.initializers.HeNormal(1))

    def call(self, x):
        return 3 * self.last(x)


def functional(activation=None):
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    last = keras.layers.Dense(CLASSES, activation, kernel_initializer="random_normal")
    return keras.Model(inputs, last(hidden))


PLAIN = {
    "functional of logits": functional,
    "functional of probabilities": lambda: functional("softmax"),
    "sequential of logits": lambda: keras.Sequential([sequential(), keras.layers.Dense(CLASSES)]),
    "subclassed of logits": Tripled,
}
MODELS = {
    **{kind.__name__: lambda kind=kind: make_model(kind(CLASSES)) for kind in HEADS},
    **PLAIN,
}
EACH = pytest.mark.parametrize("name", MODELS)


def make_data(rows=300):
    """Return features, and labels that are wrong for some."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, 8)).astype("float32")
    return x, np.where(rng.uniform(size=rows) < 0.8, x[:, :CLASSES].argmax(axis=1), 0)


def predicted(model, x):
    return model.predict(x, verbose=0)


def scores_of(outputs):
    """Return log-probabilities in float64, of probabilities or logits."""
    outputs = outputs.astype("float64")
    is_distribution = outputs.min() >= 0 and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3)
    outputs = np.log(np.maximum(outputs, np.finfo("float32").tiny)) if is_distribution else outputs
    return log_softmax(outputs, axis=-1)


def likelihood(scores, y):
    """Return the negative log-likelihood."""
    return -np.mean(scores[np.arange(len(y)), y])


def temperature_of(model):
    layer = getattr(model, "head", None)
    layer = layer.calibration if layer else model.get_layer("calibration")
    return float(layer.temperature)


@pytest.mark.slow
@EACH
def test_the_temperature_is_that_of_a_search_and_the_class_stays(name):
    x, y = make_data()
    model = MODELS[name]()
    if isinstance(model, ks.models.Classifier):
        model.fit(x[:200], y[:200], epochs=3, verbose=0)
    scores = scores_of(predicted(model, x))
    calibrated = ks.models.calibrate(model, x, y)

    def loss(rate):
        return likelihood(log_softmax(rate * scores, axis=-1), y)

    grid = np.geomspace(1e-2, 1e2, 401)
    near = np.argmin([loss(rate) for rate in grid])
    found = optimize.minimize_scalar(
        loss, bounds=grid[[max(near - 1, 0), min(near + 1, 400)]], options={"xatol": 1e-9}
    )
    assert 1 / temperature_of(calibrated) == pytest.approx(found.x, rel=1e-4)
    after = predicted(calibrated, x)
    assert likelihood(scores_of(after), y) == pytest.approx(found.fun, abs=1e-5)
    assert likelihood(scores_of(after), y) <= likelihood(scores, y) + 1e-6
    np.testing.assert_array_equal(after.argmax(axis=-1), predicted(model, x).argmax(axis=-1))
    np.testing.assert_allclose(
        scores_of(after), log_softmax(found.x * scores, axis=-1), rtol=1e-3, atol=1e-4
    )


@pytest.mark.slow
@EACH
def test_it_is_a_model_of_the_same_kind_that_is_saved_and_loaded(name, tmp_path):
    x, y = make_data()
    model = MODELS[name]()
    raw = predicted(model, x)
    calibrated = ks.models.calibrate(model, x, y)
    expected = predicted(calibrated, x)
    assert isinstance(calibrated, ks.models.Classifier) == isinstance(model, ks.models.Classifier)
    assert np.allclose(raw.sum(axis=-1), 1) == np.allclose(expected.sum(axis=-1), 1)
    assert len(calibrated.weights) == len(model.weights) + 1
    assert len(calibrated.trainable_weights) == len(model.trainable_weights)
    calibrated.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(calibrated)
    assert temperature_of(again) == temperature_of(calibrated)
    np.testing.assert_allclose(predicted(again, x), expected, atol=1e-6)
    np.testing.assert_array_equal(predicted(model, x), raw)  # which it does not change


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["DropMax", *PLAIN])
def test_it_is_exported(name, tmp_path):
    import tensorflow as tf

    x, y = make_data()
    calibrated = ks.models.calibrate(MODELS[name](), x, y)
    calibrated.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve(x), predicted(calibrated, x), atol=1e-6)
    assert not random_operations(served)


@pytest.mark.slow
def test_a_calibrated_classifier_is_evaluated_and_trains_by_the_heads_own_loss():
    x, y = make_data()
    model = make_model()
    model.fit(x, y, verbose=0)
    calibrated = ks.models.calibrate(model, x, y)
    calibrated.compile("adam", metrics=["accuracy", ks.metrics.BrierScore()])
    loss, accuracy, _ = calibrated.evaluate(x, y, verbose=0)
    assert loss == pytest.approx(likelihood(scores_of(predicted(calibrated, x)), y), abs=1e-5)
    assert loss < model.evaluate(x, y, verbose=0)[0]
    assert accuracy == pytest.approx(model.evaluate(x, y, verbose=0)[1])
    before = temperature_of(calibrated)
    calibrated.fit(x, y, verbose=0)
    assert temperature_of(calibrated) == before


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 5)).astype("float32")
    y = (logits / temperature + rng.gumbel(size=logits.shape)).argmax(axis=1)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Activation("linear")])
    found = temperature_of(ks.models.calibrate(model, logits, y))
    assert found == pytest.approx(temperature, rel=0.1)


@pytest.mark.parametrize("form", ["logits", "probabilities"])
def test_classes_that_are_nearly_equal_keep_their_order(form):
    """Whatever the temperature, and though they are as near as their type has it."""
    rng = np.random.default_rng(0)
    outputs = rng.uniform(0.2, 0.3, size=(500, 2)).astype("float32")
    if form == "probabilities":
        outputs = (outputs / outputs.sum(axis=1, keepdims=True)).astype("float32") / 2
        outputs = outputs.repeat(2, axis=1)
    else:
        outputs = outputs.repeat(2, axis=1)
    outputs[:, 1] = np.nextafter(outputs[:, 0], 1)
    outputs[:, 2] = np.nextafter(outputs[:, 3], 0)
    layer = ks.layers._calibration.Temperature(from_logits=form == "logits")
    layer.build(outputs.shape)
    for temperature in (0.01, 0.77, 1.0, 1.7, 100.0):
        layer.temperature.assign(temperature)
        after = keras.ops.convert_to_numpy(layer(outputs))
        np.testing.assert_array_equal(after.argmax(axis=1), outputs.argmax(axis=1))


@pytest.mark.slow
def test_vectors_are_those_of_a_search():
    x, y = make_data()
    model = make_model()
    model.fit(x[:200], y[:200], epochs=3, verbose=0)
    scores, hot = scores_of(predicted(model, x)), np.eye(CLASSES)[y]
    calibrated = ks.models.calibrate(model, x, y, method="vector")
    layer = calibrated.head.calibration

    def loss(parameters):
        scale, bias = parameters.reshape(2, CLASSES)
        return -np.mean(np.sum(hot * log_softmax(scale * scores + bias, axis=-1), axis=1))

    start = np.repeat([1.0, 0.0], CLASSES)
    scores -= scores.max(axis=1, keepdims=True)  # as the layer has them
    found = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-8})
    ours = np.concatenate([layer.scale, layer.bias])
    assert loss(ours) == pytest.approx(found.fun, abs=1e-5)
    temperature = ks.models.calibrate(model, x, y)
    one = likelihood(scores_of(predicted(temperature, x)), y)
    assert likelihood(scores_of(predicted(calibrated, x)), y) <= one + 1e-6


@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_what_is_calibrated_may_be_calibrated_again(method):
    """A second temperature is 1; vectors scale distances from the largest score, which moved."""
    x, y = make_data()
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, kernel_initializer="identity")(inputs))
    once = ks.models.calibrate(model, x, y, method)
    twice = ks.models.calibrate(once, x, y, method)
    before, after = (scores_of(predicted(each, x)) for each in (once, twice))
    assert likelihood(after, y) <= likelihood(before, y) + 1e-6
    if method == "temperature":
        np.testing.assert_allclose(after, before, atol=1e-4)


@pytest.mark.tensorflow
def test_float64_stays_float64():
    x, y = make_data()
    inputs = keras.Input((8,), dtype="float64")
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, dtype="float64")(inputs))
    calibrated = ks.models.calibrate(model, x, y)
    assert calibrated.predict(x, verbose=0).dtype == "float64"


def test_labels_that_are_all_right_or_all_wrong_give_an_end_of_the_range():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Activation("linear")])
    logits = np.random.default_rng(0).normal(size=(50, 3))
    right = ks.models.calibrate(model, logits, logits.argmax(axis=1))
    wrong = ks.models.calibrate(model, logits, logits.argmin(axis=1))
    assert temperature_of(right) == pytest.approx(0.01, rel=1e-3)
    assert temperature_of(wrong) == pytest.approx(100, rel=1e-3)
    vectors = ks.models.calibrate(model, logits, logits.argmax(axis=1), method="vector")
    assert np.isfinite(predicted(vectors, logits)).all()


def test_pixels_are_examples():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 4, 4, 3)), rng.integers(0, 3, (20, 4, 4))
    of_pixels = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Activation("linear")])
    of_rows = keras.Sequential([keras.Input((3,)), keras.layers.Activation("linear")])
    found = ks.models.calibrate(of_pixels, x, y)
    expected = ks.models.calibrate(of_rows, x.reshape(-1, 3), y.ravel())
    assert temperature_of(found) == pytest.approx(temperature_of(expected), rel=1e-6)
    assert predicted(found, x).shape == (20, 4, 4, 3)


@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_a_weight_counts_an_example_so_many_times(method):
    rng = np.random.default_rng(2)
    logits, weights = rng.normal(size=(200, 3)), rng.integers(0, 4, 200)
    y = (2 * logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Activation("linear")])
    repeated = (np.repeat(each, weights, axis=0) for each in (logits, y))
    weighted, expected, plain = (
        ks.models.calibrate(model, *data, method, **settings).get_weights()
        for data, settings in (
            ((logits, y), {"sample_weight": 0.1 * weights}),
            (repeated, {}),
            ((logits, y), {}),
        )
    )
    np.testing.assert_allclose(np.ravel(weighted), np.ravel(expected), rtol=1e-5, atol=1e-5)
    assert not np.allclose(np.ravel(weighted), np.ravel(plain), rtol=1e-3)


def test_weights_may_be_those_of_the_rows_of_pixels():
    rng = np.random.default_rng(0)
    x, y, weights = rng.normal(size=(20, 4, 3)), rng.integers(0, 3, (20, 4)), rng.uniform(size=20)
    model = keras.Sequential([keras.Input((4, 3)), keras.layers.Activation("linear")])
    of_rows, of_pixels = (
        temperature_of(ks.models.calibrate(model, x, y, sample_weight=each))
        for each in (weights, np.repeat(weights[:, None], 4, axis=1))
    )
    assert of_rows == pytest.approx(of_pixels, rel=1e-6)


@pytest.mark.parametrize("weights", [-1.0, [1.0] * 4 + [-1.0], [np.inf] * 5, 0.0, np.ones(4)])
def test_weights_that_are_none_raise(weights):
    x = np.random.default_rng(0).normal(size=(5, 3))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Activation("linear")])
    with pytest.raises(ValueError, match="`sample_weight`"):
        ks.models.calibrate(model, x, np.arange(5) % 3, sample_weight=weights)


def test_inputs_may_be_several():
    inputs = {name: keras.Input((4,), name=name) for name in ("left", "right")}
    joined = keras.layers.Concatenate()(list(inputs.values()))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES)(joined))
    x, y = make_data()
    parts = {"left": x[:, :4], "right": x[:, 4:]}
    calibrated = ks.models.calibrate(model, parts, y)
    expected = scores_of(predicted(model, parts)) / temperature_of(calibrated)
    np.testing.assert_allclose(
        scores_of(predicted(calibrated, parts)), log_softmax(expected, axis=-1), atol=1e-5
    )


def test_what_is_wrong_raises():
    x, y = make_data()
    model = make_model()
    with pytest.raises(ValueError, match=r"`method`.*'temperature', 'vector'.*'platt'"):
        ks.models.calibrate(model, x, y, method="platt")
    with pytest.raises(ValueError, match="`batch_size`"):
        ks.models.calibrate(model, x, y, batch_size=0)
    with pytest.raises(ValueError, match="`labels`"):
        ks.models.calibrate(model, x, y + CLASSES)
    with pytest.raises(ValueError, match="`labels`"):
        ks.models.calibrate(model, x, y[:-1])
    several = make_model(ks.layers.PairedGSoftmax(CLASSES))
    with pytest.raises(ValueError, match=r"`model`.*sum to 1"):
        ks.models.calibrate(several, x, y)
    infinite = keras.Sequential([keras.Input((8,)), keras.layers.Activation("linear")])
    with pytest.raises(ValueError, match=r"`model`.*finite"):
        ks.models.calibrate(infinite, np.full((2, 8), np.inf), [0, 1])
    inputs = keras.Input((8,))
    double = keras.Model(inputs, [keras.layers.Dense(3)(inputs), keras.layers.Dense(3)(inputs)])
    with pytest.raises(ValueError, match=r"`model`.*one output"):
        ks.models.calibrate(double, x, y)


@pytest.mark.parametrize("wrong", [iter([np.ones((5, 8))]), np.ones((0, 8))])
def test_what_is_no_array_of_examples_raises(wrong):
    model = MODELS["functional of logits"]()
    with pytest.raises(ValueError, match=r"`(x|len\(x\))`\. Expected an "):
        ks.models.calibrate(model, wrong, np.zeros(5, "int32"))


def test_inputs_of_unequal_length_raise():
    model = MODELS["functional of logits"]()
    with pytest.raises(ValueError, match=r"`x`.*one length.*\[5, 4\]"):
        ks.models.calibrate(model, [np.ones((5, 8)), np.ones((4, 8))], np.zeros(5, "int32"))


def test_a_head_by_tiles_is_told_to_be_dense():
    model = make_model(ks.layers.ManyClasses(CLASSES, dense=False))
    x, y = make_data(20)
    with pytest.raises(ValueError, match=r"`model`.*`ManyClasses\(classes, dense=True\)`"):
        ks.models.calibrate(model, x, y)
    with pytest.raises(ValueError, match=r"`model`.*`ManyClasses\(classes, dense=True\)`"):
        ks.models.conformal_sets(model, x, (x, y))


def test_sigmoids_of_several_labels_are_no_logits():
    x, y = make_data(20)
    with pytest.raises(ValueError, match=r"`model`.*several labels do not.*that sum to"):
        ks.models.calibrate(functional("sigmoid"), x, y)
    one = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"`model\(x\)`.*at least 2 classes"):
        ks.models.calibrate(one, x, y)


def test_a_sparsemax_cannot_be_calibrated_by_the_likelihood():
    model = make_model(ks.layers.Sparsemax(CLASSES))
    with pytest.raises(ValueError, match=r"`model`.*above 0.*`Sparsemax`"):
        ks.models.calibrate(model, *make_data(5))


def test_what_is_no_model_and_what_are_no_labels_is_named():
    x, y = make_data(5)
    with pytest.raises(ValueError, match=r"`model`.*keras.Model"):
        ks.models.calibrate({}, x, y)
    for wrong in (None, y.astype(str)):
        with pytest.raises(ValueError, match="`labels`"):
            ks.models.calibrate(functional(), x, wrong)
