"""What every layer that wraps another, or passes features on, keeps."""

import inspect
import json
from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_softmaxes as ks
from keras_softmaxes.layers import _adversarial_dropout, _weight_noise

L = ks.layers

# Each takes a maker of the layer that it wraps, where it wraps one.
WRAPPERS = {
    "adversarial_dropout": lambda make, **kwargs: L.AdversarialDropout(0.3, 0.5, **kwargs),
    "gsoftmax": lambda make, **kwargs: L.GSoftmax(0.7, 0.1, 1.3, **kwargs),
    "norm_constraint": lambda make, **kwargs: L.NormConstraint(make(), 0.1, **kwargs),
    "parameter_tying": lambda make, **kwargs: L.ParameterTying(make(), make(), 0.1, **kwargs),
    "weight_noise": lambda make, **kwargs: L.WeightNoise(make(), 0.2, **kwargs),
}
# The same, so that they change nothing.
INERT = {
    "adversarial_dropout": lambda make: L.AdversarialDropout(0.0),
    "gsoftmax": lambda make: L.GSoftmax(0.0, learn=False),
    "norm_constraint": lambda make: L.NormConstraint(make(), 100.0),
    "parameter_tying": lambda make: L.ParameterTying(make(), make(), 0.0),
    "weight_noise": lambda make: L.WeightNoise(make(), 0.0),
}
EVERY = pytest.mark.parametrize("name", WRAPPERS)
# Those that stand between one tensor and one tensor.
SINGLE = [name for name in WRAPPERS if name != "parameter_tying"]
WRAPPING = ["norm_constraint", "parameter_tying", "weight_noise"]


def exported():
    kinds = [each for each in vars(L).values() if isinstance(each, type)]
    return [each for each in kinds if not issubclass(each, L.Head)]


def test_every_layer_that_is_no_head_has_a_case():
    for table in (WRAPPERS, INERT):
        assert {type(make(layers.ReLU)) for make in table.values()} == set(exported())


def called(layer, inputs, **kwargs):
    """Return the outputs of a layer, of two that are tied both."""
    pair = isinstance(layer, L.ParameterTying)
    return keras.tree.flatten(layer([inputs, inputs] if pair else inputs, **kwargs))


def output_of(layer, inputs):
    """Return the output of a layer, of two that are tied their mean."""
    outputs = called(layer, inputs)
    return layers.average(outputs) if len(outputs) > 1 else outputs[0]


def dense(policy=None):
    return lambda: layers.Dense(4, dtype=policy)


@pytest.fixture
def fixed_noise(monkeypatch):
    """The same noise in every step, and for every row on every replica."""

    def normal(shape, dtype, generator):
        noise = np.random.default_rng(1).normal(size=tuple(shape))
        return ops.convert_to_tensor(noise, dtype=dtype)

    def uniform(shape, dtype, generator):
        row = np.random.default_rng(2).uniform(size=shape[-1])
        return ops.broadcast_to(ops.convert_to_tensor(row, dtype), shape)

    monkeypatch.setattr(_weight_noise, "draw_normal", normal)
    monkeypatch.setattr(_adversarial_dropout, "draw_uniform", uniform)


def make_model(name, **arguments):
    """Return a compiled model with the layer in its middle."""
    inputs = keras.Input((6,))
    wrapper = WRAPPERS[name](dense(), name="wrapper")
    outputs = output_of(wrapper, layers.Dense(5, activation="tanh")(inputs))
    model = keras.Model(inputs, layers.Dense(3)(outputs))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(**{"optimizer": keras.optimizers.SGD(0.3), "loss": loss, **arguments})
    return model


@pytest.fixture
def data():
    x = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    return x, x[:, :3].argmax(axis=1)


def values(model):
    return [ops.convert_to_numpy(each) for each in model.weights]


def assert_same_weights(one, other, atol=1e-6):
    assert len(one.weights) == len(other.weights)
    for variable, ours, theirs in zip(one.weights, values(one), values(other), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=atol, err_msg=variable.path)


# Of each argument a value that is not its default.
ARGUMENTS = {
    "budget": lambda: 0.21,
    "first": dense("float64"),
    "layer": dense("float64"),
    "learn": lambda: False,
    "limit": lambda: 3.0,
    "mean": lambda: [0.5, -0.5],
    "norm": lambda: keras.regularizers.L1(0.7),
    "rate": lambda: 0.03,
    "scale": lambda: 0.4,
    "second": dense(),
    "seed": lambda: 5,
    "stddev": lambda: 1.7,
    "weight": lambda: 0.2,
}


