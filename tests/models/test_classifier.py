import copy
import pickle
import subprocess
import sys
from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import ops

import keras_softmaxes as ks
import keras_softmaxes.layers.dropmax as dropmax_layer

CLASSES = 4


@pytest.fixture
def problem():
    """Features whose largest of four coordinates is the label."""
    x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
    return x, x[:, :CLASSES].argmax(axis=1)


def make_model(head=None, loss=None, **compile_arguments):
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    outputs = (head or ks.layers.DropMax(CLASSES))(hidden)
    model = ks.models.Classifier(inputs, outputs)
    arguments = {"optimizer": keras.optimizers.Adam(0.01), "metrics": ["accuracy"]}
    model.compile(loss=loss or ks.losses.DropMaxLoss(), **{**arguments, **compile_arguments})
    return model


def negative_log_likelihood(model, x, y):
    return -np.log(model.predict(x, verbose=0)[np.arange(len(y)), y]).mean()


class Subclassed(ks.models.Classifier):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(16, activation="relu")
        self.head = ks.layers.DropMax(CLASSES)

    def call(self, inputs, training=False):
        return self.head(self.hidden(inputs), training=training)


WAYS = {
    "default": {},
    "eager": {"run_eagerly": True},
    "several steps": {"steps_per_execution": 3},
    "accumulation": {"optimizer": keras.optimizers.Adam(0.02, gradient_accumulation_steps=2)},
    "XLA": {"jit_compile": True},
}
if keras.backend.backend() == "jax":
    WAYS = {"default": {}, "eager": {"run_eagerly": True, "jit_compile": False}}


