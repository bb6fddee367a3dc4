"""The metrics of a Classifier: of the probabilities, or of the tensor that a metric reads."""

import keras
import numpy as np
import pytest
from keras import ops
from problems import CLASSES, make_model

import keras_softmaxes as ks


def bias(model, x, y, weights=None):
    """Return the margin's bias of the head's logits."""
    metric = ks.metrics.MarginBias()
    metric.update_state(y, model(x)["logits"], weights)
    return float(ops.convert_to_numpy(metric.result()))


def names(model):
    """Return the names of the metrics, without that of Keras's container."""
    return sorted({metric.name for metric in model.metrics} - {"compile_metrics"})


def margin_bias(name):
    return ks.metrics.MarginBias(name=name)


@pytest.mark.slow
def test_a_metric_receives_the_tensor_that_it_reads_weighted_or_not(problem, tmp_path):
    x, y = problem
    weights = np.linspace(0, 2, len(y)).astype("float32")
    model = make_model(
        metrics=["accuracy", margin_bias("plain")],
        weighted_metrics=[margin_bias("weighted"), keras.metrics.SparseTopKCategoricalAccuracy(2)],
    )
    model.fit(x, y, sample_weight=weights, verbose=0)
    data = {"x": x, "y": y, "sample_weight": weights}
    logs = model.evaluate(**data, return_dict=True, verbose=0)
    assert logs["plain"] == pytest.approx(bias(model, x, y), rel=1e-5)
    assert logs["weighted"] == pytest.approx(bias(model, x, y, weights), rel=1e-5)
    assert logs["plain"] != pytest.approx(logs["weighted"], rel=1e-5)
    right = model.predict(x, verbose=0).argmax(axis=1) == y
    assert logs["accuracy"] == pytest.approx(right.mean(), rel=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.evaluate(**data, return_dict=True, verbose=0) == pytest.approx(logs, rel=1e-5)
    assert names(again) == names(model)


def test_a_metric_is_reset_between_epochs(problem):
    x, y = problem
    model = make_model(metrics=[margin_bias("bias")], optimizer=keras.optimizers.SGD(0.0))
    history = model.fit(x, y, epochs=2, validation_data=(x[:64], y[:64]), verbose=0).history
    assert history["val_bias"] == pytest.approx([bias(model, x[:64], y[:64])] * 2, rel=1e-5)
    assert history["bias"] == pytest.approx([bias(model, x, y)] * 2, rel=1e-5)


def test_a_metric_that_reads_a_tensor_needs_no_list(problem):
    x, y = problem
    model = make_model(metrics=margin_bias("bias"))
    assert set(model.evaluate(x, y, return_dict=True, verbose=0)) == {"loss", "bias"}


@pytest.mark.parametrize(
    "given", [lambda metric: ["accuracy", [metric]], lambda metric: [["accuracy", (metric,)]]]
)
def test_a_metric_that_reads_a_tensor_may_be_in_a_list_of_lists(problem, given):
    x, y = problem
    start = keras.initializers.RandomNormal(stddev=2.0, seed=1)
    head = ks.layers.DropMax(CLASSES, kernel_initializer=start)
    model = make_model(head, metrics=given(margin_bias("bias")))
    logs = model.evaluate(x, y, return_dict=True, verbose=0)
    assert logs.keys() == {"loss", "accuracy", "bias"}
    assert logs["bias"] == pytest.approx(bias(model, x, y), rel=1e-5)


@pytest.mark.slow
def test_compiling_again_leaves_no_metric_behind(problem):
    x, y = problem
    model = make_model(metrics=[margin_bias("first")], weighted_metrics=[margin_bias("second")])
    model.fit(x, y, verbose=0)
    model.compile("sgd", metrics=[margin_bias("third")])
    model.fit(x, y, verbose=0)
    assert names(model) == ["loss", "third"]
    model.compile("sgd")
    assert set(model.fit(x, y, verbose=0).history) == {"loss"}
    assert names(model) == ["loss"]


@pytest.mark.slow
def test_metrics_are_no_variables_of_the_model(problem):
    x, y = problem
    model, plain = make_model(metrics=[margin_bias("bias")]), make_model(metrics=[])
    for each in (model, plain):
        each.fit(x, y, verbose=0)
    assert len(model.get_weights()) == len(plain.get_weights())


def test_a_failed_compile_leaves_the_metrics_of_the_one_before(problem):
    x, y = problem
    model = make_model(metrics=[margin_bias("bias")])
    loss = model.loss
    with pytest.raises(ValueError, match="`loss`"):
        model.compile("sgd", "mse", metrics=[margin_bias("other")])
    assert model.loss is loss
    assert set(model.fit(x, y, verbose=0).history) == {"bias", "loss"}


@pytest.mark.parametrize("argument", ["metrics", "weighted_metrics"])
def test_metrics_by_the_names_of_outputs_raise(argument):
    metrics = {"probabilities": ["accuracy"], "logits": [margin_bias("bias")]}
    with pytest.raises(ValueError, match=rf"`{argument}`.*a list.*one output"):
        make_model(**{argument: metrics})


def test_two_metrics_of_one_name_raise():
    """The logs would hold one of them."""
    with pytest.raises(ValueError, match=r"`metrics`.*different names.*\['bias', 'bias'\]"):
        make_model(metrics=[margin_bias("bias")], weighted_metrics=[margin_bias("bias")])


def test_a_metric_of_a_tensor_that_the_head_does_not_return_raises():
    x = np.random.default_rng(0).normal(size=(8, 8)).astype("float32")
    model = make_model(ks.layers.PairedGSoftmax(CLASSES), metrics=[margin_bias("bias")])
    message = r"`metrics`.*what the head returns, .*'presence_logits'.*metrics='bias', of 'logits'"
    with pytest.raises(ValueError, match=message):
        model.fit(x, (x[:, :CLASSES] > 0).astype(int), verbose=0)
