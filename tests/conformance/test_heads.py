"""What every head that `keras_softmaxes.layers` exports must do."""

import inspect
import json
import re
import subprocess
import sys
from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import ops
from problems import CLASSES, random_operations, sequential

import keras_softmaxes as ks

BACKEND = keras.backend.backend()
FEATURES = 8
STEEP = keras.optimizers.schedules.InverseTimeDecay(8.0, 1, 1.0)
LINEAR = {
    "kernel_initializer": keras.initializers.HeNormal(seed=3),
    "bias_initializer": "ones",
    "kernel_regularizer": keras.regularizers.L2(0.1),
    "bias_regularizer": "l1",
}
BRANCHED = {"branch_initializer": keras.initializers.GlorotNormal(seed=5), **LINEAR}
# Of each head every argument but `units`, at another value than its default.
SETTINGS = {
    ks.layers.ClassAttention: BRANCHED,
    ks.layers.ClassDropout: {"retain": 0.6, "seed": 3, **LINEAR},
    ks.layers.ClassSampling: {"fraction": 0.6, "seed": 3, **LINEAR},
    ks.layers.DropMax: {"temperature": 0.3, "posterior": "prior", "seed": 3, **BRANCHED},
    ks.layers.GaussianMixture: {
        "learn_covariance": False,
        "mean_initializer": keras.initializers.HeNormal(seed=3),
        "mean_regularizer": "l2",
    },
    ks.layers.LSoftmax: {
        "margin": 2,
        "annealing": STEEP,
        "kernel_initializer": keras.initializers.HeNormal(seed=3),
        "kernel_regularizer": keras.regularizers.L1(0.1),
    },
    ks.layers.ManyClasses: {
        "dense": False,
        "top_k": 2,
        "sampled": 3,
        "sampled_by": "log_uniform",
        "seed": 3,
        **LINEAR,
    },
    ks.layers.PairedGSoftmax: {
        "scale": 0.5,
        "mean": [0.1, 0.2, -0.1, 0.0],
        "stddev": 2.0,
        "learn": False,
        "form": "sigmoids",
        **LINEAR,
    },
    ks.layers.Sparsemax: {"temperature": 2.0, **LINEAR},
}
EXPORTED = [
    each
    for each in vars(ks.layers).values()
    if inspect.isclass(each) and issubclass(each, ks.layers.Head) and each is not ks.layers.Head
]
EACH = pytest.mark.parametrize("kind", EXPORTED)
EAGERLY = {"run_eagerly": True, "jit_compile": False}
WAYS = {
    "tensorflow": [EAGERLY, {"jit_compile": False}, {"jit_compile": True}],
    "jax": [EAGERLY, {"jit_compile": True}],
    "torch": [EAGERLY],
}[BACKEND]
# Whichever way a few steps take the least time: eagerly JAX compiles each operation by itself.
QUICKLY = {"jit_compile": True} if BACKEND == "jax" else EAGERLY


def has_several_labels(kind):
    return kind is ks.layers.PairedGSoftmax


def labels_of(kind, x):
    """The largest of the first features, or those of them that are positive."""
    first = x[..., :CLASSES]
    return (first > 0).astype("int32") if has_several_labels(kind) else first.argmax(axis=-1)


def make_model(kind, network=None, head=None, **arguments):
    """Return a classifier that is compiled without a word of its loss."""
    model = ks.models.Classifier(network or sequential(), head or kind(CLASSES))
    metric = "binary_accuracy" if has_several_labels(kind) else "accuracy"
    model.compile(**{"optimizer": keras.optimizers.Adam(0.05), "metrics": [metric], **arguments})
    return model


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def with_state_kept(model, function):
    """Return a function's value; counters of training calls stay where they were."""
    weights = model.get_weights()
    value = function()
    model.set_weights(weights)
    return value


def test_every_head_has_a_case():
    assert set(SETTINGS) == set(EXPORTED)