@pytest.mark.parametrize("posterior", ["label", "prior"])
@pytest.mark.parametrize("way", WAYS)
def test_it_learns(problem, way, posterior):
    x, y = problem
    arguments = dict(WAYS[way])
    if "optimizer" in arguments:
        arguments["optimizer"] = keras.optimizers.Adam.from_config(
            arguments["optimizer"].get_config()
        )
    model = make_model(ks.layers.DropMax(CLASSES, posterior=posterior), **arguments)
    epochs = 3 if way == "eager" else 12
    history = model.fit(x, y, epochs=epochs, validation_data=(x, y), verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert all(np.isfinite(values).all() for values in history.values())
    if way != "eager":
        assert history["val_accuracy"][-1] > 0.6


@pytest.mark.tensorflow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_learns_in_mixed_precision(problem, policy, jit_compile):
    x, y = problem
    keras.config.set_dtype_policy(policy)
    try:
        model = make_model(jit_compile=jit_compile)
    finally:
        keras.config.set_dtype_policy("float32")
    history = model.fit(x, y, epochs=12, validation_data=(x, y), verbose=0).history
    assert history["val_accuracy"][-1] > 0.6
    assert np.isfinite(history["loss"]).all()
    is_scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert is_scaled == (policy == "mixed_float16")
    assert model.predict(x, verbose=0).dtype == "float32"


def test_evaluation_is_the_likelihood_of_the_probabilities(problem):
    x, y = problem
    for form in (np.asarray, lambda labels: labels[:, None], keras.utils.to_categorical):
        model = make_model()
        model.fit(x, form(y), verbose=0)
        for labels in (y, (y + 1) % CLASSES):
            loss, accuracy = model.evaluate(x, form(labels), batch_size=64, verbose=0)
            assert loss == pytest.approx(negative_log_likelihood(model, x, labels), rel=1e-5)
            expected = (model.predict(x, verbose=0).argmax(axis=1) == labels).mean()
            assert accuracy == pytest.approx(expected, abs=1e-6)


def test_evaluation_is_the_same_for_every_training_loss(problem):
    x, y = problem
    model = make_model(loss=ks.losses.DropMaxLoss(entropy_weight=0.01, reduction="sum"))
    first = model.evaluate(x, y, verbose=0)[0]
    assert first == pytest.approx(negative_log_likelihood(model, x, y), rel=1e-5)
    assert model.evaluate(x, y, verbose=0)[0] == first


def test_sample_weights_act_in_training_and_evaluation(problem):
    x, y = problem
    weights = np.linspace(0, 2, len(y)).astype("float32")
    model = make_model()
    loss = model.evaluate(x, y, sample_weight=weights, batch_size=256, verbose=0)[0]
    probabilities = model.predict(x, verbose=0)[np.arange(len(y)), y]
    assert loss == pytest.approx((-np.log(probabilities) * weights).mean(), rel=1e-5)


@pytest.mark.parametrize("kind", ["sample", "class"])
def test_weights_of_zero_remove_every_term_of_the_objective(problem, kind, monkeypatch):
    """Training with rows of weight zero is training without them, but for the mean's divisor."""
    x, y = problem
    kept = y < 2
    weights = {
        "sample": {"sample_weight": kept.astype("float32")},
        "class": {"class_weight": {0: 1.0, 1: 1.0, 2: 0.0, 3: 0.0}},
    }[kind]

    def weights_after(rows, scale, **arguments):
        keras.utils.set_random_seed(1)
        model = make_model(optimizer=keras.optimizers.SGD(scale))
        model.fit(x[rows], y[rows], batch_size=256, shuffle=False, verbose=0, **arguments)
        return model.get_weights()

    monkeypatch.setattr(dropmax_layer, "draw_log_mask", fixed_mask)
    everything = weights_after(slice(None), 0.1, **weights)
    without = weights_after(kept, 0.1 * kept.mean())
    for one, other in zip(everything, without, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def fixed_mask(logits, temperature, generator):
    """A draw without randomness."""
    return ks.ops.dropmax_log_mask(logits, ops.full_like(logits, 0.3), temperature)


@pytest.mark.tensorflow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_step_on_two_replicas_is_the_step_on_one(problem, optimizer, monkeypatch, two_replicas):
    monkeypatch.setattr(dropmax_layer, "draw_log_mask", fixed_mask)
    x, y = problem
    weights = np.linspace(0.5, 1.5, len(y)).astype("float32")

    def after_a_step(strategy):
        keras.utils.set_random_seed(2)
        with strategy.scope() if strategy else nullcontext():
            model = make_model(optimizer=optimizer, weighted_metrics=[])
        history = model.fit(
            x, y, sample_weight=weights, batch_size=256, shuffle=False, verbose=0
        ).history
        evaluation = model.evaluate(x, y, batch_size=256, verbose=0, return_dict=True)
        return model.get_weights(), history["loss"][0], evaluation["loss"]

    ours = after_a_step(two_replicas)
    theirs = after_a_step(None)
    for one, other in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert ours[1:] == pytest.approx(theirs[1:], rel=1e-5)  # the losses that are reported


@pytest.mark.tensorflow
def test_it_learns_on_two_replicas_with_compiled_kernels(problem, two_replicas):
    x, y = problem
    with two_replicas.scope():
        model = make_model()
    history = model.fit(x, y, epochs=12, validation_data=(x, y), verbose=0).history
    assert history["val_accuracy"][-1] > 0.6
    assert model.predict(x[:10], verbose=0).shape == (10, CLASSES)


def test_training_is_deterministic_under_the_global_seed(problem):
    x, y = problem
    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = make_model()
        model.fit(x, y, epochs=2, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_fresh_process_loads_it_after_importing_the_package(problem, tmp_path):
    x, y = problem
    model = make_model(ks.layers.DropMax(CLASSES, temperature=0.2, posterior="prior"))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    program = """
import sys, numpy as np, keras, keras_softmaxes
folder = sys.argv[1]
model = keras.saving.load_model(folder + "/model.keras")
assert type(model).__name__ == "Classifier" and isinstance(model, keras_softmaxes.models.Classifier)
x, y = np.load(folder + "/x.npy"), np.load(folder + "/y.npy")
np.save(folder + "/served.npy", model.predict(x, verbose=0))
before = int(model.optimizer.iterations)
model.fit(x, y, verbose=0)
assert int(model.optimizer.iterations) == 2 * before > 0
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    served = np.load(tmp_path / "served.npy")
    np.testing.assert_allclose(served, model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize("make", [lambda: make_functional(), lambda: make_derived()])
def test_it_is_copied_pickled_and_saved_as_what_it_is(problem, make, tmp_path):
    x, y = problem
    model = make()
    model.fit(x, y, verbose=0)
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    copies = {
        "pickled": pickle.loads(pickle.dumps(model)),
        "copied": copy.deepcopy(model),
        "saved": keras.saving.load_model(tmp_path / "model.keras"),
    }
    for how, again in copies.items():
        assert type(again) is type(model), how
        np.testing.assert_allclose(again.predict(x, verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_inputs_may_be_named_and_batches_of_unknown_size(problem, jit_compile):
    import tensorflow as tf

    x, y = problem
    inputs = {"left": keras.Input((4,), name="left"), "right": keras.Input((4,), name="right")}
    joined = keras.layers.Concatenate()(list(inputs.values()))
    model = ks.models.Classifier(inputs, ks.layers.DropMax(CLASSES)(joined))
    model.compile("adam", loss=ks.losses.DropMaxLoss(), jit_compile=jit_compile)
    parts = {"left": x[:, :4], "right": x[:, 4:]}
    batches = tf.data.Dataset.from_tensor_slices((parts, y)).batch(100)
    history = model.fit(batches, validation_data=batches, shuffle=False, verbose=0).history
    assert history["val_loss"][0] == pytest.approx(
        negative_log_likelihood(model, parts, y), rel=1e-5
    )
    result = ks.models.monte_carlo(model, parts, samples=2, batch_size=100)
    assert np.isfinite(result["mean"]).all()


@pytest.mark.tensorflow
def test_the_loss_is_a_kernel_compiled_by_xla_on_every_replica(problem, two_replicas):
    import tensorflow as tf

    x, y = problem
    with two_replicas.scope():
        model = make_model()
    model.fit(x, y, verbose=0)
    step = tf.function(
        lambda data: two_replicas.run(model.train_step, args=(data,)), autograph=False
    )
    graph = step.get_concrete_function((tf.constant(x), tf.constant(y))).graph.as_graph_def()
    compiled = [f.signature.name for f in graph.library.function if f.attr["_XlaMustCompile"].b]
    assert len([name for name in compiled if "objective" in name]) >= 2


@pytest.mark.parametrize(
    "loss",
    [
        "mse",
        "categorical_crossentropy",
        keras.losses.MeanSquaredError(),
        [keras.losses.mean_squared_error],
        {"head": "mse"},
        ks.losses.LargeMarginCrossentropy(),
        ks.losses.LSoftmaxLoss(),
        [ks.losses.GaussianMixtureLoss()],
    ],
)
def test_a_loss_of_logits_is_refused_on_evidence(problem, loss):
    """It would take (4, classes) labels for those of (4, 4, classes) evidence."""
    x, y = problem
    model = make_model(loss=loss)
    with pytest.raises(ValueError, match=r"`loss`.*DropMaxLoss.*Received: loss="):
        model.fit(x[:4], keras.utils.to_categorical(y[:4], CLASSES), verbose=0)


@pytest.mark.parametrize(
    ("combine", "names"),
    [
        (lambda head, other: [head, other], r"'0/evidence', '0/probabilities', '1'"),
        (lambda head, other: {"a": head, "b": other}, r"'a/evidence', 'a/probabilities', 'b'"),
        (lambda head, other: {**head, "other": other}, r"'evidence', 'other', 'probabilities'"),
    ],
)
def test_an_output_beside_the_head_is_refused(problem, combine, names):
    x, _ = problem

    class WithOther(ks.models.Classifier):
        def call(self, inputs):
            return combine(ks.layers.DropMax(CLASSES)(inputs), inputs)

    inputs = keras.Input((8,))
    outputs = combine(ks.layers.DropMax(CLASSES)(inputs), inputs)
    message = f"`outputs`.*only output.*{names}"
    with pytest.raises(ValueError, match=message):
        ks.models.Classifier(inputs, outputs)
    with pytest.raises(ValueError, match=message):
        WithOther()(x)


@pytest.mark.tensorflow
def test_float_classes_are_refused_under_a_strategy_too(problem, two_replicas):
    import tensorflow as tf

    x, y = problem
    with two_replicas.scope():
        model = make_model(metrics=[])
    with pytest.raises(tf.errors.InvalidArgumentError, match="integer classes"):
        model.fit(x, y.astype("float32"), verbose=0)


def test_training_resumes_where_it_stopped(problem, tmp_path, monkeypatch):
    """Two epochs, saved and loaded in between, are two epochs."""
    monkeypatch.setattr(dropmax_layer, "draw_log_mask", fixed_mask)
    x, y = problem
    keras.utils.set_random_seed(4)
    whole = make_model()
    whole.fit(x, y, epochs=2, shuffle=False, verbose=0)
    keras.utils.set_random_seed(4)
    half = make_model()
    half.fit(x, y, shuffle=False, verbose=0)
    half.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    resumed.fit(x, y, shuffle=False, verbose=0)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def make_functional():
    return make_model()


@keras.saving.register_keras_serializable("tests")
class Derived(ks.models.Classifier):
    """A class of the user's own that is used functionally."""

    def predict_twice(self, x):
        return 2 * self.predict(x, verbose=0)


class BuildsItself(ks.models.Classifier):
    """A functional model whose constructor takes something else."""

    def __init__(self, features, classes):
        inputs = keras.Input((features,))
        super().__init__(inputs, ks.layers.DropMax(classes)(inputs))


class TakesArguments(ks.models.Classifier):
    """A subclassed model with two positional arguments, as a functional one has."""

    def __init__(self, units, classes):
        super().__init__()
        self.hidden = keras.layers.Dense(units)
        self.head = ks.layers.DropMax(classes)

    def call(self, inputs, training=False):
        return self.head(self.hidden(inputs), training=training)


def make_derived():
    inputs = keras.Input((8,))
    model = Derived(inputs, ks.layers.DropMax(CLASSES)(inputs))
    model.compile("adam", loss=ks.losses.DropMaxLoss())
    return model


def make_subclassed():
    model = Subclassed()
    model.compile(keras.optimizers.Adam(0.01), loss=ks.losses.DropMaxLoss(), metrics=["accuracy"])
    return model


@pytest.mark.tensorflow
@pytest.mark.parametrize("make", [make_functional, make_subclassed])
def test_the_export_serves_probabilities_of_any_batch_and_draws_nothing(problem, make, tmp_path):
    import tensorflow as tf

    x, y = problem
    model = make()
    model.fit(x, y, verbose=0)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    for count in (1, 3, 256):
        expected = model.predict(x[:count], verbose=0)
        np.testing.assert_allclose(served.serve(x[:count]).numpy(), expected, atol=1e-6)
    graph = served.signatures["serving_default"].graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    assert not [node.op for node in nodes if "random" in node.op.lower()]
    assert set(model(x[:2])) == {"probabilities", "evidence"}  # exporting changes nothing


@pytest.mark.tensorflow
def test_a_plain_head_behaves_as_in_a_plain_model(problem):
    x, y = problem

    def results(model_class):
        keras.utils.set_random_seed(5)
        inputs = keras.Input((8,))
        model = model_class(inputs, keras.layers.Dense(CLASSES, kernel_regularizer="l2")(inputs))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss=loss, metrics=["accuracy"])
        history = model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0).history
        return history, model.predict(x, verbose=0)

    ours, theirs = results(ks.models.Classifier), results(keras.Model)
    assert ours[0] == theirs[0]
    np.testing.assert_array_equal(ours[1], theirs[1])


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(256, CLASSES), "classes from 0 to 3"),
        (np.full((256, CLASSES), 0.25, "float32"), "one-hot rows"),
        (np.zeros(256, "float32"), "float32"),
        (np.zeros((256, 2, 2), "int32"), r"\(batch,\) or \(batch, 1\), or one-hot"),
    ],
)
def test_bad_labels_are_refused_in_fit_and_evaluate(problem, labels, message):
    x, _ = problem
    model = make_model(metrics=[])
    for use in (model.fit, model.evaluate):
        with pytest.raises(Exception, match=message) as error:
            use(x, labels, verbose=0)
        assert error.type.__name__ in ("ValueError", "InvalidArgumentError")


