"""What holds of every metric."""

import inspect
import json

import keras
import numpy as np
import pytest
from keras import ops
from metric_cases import (
    BATCH,
    CASES,
    CLASSES,
    EACH,
    EACH_KIND,
    ROWS,
    data_of,
    make_data,
    measured,
    row_weights,
)

import keras_softmaxes as ks


def test_every_metric_is_here():
    public = {each for each in vars(ks.metrics).values() if inspect.isclass(each)}
    public.remove(
        ks.metrics.TopKAccuracy
    )  # of a head's features: tests/models/test_many_classes.py
    assert public == {type(case.make()) for case in CASES.values()}


@EACH
def test_it_is_restored_from_its_configuration(case):
    metric = case.make(name="ours", dtype="float16")
    config = keras.metrics.serialize(metric)
    again = keras.metrics.deserialize(json.loads(json.dumps(config)))
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()
    assert again.name == "ours"
    data = data_of(case)
    assert measured(again, data) == measured(metric, data)
    assert keras.backend.standardize_dtype(again.result().dtype) == "float16"
    assert measured(again) == pytest.approx(case.naive(*data), abs=5e-3)


@EACH
def test_it_starts_at_0_and_again_after_a_reset(case):
    (labels, scores), metric = data_of(case), case.make()
    assert measured(metric) == 0
    measured(metric, (labels, scores[::-1]))
    metric.reset_state()
    assert measured(metric) == 0
    assert measured(metric, (labels, scores)) == pytest.approx(case.naive(labels, scores), abs=1e-6)


@pytest.mark.thorough
@EACH
def test_batches_do_not_matter_nor_do_empty_ones(case):
    labels, scores = data_of(case)
    expected = pytest.approx(case.naive(labels, scores), abs=1e-6)
    for cuts in ([], [0, 32, 64, 96], [1, 1, 50, ROWS]):
        batches = zip(np.split(labels, cuts), np.split(scores, cuts), strict=True)
        assert measured(case.make(), *batches) == expected


@EACH
@pytest.mark.thorough
@pytest.mark.parametrize(
    "dtype",
    ["float16", "bfloat16", "float32", pytest.param("float64", marks=pytest.mark.tensorflow)],
)
def test_predictions_may_be_of_any_type_also_another_in_each_batch(case, dtype):
    labels, scores = data_of(case)
    given = ops.cast(scores, dtype)
    rounded = ops.convert_to_numpy(ops.cast(given, "float32"))
    expected = pytest.approx(case.naive(labels, rounded), abs=1e-6)
    halves = [(labels[:50], given[:50]), (labels[50:], rounded[50:])]
    assert measured(case.make(), *halves) == expected
    assert measured(case.make(), *halves[::-1]) == expected


@pytest.mark.thorough
@EACH
def test_a_weight_counts_a_row_so_many_times(case):
    labels, scores = data_of(case)
    weights = row_weights()
    plain = pytest.approx(case.naive(labels, scores), abs=1e-6)
    for weight in (None, 2.0, np.float32(0.5), np.array(3)):
        assert measured(case.make(), (labels, scores, weight)) == plain
    repeated = case.naive(*(np.repeat(each, weights, axis=0) for each in (labels, scores)))
    for weight in (weights, weights[:, None], 0.5 * weights):
        ours = measured(case.make(), (labels, scores, weight))
        assert ours == pytest.approx(repeated, abs=1e-6)
    half = ROWS // 2
    batches = [(labels[:half], scores[:half], 2.0), (labels[half:], scores[half:], 0.0)]
    first = case.naive(labels[:half], scores[:half])
    assert measured(case.make(), *batches) == pytest.approx(first, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in CASES if "_of_labels" in name])
def test_labels_that_are_missing_are_as_if_absent(name):
    """Whatever their probability."""
    labels, scores = data_of(CASES[name], rows=100)
    missing = np.random.default_rng(5).uniform(size=labels.shape) < 0.2
    labels = np.where(missing, np.nan, labels)
    expected = CASES[name].naive(labels, scores)
    scores = np.where(missing, np.nan, scores)
    halves = [(labels[:50], scores[:50]), (labels[50:], scores[50:])]
    assert measured(CASES[name].make(), *halves) == pytest.approx(expected, abs=1e-6)


@EACH
def test_weights_of_another_shape_raise(case):
    labels, scores = data_of(case)
    for shape in ((ROWS - 1,), (1,), (1, ROWS), (ROWS, CLASSES), (ROWS, 1, 1)):
        with pytest.raises(ValueError, match="`sample_weight`"):
            case.make().update_state(labels, scores, np.ones(shape))


