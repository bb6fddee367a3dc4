"""How a Classifier trains and evaluates, whatever its network, by the head of DropMax."""

import gc
import weakref
from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import ops
from problems import CLASSES, make_model, sequential

import keras_softmaxes as ks

BACKEND = keras.backend.backend()
EAGERLY = {"run_eagerly": True, "jit_compile": False}
WAYS = {
    "default": {},
    "eager": EAGERLY,
    "several steps": {"steps_per_execution": 3},
    "accumulation": {
        "optimizer": {
            "class_name": "Adam",
            "config": {"learning_rate": 0.1, "gradient_accumulation_steps": 2},
        }
    },
    "XLA": {"jit_compile": True},
}
if BACKEND != "tensorflow":
    WAYS = {"default": {}, "eager": EAGERLY}


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_an_optimizer_is_all_that_compile_needs(problem):
    x, y = problem
    model = ks.models.Classifier(sequential(), ks.layers.DropMax(CLASSES))
    model.compile("adam")
    history = model.fit(x, y, validation_data=(x, y), verbose=0).history
    assert set(history) == {"loss", "val_loss"}
    assert type(model.loss) is ks.losses.DropMaxLoss


def negative_log_likelihood(model, x, y):
    return -np.log(model.predict(x, verbose=0)[np.arange(len(y)), y]).mean()


@pytest.mark.slow
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


def test_sample_weights_act_in_training_and_evaluation(problem, fixed_masks):
    x, y = problem
    weights = np.linspace(0, 2, len(y)).astype("float32")
    model = make_model()
    evaluation = model.evaluate(x, y, sample_weight=weights, batch_size=256, verbose=0)[0]
    probabilities = model.predict(x, verbose=0)[np.arange(len(y)), y]
    assert evaluation == pytest.approx((-np.log(probabilities) * weights).mean(), rel=1e-5)
    each = ks.losses.DropMaxLoss(reduction="none")(y, model(x, training=True))
    model.reset_metrics()  # older Keras goes on from the evaluation
    loss = model.train_on_batch(x, y, sample_weight=weights)[0]
    assert loss == pytest.approx((numpy(each) * weights).mean(), rel=1e-5)


@pytest.mark.slow
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


class Activity(keras.layers.Layer):
    """The mean activity as a penalty, as newer versions of Keras regularise activities."""

    def call(self, inputs):
        self.add_loss(0.01 * keras.ops.mean(keras.ops.sum(inputs**2, axis=-1)))
        return inputs


def penalized():
    """A network and a head with every kind of regulariser."""
    network = keras.Sequential([keras.Input((8,))])
    network.add(keras.layers.Dense(16, kernel_regularizer="l1"))
    network.add(Activity())
    return network, ks.layers.DropMax(CLASSES, kernel_regularizer=keras.regularizers.L2(0.5))


