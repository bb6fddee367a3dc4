from contextlib import nullcontext

import keras
import numpy as np
import pytest
from problems import CLASSES, make_derived, make_model, make_subclassed

import keras_softmaxes as ks

WAYS = {
    "default": {},
    "eager": {"run_eagerly": True},
    "several steps": {"steps_per_execution": 3},
    "accumulation": {
        "optimizer": {
            "class_name": "Adam",
            "config": {"learning_rate": 0.1, "gradient_accumulation_steps": 2},
        }
    },
    "XLA": {"jit_compile": True},
}
if keras.backend.backend() == "jax":
    WAYS = {"default": {}, "eager": {"run_eagerly": True, "jit_compile": False}}


@pytest.mark.parametrize(
    ("way", "posterior"), [*((way, "label") for way in WAYS), ("default", "prior")]
)
def test_it_learns(problem, way, posterior):
    x, y = problem
    model = make_model(ks.layers.DropMax(CLASSES, posterior=posterior), **WAYS[way])
    history = model.fit(x, y, epochs=3, validation_data=(x, y), verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert all(np.isfinite(values).all() for values in history.values())
    assert history["val_accuracy"][-1] > 0.8


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
    history = model.fit(x, y, epochs=3, validation_data=(x, y), verbose=0).history
    assert history["val_accuracy"][-1] > 0.8
    assert np.isfinite(history["loss"]).all()
    is_scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert is_scaled == (policy == "mixed_float16")
    assert model.predict(x, verbose=0).dtype == "float32"


def negative_log_likelihood(model, x, y):
    return -np.log(model.predict(x, verbose=0)[np.arange(len(y)), y]).mean()


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
def test_weights_of_zero_remove_every_term_of_the_objective(problem, kind, fixed_masks):
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

    everything = weights_after(slice(None), 0.1, **weights)
    without = weights_after(kept, 0.1 * kept.mean())
    for one, other in zip(everything, without, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.tensorflow
def test_a_step_on_two_replicas_is_the_step_on_one(problem, fixed_masks, two_replicas):
    x, y = problem
    weights = np.linspace(0.5, 1.5, len(y)).astype("float32")

    def after_a_step(strategy):
        keras.utils.set_random_seed(2)
        with strategy.scope() if strategy else nullcontext():
            model = make_model(optimizer="sgd", weighted_metrics=[])
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
    model.fit(x, y, epochs=3, verbose=0)
    _, accuracy = model.evaluate(x, y, batch_size=256, verbose=0)
    assert accuracy > 0.8
    assert model.predict(x[:10], verbose=0).shape == (10, CLASSES)


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


def test_functional_and_subclassed_models_live_in_one_process(problem):
    """Keras turns a class that is used functionally into a functional one for good."""
    x, _ = problem
    functional = [make_model, make_derived, lambda: BuildsItself(8, CLASSES)]
    subclassed = [make_subclassed, lambda: TakesArguments(8, CLASSES)]
    for make in (*functional, *subclassed, *functional):
        assert make().predict(x, verbose=0).shape == (len(x), CLASSES)
    inputs = keras.Input((8,))
    model = ks.models.Classifier(inputs=inputs, outputs=ks.layers.DropMax(CLASSES)(inputs))
    assert isinstance(model, ks.models.Classifier)