@EACH
def test_its_configuration_holds_every_argument(kind):
    _, units, *parameters = inspect.signature(kind.__init__).parameters.values()
    own = [each for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]
    assert units.name == "units"
    assert {each.name for each in own} == set(SETTINGS[kind])
    assert not [each.name for each in own if each.default == SETTINGS[kind][each.name]]
    head = kind(CLASSES, **SETTINGS[kind], name="head", trainable=False)
    config = json.loads(json.dumps(keras.layers.serialize(head)))
    again = keras.layers.deserialize(config)
    assert type(again) is kind
    assert again.get_config() == head.get_config()
    x = random(3, FEATURES)
    for name, tensor in head(x).items():
        np.testing.assert_array_equal(numpy(again(x)[name]), numpy(tensor))
    assert [float(numpy(each)) for each in again.losses] == pytest.approx(
        [float(numpy(each)) for each in head.losses]
    )
    assert not again.trainable_variables


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
@EACH
def test_what_it_returns_and_its_steps_are_finite_in_every_float_type(kind, policy, fixed_masks):
    if policy == "float64" and BACKEND != "tensorflow":
        pytest.skip("Keras computes in 32 bits there")
    x = random(16, FEATURES)
    keras.config.set_dtype_policy(policy)
    try:
        model = make_model(kind, **QUICKLY)
    finally:
        keras.config.set_dtype_policy("float32")
    expected = "float64" if policy == "float64" else "float32"
    for training in (False, True):
        for name, tensor in model(x, training=training).items():
            assert keras.backend.standardize_dtype(tensor.dtype) == expected
            assert np.isfinite(numpy(tensor)).all() or "log_mask" in name
    losses = [model.train_on_batch(x, labels_of(kind, x))[0] for _ in range(3)]
    assert np.isfinite(losses).all()
    assert losses[2] < losses[0]
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@EACH
def test_any_leading_shape_is_that_many_rows(kind):
    head, x = kind(CLASSES), random(2, 3, 5, FEATURES)
    flat = head(x.reshape(-1, FEATURES))
    for shape in ((6, 5), (2, 3, 5)):
        for name, tensor in head(x.reshape(*shape, FEATURES)).items():
            expected = numpy(flat[name]).reshape(*shape, CLASSES)
            np.testing.assert_array_equal(numpy(tensor), expected)


@pytest.mark.parametrize("shape", [(FEATURES,), (2, None), {"a": (2, 3)}, [(2, 3), (2, 3)]])
@EACH
def test_features_of_another_shape_raise_with_a_remedy(kind, shape):
    message = r"`features`.*\(batch, ..., features\).*`Flatten` or a global pooling"
    with pytest.raises(ValueError, match=message):
        kind(CLASSES).build(shape)


@EACH
def test_no_rows_have_no_loss(kind):
    head, x = kind(CLASSES), np.zeros((0, FEATURES), "float32")
    loss = head.default_loss()
    for training in (False, True):
        outputs = head(x, training=training)
        assert {tuple(tensor.shape) for tensor in outputs.values()} == {(0, CLASSES)}
        labels = labels_of(kind, x)
        for value in (loss(labels, outputs), loss.evaluate(labels, outputs)):
            assert numpy(value).sum() == 0


def padded_tokens():
    """Return texts of 3 to 6 words; 0 is padding."""
    tokens = np.random.default_rng(0).integers(1, 20, (12, 6))
    lengths = np.random.default_rng(1).integers(3, 7, 12)
    return np.where(np.arange(6) < lengths[:, None], tokens, 0)