def test_bad_labels_are_nan_where_nothing_can_be_raised(problem):
    x, y = problem
    model = make_model(jit_compile=True, metrics=[])
    smoothed = keras.utils.to_categorical(y) * 0.9 + 0.1 / CLASSES
    assert np.isnan(model.evaluate(x, smoothed, verbose=0))
    assert np.isnan(model.fit(x, smoothed, verbose=0).history["loss"][0])


def plain_functional():
    inputs = keras.Input((8,))
    return keras.Model(inputs, ks.layers.DropMax(CLASSES)(inputs))


def plain_sequential():
    return keras.Sequential([keras.Input((8,)), ks.layers.DropMax(CLASSES)])


def plain_around_a_classifier():
    inputs = keras.Input((8,))
    return keras.Model(
        inputs, ks.models.Classifier(inputs, ks.layers.DropMax(CLASSES)(inputs))(inputs)
    )


@pytest.mark.parametrize("make", [plain_functional, plain_sequential, plain_around_a_classifier])
@pytest.mark.parametrize("loss", [ks.losses.DropMaxLoss(), "sparse_categorical_crossentropy"])
def test_a_plain_model_with_a_single_loss_refuses_evidence(problem, make, loss):
    x, y = problem
    model = make()
    model.compile("adam", loss=loss)
    for use in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"`model`.*Expected .*Classifier.*Received: model="):
            use(x, y, verbose=0)