@pytest.mark.slow
def test_regularisers_are_in_the_training_loss_and_not_in_evaluation(problem, fixed_masks):
    x, y = problem
    network, head = penalized()
    model = make_model(head, network=network)
    outputs = model(x, training=True)
    features = numpy(network(x))
    penalty = 0.01 * np.abs(numpy(network.layers[0].kernel)).sum()
    penalty += 0.01 * (features**2).sum() / len(x)
    penalty += 0.5 * (numpy(head.logits.kernel) ** 2).sum()
    expected = float(numpy(model.loss(y, outputs))) + penalty
    likelihood = negative_log_likelihood(model, x, y)
    assert model.evaluate(x, y, verbose=0)[0] == pytest.approx(likelihood, rel=1e-5)
    model.reset_metrics()  # older Keras goes on from the evaluation
    assert model.train_on_batch(x, y)[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.tensorflow
def test_regularisers_count_once_on_two_replicas(problem, two_replicas, fixed_masks):
    x, y = problem

    def after_a_step(scope):
        keras.utils.set_random_seed(2)
        with scope:
            network, head = penalized()
            model = make_model(head, network=network, optimizer=keras.optimizers.SGD(0.1))
        history = model.fit(x, y, batch_size=256, shuffle=False, verbose=0).history
        return model.get_weights(), history["loss"]

    ours, theirs = after_a_step(two_replicas.scope()), after_a_step(nullcontext())
    assert ours[1] == pytest.approx(theirs[1], rel=1e-5)
    for one, other in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


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


@pytest.mark.slow
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


@pytest.mark.tensorflow
def test_a_loop_of_ones_own_takes_the_step_of_fit(problem, fixed_masks):
    import tensorflow as tf

    x, y = problem
    model = make_model(optimizer=keras.optimizers.SGD(0.1), metrics=[])
    start = model.get_weights()
    expected = model.train_on_batch(x, y)
    trained = model.get_weights()
    model.set_weights(start)
    with tf.GradientTape() as tape:
        loss = model.loss(y, model(x, training=True))
    variables = model.trainable_variables
    model.optimizer.apply(tape.gradient(loss, variables), variables)
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    for one, other in zip(model.get_weights(), trained, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def two_inputs(kind):
    """Return a network of two inputs, in a dict or a list, and a function that splits x so."""
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    joined = keras.layers.Concatenate()([left, right])
    hidden = keras.layers.Dense(16, activation="relu")(joined)
    names = {"left": left, "right": right}
    if kind is dict:
        return keras.Model(names, hidden), lambda x: {"left": x[:, :4], "right": x[:, 4:]}
    return keras.Model([left, right], hidden), lambda x: [x[:, :4], x[:, 4:]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [dict, list])
def test_a_network_may_have_several_inputs(problem, kind, tmp_path):
    x, y = problem
    network, split = two_inputs(kind)
    model = make_model(network=network)
    history = model.fit(split(x), y, epochs=3, validation_data=(split(x), y), verbose=0).history
    assert history["val_accuracy"][-1] > 0.8
    likelihood = negative_log_likelihood(model, split(x), y)
    assert history["val_loss"][-1] == pytest.approx(likelihood, rel=1e-5)
    expected = model.predict(split(x), verbose=0)
    assert np.isfinite(ks.models.monte_carlo(model, split(x), samples=2)["mean"]).all()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(split(x), verbose=0), expected, atol=1e-6)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        again.export(tmp_path / "served", verbose=False)
        served = tf.saved_model.load(tmp_path / "served")
        np.testing.assert_allclose(served.serve(split(x[:3])), expected[:3], atol=1e-6)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_batches_may_be_of_unknown_size(problem, jit_compile):
    import tensorflow as tf

    x, y = problem
    network, split = two_inputs(dict)
    model = make_model(network=network, jit_compile=jit_compile)
    batches = tf.data.Dataset.from_tensor_slices((split(x), y)).batch(128)
    history = model.fit(batches, validation_data=batches, shuffle=False, verbose=0).history
    likelihood = negative_log_likelihood(model, split(x), y)
    assert history["val_loss"][0] == pytest.approx(likelihood, rel=1e-5)


class Forgets(ks.models.Classifier):
    """Takes `training`, and does not hand it on."""

    def call(self, inputs, training=None):
        return self.head(self.network(inputs))


def test_a_subclass_that_does_not_hand_training_on_trains_with_masks(problem):
    x, y = problem
    model = Forgets(sequential(), ks.layers.DropMax(CLASSES))
    draws = [numpy(model(x, training=True)["log_mask"]) for _ in range(2)]
    assert (draws[0] != draws[1]).mean() > 0.9
    model.compile(keras.optimizers.SGD(0.0))  # so that nothing but the masks can change the loss
    losses = model.fit(x, y, epochs=3, batch_size=256, verbose=0).history["loss"]
    assert len(set(losses)) == 3
    assert len({model.evaluate(x, y, verbose=0) for _ in range(2)}) == 1


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize(("fitted", "count"), [(False, 100), (True, 10)])
def test_models_and_their_classes_are_freed(problem, fitted, count):
    x, y = (each[:8] for each in problem)

    def make():
        class Own(ks.models.Classifier):
            pass

        model = Own(keras.layers.Dense(4), ks.layers.DropMax(CLASSES))
        model(x)
        if fitted:
            model.compile("sgd", **EAGERLY)
            model.fit(x, y, verbose=0)
        return weakref.ref(model), weakref.ref(Own)

    references = [reference for _ in range(count) for reference in make()]
    gc.collect()
    assert not [reference for reference in references if reference() is not None]