@pytest.mark.parametrize("kind", exported())
def test_its_configuration_makes_it_again(kind):
    parameters = inspect.signature(kind).parameters
    arguments = {name: ARGUMENTS[name]() for name in parameters if name != "kwargs"}
    layer = kind(**arguments, name="mine", dtype="mixed_bfloat16", trainable=False)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is kind
    assert again.get_config() == layer.get_config()
    assert arguments.keys() <= again.get_config().keys()
    assert (again.name, again.dtype_policy.name, again.trainable) == (
        "mine",
        "mixed_bfloat16",
        False,
    )
    for name, value in arguments.items():
        if not hasattr(value, "get_config"):
            assert again.get_config()[name] == value


@pytest.mark.thorough
@EVERY
def test_it_is_saved_with_the_model_and_training_goes_on(name, data, tmp_path, fixed_noise):
    x, y = data
    model = make_model(name)
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_weights(model, again, atol=0)
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
    losses = [each.fit(x, y, shuffle=False, verbose=0).history["loss"] for each in (model, again)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert_same_weights(model, again)


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_float_types_take_nearly_the_same_step(name, policy, data, fixed_noise):
    if keras.backend.backend() == "jax" and policy != "mixed_bfloat16":
        pytest.skip("JAX has no float64 unless it is told, and no loss scaling here")
    x, y = data
    start = make_model(name).get_weights()
    moved = []
    for each in (policy, "float32"):
        keras.config.set_dtype_policy(each)
        try:
            model = make_model(name)
        finally:
            keras.config.set_dtype_policy("float32")
        model.set_weights(start)
        model.fit(x, y, epochs=2, shuffle=False, verbose=0)
        steps = [after - before for after, before in zip(values(model), start, strict=True)]
        moved.append(np.concatenate([step.ravel() for step in steps]).astype("float64"))
        wrapper = model.get_layer("wrapper")
        wide = name == "gsoftmax" and each.startswith("mixed")
        expected = "float32" if wide else wrapper.compute_dtype
        for outputs in called(wrapper, np.ones((2, 5), "float32"), training=True):
            assert keras.backend.standardize_dtype(outputs.dtype) == expected
    ours, expected = moved
    assert np.linalg.norm(expected) > 0.1
    assert np.linalg.norm(ours - expected) < 0.05 * np.linalg.norm(expected)


@pytest.mark.slow
@EVERY
def test_eager_code_a_graph_and_xla_take_the_same_steps(name, data, fixed_noise):
    x, y = data
    models = []
    for arguments in ({"run_eagerly": True}, {"jit_compile": False}, {"jit_compile": True}):
        keras.utils.set_random_seed(0)
        models.append(make_model(name, **arguments))
        models[-1].fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    eager, graph, xla = models
    assert_same_weights(eager, graph)
    assert_same_weights(xla, graph)


@EVERY
@pytest.mark.tensorflow
def test_two_replicas_take_the_steps_of_one_device(name, data, two_replicas, fixed_noise):
    x, y = data
    results = []
    for strategy in (two_replicas, None):
        keras.utils.set_random_seed(0)
        with strategy.scope() if strategy else nullcontext():
            model = make_model(name)
        history = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0).history
        results.append((model, [*history["loss"], model.evaluate(x, y, verbose=0)]))
    (ours, losses), (expected, expected_losses) = results
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    assert_same_weights(ours, expected)


@EVERY
@pytest.mark.parametrize("training", [False, True])
def test_no_rows_are_no_rows(name, training):
    layer = WRAPPERS[name](dense())
    rows, none = (np.ones((count, 5), "float32") for count in (2, 0))
    outputs = (called(layer, each, training=training) for each in (rows, none))
    for some, empty in zip(*outputs, strict=True):
        assert tuple(empty.shape) == (0, *some.shape[1:])


SHAPES = {
    "dense": (dense(), (5,), (4,)),
    "positions": (dense(), (7, 5), (7, 4)),
    "convolution": (lambda: layers.Conv1D(3, 2), (7, 5), (6, 3)),
    "recurrent": (lambda: layers.LSTM(3), (7, 5), (3,)),
    "unknown": (lambda: layers.LSTM(3, return_sequences=True), (None, 5), (None, 3)),
}


@EVERY
@pytest.mark.parametrize("what", SHAPES)
def test_it_tells_the_shape_of_its_outputs(name, what):
    make, shape, expected = SHAPES[what]
    if name not in WRAPPING:
        expected = shape
    layer = WRAPPERS[name](make)
    told = (None, *shape)
    told = layer.compute_output_shape([told, told] if name == "parameter_tying" else told)
    assert told == ([(None, *expected)] * 2 if name == "parameter_tying" else (None, *expected))
    for output in called(layer, keras.Input(shape)):
        assert output.shape == (None, *expected)
    rows = np.ones((2, *(size or 6 for size in shape)), "float32")
    for output in called(layer, rows):
        assert tuple(output.shape) == (2, *(size or 6 for size in expected))