def test_a_plain_model_may_use_the_parts_of_the_evidence(problem):
    """Each of these reads the dict rightly, with no `Classifier`."""
    x, y = problem
    inputs = keras.Input((8,))
    outputs = ks.layers.DropMax(CLASSES)(inputs)

    class RoutesItself(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ks.losses.DropMaxLoss()(y, y_pred["evidence"], sample_weight)

    models = {
        "evidence": keras.Model(inputs, outputs["evidence"]),
        "a loss each": keras.Model(inputs, outputs),
        "its own loss": RoutesItself(inputs, outputs),
    }
    losses = {"a loss each": {"evidence": ks.losses.DropMaxLoss(), "probabilities": None}}
    for how, model in models.items():
        model.compile("adam", loss=losses.get(how, ks.losses.DropMaxLoss()))
        labels = {"evidence": y, "probabilities": y} if how == "a loss each" else y
        assert np.isfinite(model.fit(x, labels, verbose=0).history["loss"]).all(), how


def test_a_plain_subclass_is_refused_by_keras(problem):
    """What a subclass returns is known to nobody before the loss, and Keras fails ahead of that."""
    x, y = problem

    class Plain(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = ks.layers.DropMax(CLASSES)

        def call(self, inputs):
            return self.head(inputs)

    model = Plain()
    model.compile("adam", loss=ks.losses.DropMaxLoss())
    with pytest.raises(KeyError, match=r"The path: .* in the `loss` argument, can't be found"):
        model.fit(x, y, verbose=0)


def test_functional_and_subclassed_models_live_in_one_process(problem):
    """Keras turns a class that is used functionally into a functional one for good."""
    x, _ = problem
    functional = [make_functional, make_derived, lambda: BuildsItself(8, CLASSES)]
    subclassed = [make_subclassed, lambda: TakesArguments(8, CLASSES)]
    for make in (*functional, *subclassed, *functional):
        assert make().predict(x, verbose=0).shape == (len(x), CLASSES)
    inputs = keras.Input((8,))
    model = ks.models.Classifier(inputs=inputs, outputs=ks.layers.DropMax(CLASSES)(inputs))
    assert isinstance(model, ks.models.Classifier)