@EACH
def test_before_the_first_example_it_is_0(case):
    metric = case.make()
    assert measured(metric) == 0
    empty = [each[:0] for each in data_of(case)]
    assert measured(metric, empty) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name)
        for name, case in CASES.items()
        if case.measured == "probabilities"
    ],
)
def test_weights_below_0_raise_or_make_the_result_nan(case):
    labels, scores = data_of(case)
    wrong = [np.r_[np.ones(ROWS - 1), weight] for weight in (-1.0, np.inf, np.nan)]
    metric = case.make()
    for weights in wrong:
        with pytest.raises(ValueError, match=r"`sample_weight`.*finite numbers of at least 0"):
            metric.update_state(labels, scores, weights)
        assert measured(metric) == 0
    model = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Activation("linear")])
    model.compile(
        loss="sparse_categorical_crossentropy", weighted_metrics=[metric], jit_compile=True
    )
    for weights in wrong:
        found = model.evaluate(
            scores, labels, sample_weight=weights, batch_size=ROWS, verbose=0, return_dict=True
        )
        assert np.isnan(found[metric.name])


@EACH
def test_rows_of_weight_0_are_as_if_absent_even_with_nan(case):
    labels, scores = data_of(case)
    longer = np.concatenate([labels, labels[:3]]), np.concatenate([scores, scores[:3] * np.nan])
    weights = np.r_[np.ones(ROWS), np.zeros(3)]
    expected = pytest.approx(case.naive(labels, scores), abs=1e-6)
    assert measured(case.make(), (*longer, weights)) == expected
    assert np.isnan(measured(case.make(), longer))


@EACH
def test_another_number_of_classes_raises_with_its_name_or_counts(case):
    first, second = data_of(case), data_of(case, rows=20, classes=CLASSES - 1)
    metric = case.make()
    value = measured(metric, first)
    if case.has_classes:
        with pytest.raises(ValueError, match=r"`y_pred`.*\(batch, 4\).*first batch.*\(20, 3\)"):
            metric.update_state(*second)
        assert measured(metric) == value
    else:  # a label that is missing, a class of probability 0, or of a logit that is far below
        absent = {"several labels": 0.5, "probabilities": 0, "logits": -np.inf}[case.measured]
        labels, wider = second[0], np.insert(second[1], CLASSES - 1, absent, axis=1)
        if case.measured == "several labels":
            labels = np.insert(labels.astype("float64"), CLASSES - 1, np.nan, axis=1)
        both = [np.concatenate(each) for each in zip(first, (labels, wider), strict=True)]
        assert measured(metric, second) == pytest.approx(case.naive(*both), abs=1e-6)


@EACH
def test_predictions_without_an_axis_of_classes_raise(case):
    labels, scores = data_of(case)
    for wrong in (scores[:, 0], scores[:, :1]):
        with pytest.raises(ValueError, match=r"`y_pred`.*at least 2 classes"):
            case.make().update_state(labels, wrong)


def make_model(kind, **arguments):
    """Return a model whose predictions are its inputs, with all metrics, weighted and not."""
    cases = {name: case for name, case in CASES.items() if case.measured == kind}
    model = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Activation("linear")])
    model.compile(
        loss="binary_crossentropy"
        if kind == "several labels"
        else "sparse_categorical_crossentropy",
        metrics=[case.make(name=name) for name, case in cases.items()],
        weighted_metrics=[case.make(name=f"weighted_{name}") for name, case in cases.items()],
        **arguments,
    )
    return model


def check_model(model, kind, batch=BATCH):
    labels, scores = make_data(kind)
    weights = row_weights()
    ours = model.evaluate(
        scores, labels, sample_weight=weights, batch_size=batch, verbose=0, return_dict=True
    )
    repeated = [np.repeat(each, weights, axis=0) for each in (labels, scores)]
    expected = {"loss": ours["loss"]}
    for name, case in CASES.items():
        if case.measured == kind:
            expected[name] = case.naive(labels, scores)
            expected[f"weighted_{name}"] = case.naive(*repeated)
    assert ours == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@EACH_KIND
@pytest.mark.parametrize("way", ["run_eagerly", "jit_compile"])
def test_a_model_measures_it_eagerly_and_compiled(kind, way):
    # Each size is compiled anew, which takes long for all but the metrics of logits.
    batch = ROWS if way == "jit_compile" and kind != "logits" else BATCH
    check_model(make_model(kind, **{way: True}), kind, batch)


@pytest.mark.slow
@EACH_KIND
def test_a_saved_model_has_it_still_in_a_graph(kind, tmp_path):
    make_model(kind).save(tmp_path / "model.keras")
    check_model(keras.saving.load_model(tmp_path / "model.keras"), kind)


@pytest.mark.tensorflow
@EACH_KIND
def test_two_replicas_are_as_good_as_one(kind, two_replicas):
    with two_replicas.scope():
        model = make_model(kind)
    check_model(model, kind)