@pytest.mark.thorough
@pytest.mark.parametrize("name", SINGLE)
def test_it_is_distributed_over_time(name, data):
    x, y = data
    rows = np.stack([x, 2 * x, -x], axis=1)
    wrapper = INERT[name](dense())
    inputs = keras.Input((3, 6))
    outputs = layers.TimeDistributed(wrapper)(inputs)
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(outputs)))
    each = [output_of(wrapper, rows[:, time]) for time in range(3)]
    distributed = keras.Model(inputs, outputs).predict(rows, verbose=0)
    np.testing.assert_allclose(distributed, np.stack(each, axis=1), atol=1e-6)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss)
    losses = model.fit(rows, y, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("name", ["adversarial_dropout", "gsoftmax"])
def test_distributed_over_time_it_is_itself_in_training(name, fixed_noise):
    layer = WRAPPERS[name](None)
    rows = np.random.default_rng(0).normal(size=(4, 3, 5)).astype("float32")
    expected = [layer(rows[:, time], training=True) for time in range(3)]
    outputs = layers.TimeDistributed(layer)(rows, training=True)
    np.testing.assert_allclose(outputs, np.stack(expected, axis=1), atol=1e-6)


EAGERLY = keras.backend.backend() == "tensorflow"  # where a recurrent layer is compiled for long
TOKENS = np.array([[1, 2, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0]] * 4)


def reader(middle, *others):
    """Return a compiled model that reads tokens, of which the number 0 is padding."""
    inputs = keras.Input((6,))
    features = layers.Embedding(5, 6, mask_zero=True, embeddings_initializer="normal")(inputs)
    outputs = middle(features)
    for layer in others:
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss, run_eagerly=EAGERLY)
    return model


def reader_of(layer, *others):
    return reader(lambda features: output_of(layer, features), *others)


@pytest.mark.slow
@pytest.mark.parametrize("sequences", [False, True])
@EVERY
def test_a_mask_of_padding_goes_the_way_it_goes_without(name, sequences):
    """Of eight rows and six positions, so that a mask that is passed on too far does not fit."""
    labels = np.arange(8) % 5

    def lstm():
        return layers.LSTM(7, return_sequences=sequences)

    def others():
        last = [layers.GlobalAveragePooling1D()] if sequences or name not in WRAPPING else []
        return [*last, layers.Dense(5)]

    def without(features):
        if name == "parameter_tying":
            return layers.average([lstm()(features), lstm()(features)])
        return lstm()(features) if name in WRAPPING else features

    model, plain = reader_of(INERT[name](lstm), *others()), reader(without, *others())
    names = [[weight.name for weight in each.trainable_weights] for each in (model, plain)]
    assert names[0] == names[1]
    for ours, theirs in zip(model.trainable_weights, plain.trainable_weights, strict=True):
        theirs.assign(ops.convert_to_numpy(ours))
    for _ in range(2):
        ours, theirs = (each.predict(TOKENS, verbose=0) for each in (model, plain))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
        for each in (model, plain):
            each.fit(TOKENS, labels, shuffle=False, verbose=0)
    for ours, theirs in zip(model.trainable_weights, plain.trainable_weights, strict=True):
        np.testing.assert_allclose(*map(ops.convert_to_numpy, (ours, theirs)), atol=1e-6)


@EVERY
def test_positions_of_padding_do_not_count(name):
    """The mean over the tokens that are there, two and one of six."""
    make = WRAPPERS if name == "gsoftmax" else INERT
    model = reader_of(make[name](lambda: layers.Dense(6)), layers.Dense(5))
    labels = np.random.default_rng(0).integers(5, size=TOKENS.shape)
    logits = model.predict(TOKENS, verbose=0).astype("float64")
    losses = np.log(np.exp(logits).sum(axis=-1)) - np.take_along_axis(
        logits, labels[..., None], axis=-1
    ).squeeze(axis=-1)
    expected = losses[TOKENS != 0].mean()
    assert abs(expected - losses.mean()) > 1e-3
    assert model.evaluate(TOKENS, labels, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_a_layer_that_takes_no_mask_hands_none_on():
    for name in WRAPPING:
        layer = WRAPPERS[name](lambda: layers.Conv1D(3, 2))
        rows = keras.Input((6, 5))
        called(layer, rows)
        pair = name == "parameter_tying"
        masks = layer.compute_mask([rows, rows] if pair else rows, [None, None] if pair else rows)
        assert masks in (None, [None, None])
