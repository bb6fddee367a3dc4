import gc
from contextlib import nullcontext

import keras
import numpy as np
import pytest
from cut_models import CutModel, Hooked, compiled_cut, indexed, make_cut_model, softmax
from problems import CLASSES

import keras_softmaxes as ks
from keras_softmaxes.support._arguments import INDEX

pytestmark = pytest.mark.tensorflow
TemporalEnsembling = ks.perturbations.TemporalEnsembling


def state(model):
    (perturbation,) = model._training.perturbations
    return [variable.numpy() for variable in perturbation.variables]


def make(strategy=None, **arguments):
    keras.utils.set_random_seed(0)
    with strategy.scope() if strategy else nullcontext():
        return make_cut_model(
            [TemporalEnsembling(3.0, momentum=0.6, examples=300)],
            rate=0.0,
            **{"optimizer": keras.optimizers.SGD(0.5), **arguments},
        )


def test_three_epochs_are_those_computed_by_hand(problem):
    """Without noise the predictions of a step are those of `predict` before it."""
    x, y = problem
    model = make()
    ensemble, updates, losses = np.zeros((256, 4)), np.zeros(256), []
    for epoch in range(3):
        rows = np.random.default_rng(epoch).permutation(256)[:128]
        predicted = softmax(model.predict(x[rows], verbose=0).astype("float64"))
        seen = updates[rows] > 0
        target = ensemble[rows] / np.where(seen, 1 - 0.6 ** updates[rows], 1)[:, None]
        distance = np.where(seen, ((predicted - target) ** 2).sum(axis=1), 0)
        cross_entropy = -np.log(predicted[np.arange(128), y[rows]])
        losses.append(cross_entropy.mean() + 3 * distance.mean())
        ensemble[rows] = 0.6 * ensemble[rows] + 0.4 * predicted
        updates[rows] += 1
        history = model.fit(
            indexed(x[rows], rows), y[rows], batch_size=128, shuffle=False, verbose=0
        ).history
        assert history["loss"] == pytest.approx(losses[-1:], rel=1e-5)
    ours, our_updates = state(model)
    np.testing.assert_allclose(ours[:256], ensemble, atol=1e-6)
    np.testing.assert_array_equal(our_updates[:256], updates)
    assert not ours[256:].any()
    assert (seen & (distance > 1e-4)).any()


