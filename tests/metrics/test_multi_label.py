from functools import partial

import keras
import numpy as np
import pytest
from sklearn import metrics as scikit

from keras_softmaxes import metrics

PRECISION, RECALL, F1 = metrics.MultiLabelPrecision, metrics.MultiLabelRecall, metrics.MultiLabelF1
AVERAGES = {"class": "macro", "overall": "micro"}


def make_problem(count=101, ties=False):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, size=(count, 4))
    scores = rng.integers(0, 5, size=(count, 4)) / 4 if ties else rng.uniform(size=(count, 4))
    return labels, scores.astype("float32"), rng.integers(0, 3, size=count).astype("float32")


def counting(metric, average, labels, scores, weights=None):
    """Return scikit-learn's value of Eq. 22."""
    share = partial(
        {PRECISION: scikit.precision_score, RECALL: scikit.recall_score}.get(metric),
        average=AVERAGES[average],
        sample_weight=weights,
        zero_division=0,
    )
    return share(labels, scores >= 0.5)


def naive(metric, average, labels, scores, weights=None):
    if metric is F1:
        p, r = (counting(each, average, labels, scores, weights) for each in (PRECISION, RECALL))
        return 2 * p * r / (p + r)
    if metric is metrics.MeanAveragePrecision:
        return scikit.average_precision_score(labels, scores, sample_weight=weights)
    return counting(metric, average, labels, scores, weights)


ALL = {
    **{
        f"{metric.__name__}, {average}": (metric, average)
        for metric in (PRECISION, RECALL, F1)
        for average in AVERAGES
    },
    "mean average precision": (metrics.MeanAveragePrecision, None),
}
EACH_METRIC = pytest.mark.parametrize(("metric", "average"), ALL.values(), ids=ALL)


def make(metric, average, **arguments):
    return metric(**({"average": average} if average else {}), **arguments)


def result(metric, batches):
    for labels, scores, *weights in batches:
        metric.update_state(labels, scores, *weights)
    return float(metric.result())


@EACH_METRIC
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("batch", [101, 32, 1])
def test_it_is_scikit_learns_for_any_batches(metric, average, ties, batch):
    labels, scores, weights = make_problem(ties=ties)
    batches = [slice(start, start + batch) for start in range(0, 101, batch)]
    plain = result(make(metric, average), [(labels[b], scores[b]) for b in batches])
    assert plain == pytest.approx(naive(metric, average, labels, scores), abs=1e-6)
    weighted = result(make(metric, average), [(labels[b], scores[b], weights[b]) for b in batches])
    assert weighted == pytest.approx(naive(metric, average, labels, scores, weights), abs=1e-6)


@pytest.mark.parametrize("average", AVERAGES)
def test_overall_f1_is_scikit_learns_and_that_of_classes_is_not(average):
    labels, scores, _ = make_problem()
    ours = result(F1(average), [(labels, scores)])
    theirs = scikit.f1_score(labels, scores >= 0.5, average=AVERAGES[average])
    assert (ours == pytest.approx(theirs, abs=1e-6)) == (average == "overall")


@EACH_METRIC
def test_it_starts_again_after_a_reset(metric, average):
    labels, scores, _ = make_problem()
    ours = make(metric, average)
    assert float(ours.result()) == 0
    result(ours, [(labels, 1 - scores)])
    ours.reset_state()
    assert float(ours.result()) == 0
    assert result(ours, [(labels, scores)]) == pytest.approx(
        naive(metric, average, labels, scores), abs=1e-6
    )


