"""A classifier whose logits are never all there learns and predicts as a dense one."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import ops
from linear_problems import small_tiles as small_tiles

import keras_softmaxes as ks

CLASSES = 9
BACKEND = keras.backend.backend()


def problem(rows=32):
    x = np.random.default_rng(0).normal(size=(rows, 5)).astype("float32")
    return x, np.random.default_rng(1).integers(0, CLASSES, rows)


def make_model(loss=None, metrics=(), optimizer=None, way=None, **arguments):
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((5,)), keras.layers.Dense(6, "tanh")])
    arguments = {"kernel_initializer": "glorot_uniform", "top_k": 3, **arguments}
    model = ks.models.Classifier(network, ks.layers.ManyClasses(CLASSES, **arguments))
    optimizer = optimizer or keras.optimizers.SGD(0.5)
    model.compile(optimizer, loss, metrics=list(metrics), **(way or {}))
    return model


def check_equal(ours, theirs, tolerance=1e-6):
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance)


WAYS = [{"run_eagerly": True}, {"jit_compile": False}, {"jit_compile": True}]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS if BACKEND == "tensorflow" else WAYS[2:])
def test_it_takes_the_steps_of_a_dense_head(way, small_tiles):
    x, y = problem()
    weights = np.linspace(0.5, 1.5, len(x))
    accuracies = [ks.metrics.TopKAccuracy(), ks.metrics.TopKAccuracy(3)]
    kerass = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(3, "top_3_accuracy")]
    ours = make_model(None, accuracies, dense=False, way=way)
    theirs = make_model(None, kerass, dense=True, way=way)
    for model in (ours, theirs):
        model.history = model.fit(x, y, 10, 2, sample_weight=weights, shuffle=False, verbose=0)
    check_equal(ours, theirs)
    for name, values in ours.history.history.items():
        assert values == pytest.approx(theirs.history.history[name], rel=1e-5), name
    found = [each.evaluate(x, y, verbose=0, return_dict=True) for each in (ours, theirs)]
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.slow
def test_it_predicts_the_first_classes(small_tiles, tmp_path):
    x, y = problem()
    model, dense = make_model(dense=False), make_model(dense=True)
    for each in (model, dense):
        each.fit(x, y, verbose=0)
    probabilities = dense.predict(x, verbose=0)
    assert probabilities.shape == (len(x), CLASSES)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    found = model.predict(x, verbose=0)
    ways = [(found, 3)]
    ways += [(ks.models.top_k(each, x, k=5, batch_size=7), 5) for each in (model, dense)]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        model.export(tmp_path / "served", verbose=False)
        served = tf.saved_model.load(tmp_path / "served")
        ways.append(({name: each.numpy() for name, each in served.serve(x).items()}, 3))
    for first, k in ways:
        assert set(first) == {"classes", "probabilities"}
        np.testing.assert_array_equal(first["classes"], order[:, :k])
        expected = np.take_along_axis(probabilities, order[:, :k], axis=1)
        np.testing.assert_allclose(first["probabilities"], expected, atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").predict(x, verbose=0)
    np.testing.assert_array_equal(again["classes"], found["classes"])


@pytest.mark.slow
def test_the_other_losses_of_logits_train_it(small_tiles):
    x, y = problem()
    for loss in (ks.losses.LargeMarginCrossentropy(0.5), ks.losses.SparsemaxLoss()):
        models = [make_model(loss, dense=dense) for dense in (False, True)]
        for model in models:
            model.fit(x, y, 16, shuffle=False, verbose=0)
        check_equal(*models)


def test_tokens_are_examples(small_tiles):
    tokens = np.array([[1, 2, 3], [4, 0, 0]])
    network = keras.layers.Embedding(6, 5, mask_zero=True, embeddings_initializer="ones")
    found = []
    for dense in (False, True):
        keras.utils.set_random_seed(0)
        model = ks.models.Classifier(network, ks.layers.ManyClasses(CLASSES, dense=dense, top_k=1))
        model(tokens)
        model.compile("sgd")
        found.append(model.evaluate(tokens, tokens % CLASSES, verbose=0))
        found.append(float(ops.convert_to_numpy(model.loss(tokens, model(tokens, training=True)))))
    assert found == pytest.approx([np.log(CLASSES)] * 4, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_in_mixed_precision_the_sums_are_in_float32(policy, small_tiles):
    x, y = problem()
    keras.config.set_dtype_policy(policy)
    try:
        model = make_model(dense=False)
    finally:
        keras.config.set_dtype_policy("float32")
    outputs = model(x)
    assert {keras.backend.standardize_dtype(each.dtype) for each in outputs.values()} == {"float32"}
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@pytest.mark.tensorflow
@pytest.mark.parametrize("sampled", [None, CLASSES])
def test_two_replicas_take_the_steps_of_one_device(sampled, two_replicas, small_tiles):
    """All classes are drawn, so that the draws of the replicas are the same."""
    x, y = problem()
    models = []
    for scope in (two_replicas.scope(), nullcontext()):
        with scope:
            optimizer = ks.optimizers.RowWiseAdam(0.1)
            model = make_model(dense=False, sampled=sampled, optimizer=optimizer)
        model.fit(x, y, 16, 2, shuffle=False, verbose=0)
        models.append(model)
    check_equal(*models, tolerance=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("sampled_by", ["uniform", "log_uniform", np.arange(1, CLASSES + 1)])
def test_drawn_classes_train_it_and_evaluation_is_exact(sampled_by, small_tiles):
    x, y = problem()
    optimizer = ks.optimizers.RowWiseAdam(0.05)
    model = make_model(sampled=6, sampled_by=sampled_by, optimizer=optimizer)
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=20, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before - 0.3
    outputs = model(x, training=True)
    assert outputs["sampled_classes"].shape == outputs["log_counts"].shape == (6,)
    assert "log_counts" not in model(x)


def test_all_classes_drawn_are_the_exact_step(small_tiles):
    x, y = problem()
    models = [make_model(dense=False), make_model(sampled=CLASSES)]
    for model in models:
        model.fit(x, y, 16, 2, shuffle=False, verbose=0)
    for one, other in zip(
        models[0].trainable_variables, models[1].trainable_variables, strict=True
    ):
        np.testing.assert_allclose(
            ops.convert_to_numpy(one), ops.convert_to_numpy(other), atol=1e-5
        )


def test_few_classes_are_dense_unless_they_are_drawn():
    heads = [ks.layers.ManyClasses(n) for n in (9_999, 10_000)]
    heads.append(ks.layers.ManyClasses(99, sampled=10))
    assert [head.is_dense for head in heads] == [True, False, False]


def test_metrics_of_probabilities_raise(small_tiles):
    x, y = problem()
    model = make_model(metrics=["accuracy"], dense=False)
    with pytest.raises(ValueError, match=r"`metrics`.*`keras_softmaxes.metrics.TopKAccuracy`"):
        model.fit(x, y, verbose=0)


def test_the_accuracy_of_a_dense_head_is_kerass():
    x, y = problem()
    model = make_model(metrics=[ks.metrics.TopKAccuracy()], dense=True)
    with pytest.raises(ValueError, match=r"`metrics`.*`SparseTopKCategoricalAccuracy`"):
        model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match=r"`y_pred`.*keras.metrics.SparseTopKCategoricalAccuracy"):
        ks.metrics.TopKAccuracy().update_state([0], [[0.5, 0.5]])


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("top_k", {"top_k": CLASSES + 1, "dense": False}),
        ("sampled", {"sampled": CLASSES + 1}),
        ("dense", {"sampled": 3, "dense": True}),
        ("sampled_by", {"sampled_by": "zipf"}),
        ("sampled_by", {"sampled_by": [1.0] * (CLASSES - 1)}),
        ("sampled_by", {"sampled_by": [0.0] * CLASSES}),
    ],
)
def test_bad_arguments_raise(argument, arguments):
    with pytest.raises(ValueError, match=f"`{argument}`"):
        ks.layers.ManyClasses(CLASSES, **arguments)


@pytest.mark.parametrize("k", [0, CLASSES + 1])
def test_as_many_classes_as_there_are_can_be_first(k):
    with pytest.raises(ValueError, match="`k`"):
        ks.models.top_k(make_model(dense=False), problem()[0], k)


def test_numbers_that_are_no_numbers_are_not_right():
    outputs = {"features": [[np.nan], [1.0]], "kernel": [[1.0], [0.0]], "bias": [0.0, 0.0]}
    metric = ks.metrics.TopKAccuracy()
    metric.update_state([0, 0], outputs)
    assert float(metric.result()) == 0.5


@pytest.mark.parametrize("form", ["one-hot", "soft"])
def test_rows_train_it_in_a_graph(form):
    rows = np.eye(12, dtype="float32")[np.arange(24) % 12]
    rows = rows if form == "one-hot" else 0.7 * rows + 0.3 * rows[::-1]
    x = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
    losses = []
    for dense in (True, False):
        network = keras.Sequential([keras.Input((4,)), keras.layers.Activation("linear")])
        model = ks.models.Classifier(network, ks.layers.ManyClasses(12, dense=dense))
        model.compile(keras.optimizers.SGD(1.0))
        losses.append(model.fit(x, rows, batch_size=12, epochs=3, shuffle=False, verbose=0))
    dense, tiles = (each.history["loss"] for each in losses)
    np.testing.assert_allclose(tiles, dense, rtol=1e-5)