def test_the_target_is_a_constant(problem):
    """A step with a target that stays put has the gradient of the squared distance to it."""
    import tensorflow as tf

    x, y = problem
    model = make()
    model.fit(indexed(x), y, batch_size=256, shuffle=False, verbose=0)
    target = state(model)[0][:256] / 0.4
    with tf.GradientTape() as tape:
        logits = model(x)
        distance = tf.reduce_sum((tf.nn.softmax(logits) - target) ** 2, axis=1)
        loss = model.loss(y, logits) + 3 * tf.reduce_mean(distance)
    gradients = tape.gradient(loss, model.trainable_variables)
    expected = [v - 0.5 * g for v, g in zip(model.trainable_variables, gradients, strict=True)]
    model.fit(indexed(x), y, batch_size=256, shuffle=False, verbose=0)
    for one, other in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_two_replicas_hold_what_one_does(problem, two_replicas):
    x, y = problem
    results = []
    for strategy in (None, two_replicas):
        model = make(strategy)
        history = model.fit(indexed(x), y, batch_size=64, epochs=3, shuffle=False, verbose=0)
        results.append((history.history["loss"], state(model), model.get_weights()))
    (loss, ours, weights), (other_loss, others, other_weights) = results
    assert loss == pytest.approx(other_loss, rel=1e-5)
    for one, other in zip([*ours, *weights], [*others, *other_weights], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("through", ["model", "weights"])
def test_it_is_saved_and_resumes(problem, tmp_path, through):
    x, y = problem
    model = make()
    model.fit(indexed(x), y, epochs=2, shuffle=False, verbose=0)
    if through == "model":
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
    else:
        model.save_weights(tmp_path / "model.weights.h5")
        again = make()
        again.load_weights(tmp_path / "model.weights.h5")
    for one, other in zip(state(model), state(again), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.any()
    losses = [
        each.fit(indexed(x), y, shuffle=False, verbose=0).history["loss"] for each in (model, again)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_other_models_read_its_weights_and_it_starts_anew_from_theirs(problem, tmp_path):
    x, y = problem
    model = make()
    model.fit(indexed(x), y, verbose=0)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    other = make_cut_model([], rate=0.0)
    other.load_weights(tmp_path / "model.weights.h5")
    for each in (loaded, other):
        np.testing.assert_array_equal(each.predict(x, verbose=0), model.predict(x, verbose=0))
    other.save_weights(tmp_path / "plain.weights.h5")
    fresh = make()
    fresh.load_weights(tmp_path / "plain.weights.h5")
    np.testing.assert_array_equal(fresh.get_weights()[0], model.get_weights()[0])
    assert not state(fresh)[0].any()


def test_an_object_is_that_of_one_model(problem):
    x, y = problem
    perturbation = TemporalEnsembling(examples=300)
    first = make_cut_model([perturbation])
    first.fit(indexed(x), y, verbose=0)
    trained = perturbation.variables
    compiled_cut(first, [perturbation])
    assert perturbation.variables is trained
    with pytest.raises(
        ValueError, match=r"`perturbations`. Expected an object of its own for each"
    ):
        make_cut_model([perturbation])
    assert perturbation.variables is trained
    assert trained[1].numpy().sum() == 256


@pytest.mark.slow
def test_the_object_of_a_model_that_is_gone_starts_anew(problem):
    x, y = problem
    perturbation = TemporalEnsembling(examples=300)
    first = make_cut_model([perturbation], run_eagerly=True)
    first.train_on_batch(indexed(x), y)
    del first
    gc.collect()
    make_cut_model([perturbation])
    assert not perturbation.variables[1].numpy().any()


def test_an_example_that_is_there_twice_counts_once_with_the_mean(problem):
    x, y = problem
    model = make()
    rows = np.array([3, 7, 3, 9])
    predicted = softmax(model.predict(x[:4], verbose=0))
    model.fit(indexed(x[:4], rows), y[:4], batch_size=4, shuffle=False, verbose=0)
    ensemble, updates = state(model)
    np.testing.assert_allclose(ensemble[3], 0.4 * (predicted[0] + predicted[2]) / 2, rtol=1e-5)
    np.testing.assert_allclose(ensemble[7], 0.4 * predicted[1], rtol=1e-5)
    assert updates.sum() == 3


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [{"jit_compile": True}, {"steps_per_execution": 3}])
def test_it_keeps_the_same_state_in_other_ways_to_train(problem, arguments):
    x, y = problem
    states = []
    for each in ({}, arguments):
        model = make(**each)
        model.fit(indexed(x), y, epochs=3, shuffle=False, verbose=0)
        states.append(state(model))
    for one, other in zip(*states, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.slow
def test_the_exported_model_does_not_hold_it(problem, tmp_path):
    import tensorflow as tf

    x, y = problem
    model = make()
    model.fit(indexed(x), y, verbose=0)
    assert not any(v.shape[0] == 300 for v in model.variables)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve(x).numpy(), model.predict(x, verbose=0), atol=1e-6)
    assert not any(v.shape[0] == 300 for v in served.variables)


@pytest.mark.slow
def test_a_subclassed_model_names_its_classes(problem):
    x, y = problem
    with pytest.raises(ValueError, match=r"`classes`. Expected the number of classes, which only"):
        compiled_cut(Hooked(), [TemporalEnsembling()])
    model = compiled_cut(Hooked(), [TemporalEnsembling(classes=4)])
    model.fit(indexed(x), y, epochs=2, verbose=0)
    assert state(model)[1].sum() == 512


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
def test_an_index_is_of_any_integer_type(problem, dtype):
    x, y = problem
    model = make(run_eagerly=True)
    rows = np.arange(100, 110)
    model.train_on_batch(indexed(x[:10], rows.astype(dtype)), y[:10])
    assert np.flatnonzero(state(model)[1]).tolist() == rows.tolist()


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("shift", [45, -1, 2**32, -(2**32)])
def test_an_index_must_be_in_range(problem, shift, run_eagerly):
    import tensorflow as tf

    x, y = problem
    model = make(run_eagerly=run_eagerly)
    weights = model.get_weights()
    error = ValueError if run_eagerly else tf.errors.InvalidArgumentError
    with pytest.raises(error, match=r"integers in \[0, 300\)"):
        model.train_on_batch(indexed(x, np.arange(256, dtype="int64") + shift), y)
    assert not state(model)[0].any()
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "index", [np.arange(256) + 0.9, np.arange(256) > 3, np.arange(256)[:, None]]
)
def test_an_index_is_integers_one_for_each_row(problem, index):
    x, y = problem
    with pytest.raises(ValueError, match=r"`index`. Expected integers of shape \(batch,\)"):
        make().fit(indexed(x, index), y, verbose=0)


def test_an_index_of_another_length_raises(problem):
    """Also a single one, in a graph that does not know the sizes."""
    import tensorflow as tf

    x, y = problem
    signature = {"inputs": tf.TensorSpec((None, 8)), INDEX: tf.TensorSpec((None,), tf.int64)}
    for count in (1, 3):
        batch = ({"inputs": x[:6], INDEX: np.arange(count)}, y[:6])
        data = tf.data.Dataset.from_generator(
            lambda batch=batch: [batch],
            output_signature=(signature, tf.TensorSpec((None,), tf.int64)),
        )
        for run_eagerly in (False, True):
            model = make(run_eagerly=run_eagerly)
            error = ValueError if run_eagerly else tf.errors.InvalidArgumentError
            with pytest.raises(error, match=r"`index`.*integers.*one for each row"):
                model.fit(data, shuffle=False, verbose=0)
            assert not state(model)[1].any()


def test_another_number_of_classes_than_the_averages_have_raises(problem):
    x, y = problem
    for classes in (1, 3):
        model = compiled_cut(Hooked(), [TemporalEnsembling(classes=classes)])
        with pytest.raises(ValueError, match=rf"`model`.*{classes} classes.*\(.*, 4\)"):
            model.fit(indexed(x), y, verbose=0)


def test_an_index_is_needed(problem):
    x, y = problem
    message = r'`x`. Expected {"inputs": x, "keras_softmaxes_index": index}'
    with pytest.raises(ValueError, match=message):
        make().fit(x, y, verbose=0)


def test_an_overflow_in_half_precision_leaves_the_averages_alone(problem):
    """The optimizer skips such a step; the examples whose predictions overflowed do not count."""
    x, y = problem
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = make()
    finally:
        keras.config.set_dtype_policy("float32")
    order = np.array([*range(64), 5])  # the example 5 is there twice
    rows = x[order].copy()
    rows[3] = 6e4  # beyond float16 after a layer
    rows[64] = 6e4
    before = model.get_weights()
    model.train_on_batch(indexed(rows, order), y[order])
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    ensemble, updates = state(model)
    assert np.isfinite(ensemble).all()
    assert np.flatnonzero(updates[:64] == 0).tolist() == [3]
    assert not ensemble[3].any()
    expected = softmax(model.predict(x[:64], verbose=0).astype("float32"))
    np.testing.assert_allclose(ensemble[5], 0.4 * expected[5], atol=1e-3)
    history = model.fit(indexed(x), y, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert (model.get_weights()[0] != before[0]).any()


def test_outputs_of_several_positions_raise():
    inputs = keras.Input((5, 8))
    cut = ks.layers.AdversarialDropout(0.5, 0.5)(inputs)
    perturbations = [TemporalEnsembling(examples=4)]
    model = compiled_cut(CutModel(inputs, keras.layers.Dense(CLASSES)(cut)), perturbations)
    with pytest.raises(ValueError, match=r"`model`. Expected .* \(batch, classes\)"):
        model.fit(indexed(np.ones((4, 5, 8)), np.arange(4)), np.ones((4, 5)), verbose=0)