@EACH_METRIC
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_model_reports_it_and_keeps_it_when_saved(metric, average, jit_compile, tmp_path):
    if keras.backend.backend() == "jax" and not jit_compile:
        pytest.skip("JAX compiles every step")
    labels, scores, _ = make_problem()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Activation("linear")])
    model.compile(
        loss="binary_crossentropy",
        metrics=[make(metric, average, name="ours")],
        jit_compile=jit_compile,
    )
    expected = pytest.approx(naive(metric, average, labels, scores), abs=1e-6)
    evaluate = partial(model.evaluate, scores, labels, batch_size=32, verbose=0, return_dict=True)
    assert evaluate()["ours"] == expected
    model.save(tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    evaluate = partial(model.evaluate, scores, labels, batch_size=32, verbose=0, return_dict=True)
    assert evaluate()["ours"] == expected


@pytest.mark.tensorflow
@EACH_METRIC
def test_two_replicas_agree_with_one(metric, average, two_replicas):
    labels, scores, _ = make_problem(count=101)
    with two_replicas.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Activation("linear")])
        model.compile(loss="binary_crossentropy", metrics=[make(metric, average, name="ours")])
    results = model.evaluate(scores, labels, batch_size=32, verbose=0, return_dict=True)
    assert results["ours"] == pytest.approx(naive(metric, average, labels, scores), abs=1e-6)


@EACH_METRIC
def test_batches_may_change_their_type_and_the_result_has_the_metrics(metric, average):
    labels, scores, _ = make_problem()
    ours = make(metric, average, dtype="float16")
    ours.update_state(labels[:50], scores[:50])
    ours.update_state(labels[50:].astype("float32"), scores[50:].astype("float64"))
    assert keras.backend.standardize_dtype(ours.result().dtype) == "float16"
    expected = naive(metric, average, labels, scores)
    assert float(ours.result()) == pytest.approx(expected, abs=1e-3)


@EACH_METRIC
def test_examples_of_weight_0_are_as_if_absent_even_with_nan(metric, average):
    labels, scores, _ = make_problem()
    padded = np.concatenate([scores, np.full((3, 4), np.nan, "float32")])
    weights = np.r_[np.ones(101), np.zeros(3)]
    ours = result(make(metric, average), [(np.r_[labels, np.ones((3, 4), int)], padded, weights)])
    assert ours == pytest.approx(naive(metric, average, labels, scores), abs=1e-6)
    assert np.isnan(result(make(metric, average), [(np.ones((104, 4)), padded)]))


def test_logits_have_their_own_threshold():
    labels, scores, _ = make_problem()
    logits = np.log(scores / (1 - scores))
    assert result(F1(threshold=0), [(labels, logits)]) == result(F1(), [(labels, scores)])


def test_more_examples_than_there_is_room_for_are_refused():
    labels, scores, _ = make_problem()
    metric = metrics.MeanAveragePrecision(capacity=100)
    metric.update_state(labels[:60], scores[:60])
    with pytest.raises(ValueError, match=r"capacity.*room.*100.*101"):
        metric.update_state(labels[60:], scores[60:])
    with pytest.raises(ValueError, match=r"capacity.*batch of 101.*100"):
        metrics.MeanAveragePrecision(capacity=100).update_state(labels, scores)


@pytest.mark.parametrize(
    ("make_metric", "match"),
    [
        (lambda: F1("macro"), "average.*'class' or 'overall'.*'macro'"),
        (lambda: F1(threshold=None), "threshold.*a finite number.*None"),
        (lambda: F1(threshold=float("nan")), "threshold.*a finite number.*nan"),
        (lambda: metrics.MeanAveragePrecision(0), "capacity.*at least 1.*0"),
        (lambda: F1().update_state([[0, 2]], [[0.1, 0.2]]), "labels.*2"),
        (lambda: F1().update_state([0, 1], [0.1, 0.2]), r"y_pred.*\(2,\)"),
        (
            lambda: F1().update_state([[0, 1]], [[0.1, 0.2]], [[1.0, 1.0]]),
            r"sample_weight.*\(1, 1\).*\(1, 2\)",
        ),
        (
            lambda: F1().update_state([[0, 1]], [[0.1, 0.2]], [1.0, 1.0]),
            r"sample_weight.*\(1,\).*\(2,\)",
        ),
    ],
)
def test_bad_arguments_are_refused(make_metric, match):
    with pytest.raises(ValueError, match=match):
        make_metric()