@pytest.mark.slow
@EACH
def test_a_tagger_counts_the_unmasked_tokens_alone(kind, fixed_masks):
    """In its own loss, in evaluation and in its metrics."""
    x = padded_tokens()
    real = x > 0
    y = labels_of(kind, random(20, FEATURES)[x])
    network = keras.Sequential([keras.layers.Embedding(20, 6, mask_zero=True)])
    network.add(keras.layers.Dense(16, activation="tanh"))
    model = make_model(kind, network, **QUICKLY)
    model(x)
    outputs = with_state_kept(model, lambda: model(x, training=True))
    rows = {name: numpy(tensor)[real] for name, tensor in outputs.items()}
    own = float(numpy(model.loss(y[real], rows)))
    likelihood = float(numpy(model.loss.evaluate(y[real], rows)))
    if has_several_labels(kind):
        accuracy = ((rows["probabilities"] > 0.5) == y[real]).mean()
    else:
        accuracy = (rows["probabilities"].argmax(axis=-1) == y[real]).mean()
    val_loss, val_accuracy = model.evaluate(x, y, verbose=0)
    assert val_loss == pytest.approx(likelihood, rel=1e-5)
    assert val_accuracy == pytest.approx(accuracy, rel=1e-5)
    losses = model.fit(x, y, epochs=10, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(own, rel=1e-5)
    assert losses[-1] < losses[0]


@pytest.mark.slow
@EACH
def test_a_segmenter_trains(kind):
    x = random(4, 5, 6, FEATURES)
    network = keras.Sequential([keras.Input((5, 6, FEATURES))])
    network.add(keras.layers.Conv2D(16, 3, padding="same", activation="tanh"))
    model, y = make_model(kind, network, **QUICKLY), labels_of(kind, x)
    before = model.evaluate(x, y, verbose=0)[0]
    losses = model.fit(x, y, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.evaluate(x, y, verbose=0)[0] < 0.8 * before
    assert model.predict(x, verbose=0).shape == (4, 5, 6, CLASSES)


@EACH
def test_every_way_to_execute_takes_the_same_steps_and_survives_extremes(kind, fixed_masks):
    x = random(16, FEATURES)
    y, results = labels_of(kind, x), []
    for way in WAYS:
        keras.utils.set_random_seed(5)
        model = make_model(kind, optimizer=keras.optimizers.SGD(0.1), metrics=[], **way)
        losses = [float(model.train_on_batch(x, y)) for _ in range(3)]
        results.append((losses, model.get_weights()))
        assert np.isfinite(model.train_on_batch(1e4 * x, y))
        assert all(np.isfinite(weight).all() for weight in model.get_weights())
    first, weights = results[0]
    for others, other_weights in results[1:]:
        assert others == pytest.approx(first, rel=1e-5)
        for one, other in zip(weights, other_weights, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


@EACH
def test_features_of_1e4_have_finite_losses(kind):
    """Those that its own kernel sees, and their gradients through the step."""
    x = 1e4 * np.sign(random(16, FEATURES))
    y = labels_of(kind, x)
    model = make_model(kind, keras.layers.Identity(), **EAGERLY)
    assert np.isfinite(model.evaluate(x, y, verbose=0)[0])
    assert np.isfinite(model.train_on_batch(x, y)[0])
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.tensorflow
@EACH
def test_two_replicas_take_the_steps_of_one_device(kind, two_replicas, fixed_masks):
    x = random(64, FEATURES)
    y, weights = labels_of(kind, x), np.linspace(0.5, 1.5, 64)

    def after_two_steps(scope):
        keras.utils.set_random_seed(2)
        with scope:
            model = make_model(kind, optimizer=keras.optimizers.SGD(0.1), metrics=[])
        arguments = {"sample_weight": weights, "batch_size": 32, "verbose": 0}
        history = model.fit(x, y, shuffle=False, **arguments).history
        return model.get_weights(), history["loss"][0], model.evaluate(x, y, **arguments)

    ours, theirs = after_two_steps(two_replicas.scope()), after_two_steps(nullcontext())
    for one, other in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert ours[1:] == pytest.approx(theirs[1:], rel=1e-5)  # the losses that are reported


@EACH
def test_the_summary_of_its_model_names_it(kind):
    lines = []
    model = make_model(kind)
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert model.head.name[:12] in "".join(lines)
    assert f"{model.count_params():,}" in "".join(lines)


@EACH
def test_it_learns_by_its_default_loss_and_serves_probabilities(kind, tmp_path):
    x = random(256, FEATURES)
    y = labels_of(kind, x)
    model = make_model(kind)
    history = model.fit(x, y, epochs=4, validation_data=(x, y), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    if kind is not ks.layers.Sparsemax:  # whose likelihood jumps with each zero
        assert history["val_loss"][-1] < history["val_loss"][0]
    (accuracy,) = (
        values for name, values in history.items() if name.startswith("val_") and "acc" in name
    )
    assert accuracy[-1] > 0.8
    probabilities = model.predict(x, verbose=0)
    np.testing.assert_allclose(probabilities, numpy(model(x)["probabilities"]), atol=1e-6)
    if not has_several_labels(kind):
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        model.export(tmp_path / "served", verbose=False)
        served = tf.saved_model.load(tmp_path / "served")
        for count in (1, 256):
            ours = served.serve(x[:count]).numpy()
            np.testing.assert_allclose(ours, probabilities[:count], atol=1e-6)
        assert not random_operations(served)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model) is ks.models.Classifier
    results = [each.evaluate(x, y, verbose=0) for each in (model, again)]
    assert results[0] == pytest.approx(results[1], rel=1e-6)


@pytest.mark.slow
def test_a_fresh_process_loads_every_head(tmp_path):
    x = random(8, FEATURES)
    expected = {}
    for kind, settings in SETTINGS.items():
        model = make_model(kind, head=kind(CLASSES, **settings), metrics=[], **QUICKLY)
        model.train_on_batch(x, labels_of(kind, x))
        model.save(tmp_path / f"{kind.__name__}.keras")
        expected[kind.__name__] = numpy(model.head.first(model(x), 2)["probabilities"])
    np.save(tmp_path / "x.npy", x)
    program = """
import sys
from pathlib import Path
import keras, numpy as np
import keras_softmaxes as ks
folder, served = Path(sys.argv[1]), {}
x = np.load(folder / "x.npy")
for path in folder.glob("*.keras"):
    model = keras.saving.load_model(path)
    assert type(model) is ks.models.Classifier
    assert type(model.head) is getattr(ks.layers, path.stem)
    assert type(model.loss) is type(model.head.default_loss())
    assert int(model.optimizer.iterations) == 1
    first = model.head.first(model(x), 2)["probabilities"]
    served[path.stem] = keras.ops.convert_to_numpy(first)
np.savez(folder / "served.npz", **served)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    with np.load(tmp_path / "served.npz") as served:
        assert set(served) == {kind.__name__ for kind in EXPORTED}
        for name, probabilities in served.items():
            np.testing.assert_allclose(probabilities, expected[name], atol=1e-6)


LOSSES = [
    ks.losses.WeightedSum([ks.losses.LargeMarginDivergence()], [1.0])
    if each is ks.losses.WeightedSum
    else each()
    for each in vars(ks.losses).values()
    if inspect.isclass(each) and each is not ks.losses.HeadLoss
]


@EACH
def test_a_loss_trains_every_head_that_returns_what_it_reads_and_raises_for_the_others(kind):
    x = random(16, FEATURES)
    model = make_model(kind)
    names = model(x).keys()
    for loss in LOSSES:
        if set(loss.reads) <= names:
            model.compile("sgd", loss, **QUICKLY)
            assert np.isfinite(float(numpy(loss(labels_of(kind, x), model(x, training=True)))))
        else:
            message = f"`loss`.*returns (.*), which `{type(loss).__name__}` reads.*returns (.*)$"
            with pytest.raises(ValueError, match=message) as error:
                model.compile("sgd", loss)
            lists = re.search(message, str(error.value)).groups()
            assert [set(map(repr, each)) for each in (loss.reads, names)] == [
                set(each.split(", ")) for each in lists
            ]


@EACH
def test_losses_that_cannot_read_its_dict_raise(kind):
    model = make_model(kind)
    names = model(random(1, FEATURES)).keys()
    message = rf"`loss`.*HeadLoss.*`{model.head.name}` returns, (.*); None takes its own"
    for loss in (
        "mse",
        "sparse_categorical_crossentropy",
        keras.losses.SparseCategoricalCrossentropy(),
        keras.losses.categorical_crossentropy,
        [model.head.default_loss()],
        {"probabilities": "mse"},
        type(model.head.default_loss()),
    ):
        with pytest.raises(ValueError, match=message) as error:
            model.compile("sgd", loss)
        assert f"Received: loss={loss!r}" in str(error.value)
        (returned,) = re.search(message, str(error.value)).groups()
        assert set(returned.split(", ")) == set(map(repr, names))
