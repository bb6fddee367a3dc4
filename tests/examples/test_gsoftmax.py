import json
import sys
from pathlib import Path

import data
import gsoftmax
import gsoftmax_multilabel
import gsoftmax_starts
import keras
import methods
import mulan
import numpy as np
import pytest
import separability
from scipy import stats

import keras_softmaxes as ks

MULAN = Path(__file__).parents[3] / "shared" / "mulan"


def write_problem(folder, name, labels):
    """Write a small dataset of Mulan's form, whose labels are the signs of the first features."""
    rng = np.random.default_rng(0)
    (folder / name).mkdir(parents=True)
    names = [f"label{number}" for number in range(labels)]
    entries = "".join(f'<label name="{each}"></label>' for each in names)
    namespace = "http://mulan.sourceforge.net/labels"
    (folder / name / f"{name}.xml").write_text(f'<labels xmlns="{namespace}">{entries}</labels>')
    for split, count in (("train", 60), ("test", 40)):
        x = 3 + 2 * rng.normal(size=(count, 4))
        y = (x[:, :labels] > 3).astype(int)
        lines = ["@relation problem", *(f"@attribute x{n} numeric" for n in range(4))]
        lines += [f"@attribute {each} {{0,1}}" for each in names] + ["@data"]
        lines += [",".join(map(str, [*a, *b])) for a, b in zip(x, y, strict=True)]
        (folder / name / f"{name}-{split}.arff").write_text("\n".join(lines) + "\n")


def test_mulan_is_read_and_standardised_by_the_training_examples(tmp_path):
    write_problem(tmp_path, "yeast", labels=3)
    problem = mulan.load("yeast", tmp_path)
    assert problem.labels == ["label0", "label1", "label2"]
    np.testing.assert_allclose(problem.x_train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(problem.x_train.std(axis=0), 1, atol=1e-5)
    agree = (problem.x_test[:, :3] > 0) == problem.y_test
    assert agree.mean() > 0.9  # the mean is not exactly 3
    with pytest.raises(SystemExit, match="no folder"):
        mulan.load("scene", tmp_path)


@pytest.mark.parametrize(
    ("name", "sizes"), [("scene", (1211, 1196, 294, 6)), ("yeast", (1500, 917, 103, 14))]
)
def test_the_real_data_have_their_published_sizes(name, sizes):
    if not MULAN.exists():
        pytest.skip(f"no Mulan data in {MULAN}")
    problem = mulan.load(name, MULAN)
    assert (*map(len, (problem.x_train, problem.x_test)), problem.x_train.shape[1]) == sizes[:3]
    assert problem.y_train.shape[1] == len(problem.labels) == sizes[3]


def test_class_gaussians_are_of_the_examples_of_the_class():
    logits = np.array([[1.0, 5.0], [3.0, 6.0], [9.0, 10.0]])
    mean, stddev = separability.class_gaussians(logits, np.array([[1, 0], [1, 1], [0, 1]]))
    np.testing.assert_allclose(mean, [2, 8])
    np.testing.assert_allclose(stddev, [1, 2])


def kl(mean, stddev, other_mean, other_stddev):
    """Eq. 18 as printed."""
    squares = stddev**2 + (mean - other_mean) ** 2
    return np.log(other_stddev / stddev) + squares / (2 * other_stddev**2) - 1 / 2


def test_a_label_is_measured_against_its_own_absence():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 3)) * [1, 2, 3]
    labels = (rng.uniform(size=(50, 3)) < 0.4).astype(int)
    logits += [4, 1, 0] * labels
    present = separability.class_gaussians(logits, labels)
    absent = separability.class_gaussians(logits, 1 - labels)
    measures = separability.label_measures(present, absent)
    for number in range(3):
        x, has = logits[:, number], labels[:, number] == 1
        here, there = (x[has].mean(), x[has].std()), (x[~has].mean(), x[~has].std())
        separation = (kl(*here, *there) + kl(*there, *here)) / 2
        expected = (1 / here[1], separation, separation / here[1])
        got = [measures[name][number] for name in separability.MEASURES]
        np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert measures["separability"].argmax() == 0


@pytest.mark.parametrize(("mean", "stddev"), [(np.nan, 2.0), (1.0, np.inf), (1.0, 0.0)])
def test_the_measures_of_what_diverged_are_nan(mean, stddev):
    measures = separability.measures(np.array([0.0, mean]), np.array([1.0, stddev]))
    assert set(measures) == set(separability.MEASURES)
    assert all(np.isnan(values).all() and values.shape == (2,) for values in measures.values())


def test_the_tables_v_and_vi_are_scipys():
    rng = np.random.default_rng(0)
    precision = {name: rng.uniform(size=6) for name in "abcd"}
    expected = stats.ttest_rel(precision["a"], precision["b"]).pvalue
    assert separability.significance(precision["a"], precision["b"]) == expected
    measure = {name: rng.uniform(size=6) + 5 * np.eye(6)[2] for name in "abcd"}
    chosen, pearson, p_value = separability.correlation(measure, precision)
    theirs = stats.pearsonr([measure[n][2] for n in "abcd"], [precision[n][2] for n in "abcd"])
    assert (chosen, pearson, p_value) == (2, theirs.statistic, theirs.pvalue)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", gsoftmax.METHODS)
def test_the_logits_are_what_the_probabilities_are_of(name):
    images = data.balanced(data.load("digits"), 100)
    model = gsoftmax.compiled_model(methods.METHODS[name], images, epochs=1)
    logits = gsoftmax.class_logits(model, images.x_test)
    if name == "gsoftmax":
        logits = ks.ops.gsoftmax_logits(logits, np.zeros(10, "float32"), np.ones(10, "float32"))
    served = methods.serving(model).predict(images.x_test, verbose=0)
    np.testing.assert_allclose(served, keras.ops.softmax(logits), atol=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["pair", "pair_adapted", "eq15", "single_adapted"])
def test_the_parts_are_the_whole(name, tmp_path):
    write_problem(tmp_path, "scene", labels=3)
    problem = mulan.load("scene", tmp_path)
    model = gsoftmax_multilabel.compiled_model(gsoftmax_multilabel.METHODS[name], problem)
    network, layer = gsoftmax_multilabel.parts(model)
    outputs = layer(network(problem.x_test))
    outputs = outputs["probabilities"] if isinstance(outputs, dict) else outputs
    np.testing.assert_allclose(outputs, model.predict(problem.x_test, verbose=0), atol=1e-6)
    assert (name.startswith("single")) == isinstance(layer, ks.layers.GSoftmax)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["pair_0.1_1", "single_0_1"])
def test_what_is_remembered_of_a_label(name, tmp_path):
    write_problem(tmp_path, "scene", labels=3)
    problem = mulan.load("scene", tmp_path)
    model = gsoftmax_multilabel.compiled_model(gsoftmax_multilabel.METHODS[name], problem)
    remembered = gsoftmax_multilabel.evaluate(model, problem)
    network, layer = gsoftmax_multilabel.parts(model)
    x = network(problem.x_test)
    x = np.asarray(layer.logits(x) if name.startswith("pair") else x)
    has = problem.y_test == 1
    for label in range(3):
        deviation = x[has[:, label], label].std()
        assert remembered["measured"]["compactness"][label] == pytest.approx(1 / deviation, 1e-4)
    if name.startswith("pair"):  # one Gaussian of x+, one of x-, which start alike
        np.testing.assert_allclose(remembered["learned"]["separability"], 0, atol=1e-9)
        layer.negative.mean.assign([1.0, 2.0, 3.0])
        learned = gsoftmax_multilabel.evaluate(model, problem)["learned"]
        np.testing.assert_allclose(
            learned["separability"], (np.array([0.9, 1.9, 2.9]) ** 2) / 2, rtol=1e-5
        )
    else:
        assert "learned" not in remembered


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:An input array is constant", "ignore:Degrees of freedom")
def test_a_model_that_diverged_leaves_nan_and_not_an_error(tmp_path):
    write_problem(tmp_path, "scene", labels=3)
    problem = mulan.load("scene", tmp_path)
    names = ("pair", "pair_0_1", "pair_0_5")
    models = {
        name: gsoftmax_multilabel.compiled_model(gsoftmax_multilabel.METHODS[name], problem)
        for name in names
    }
    models["pair_0_1"].head.logits.bias.assign([np.nan, 0.0, 0.0])
    results = {
        name: [gsoftmax_multilabel.evaluate(model, problem)] * 2 for name, model in models.items()
    }
    lost, whole = results["pair_0_1"][0], results["pair_0_5"][0]
    assert lost.keys() == whole.keys()
    for key, value in lost.items():
        assert np.isnan(np.array(list(value.values()) if isinstance(value, dict) else value)).all()
        assert np.shape(value) == np.shape(whole[key])
    summary = gsoftmax_multilabel.summarise(results)
    assert summary["pair_0_1"]["mAP"]["estimate"] is None
    assert summary["pair_0_5"]["mAP"]["estimate"] is not None
    analysis = gsoftmax_multilabel.analyse(results)
    p_values = analysis["p-value of the paired t-test against the baseline"]
    assert np.isnan(p_values["pair_0_1"])
    gsoftmax_multilabel.show(summary, "title")
    gsoftmax_multilabel.draw(results, "title", tmp_path / "results.png")
    gsoftmax_multilabel.draw_classes(results, problem.labels, "title", tmp_path / "classes.png")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_methods_of_several_labels_are_compared(tmp_path, monkeypatch, capsys):
    write_problem(tmp_path, "scene", labels=3)
    names = ("pair", "pair_0_1", "pair_adapted", "single", "single_0_1")
    methods = {name: gsoftmax_multilabel.METHODS[name] for name in names}
    monkeypatch.setattr(gsoftmax_multilabel, "METHODS", methods)
    command = ["x", "--data-dir", str(tmp_path), "--epochs", "30", "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", [*command, "--out", str(tmp_path / "out")])
    gsoftmax_multilabel.main()
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(results["methods"]) == set(methods)
    for row in results["methods"].values():
        assert row["mAP"]["estimate"] > 80
    assert results["methods"]["pair_0_1"]["gain in mAP"]["low"] is not None
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {
        "results.png",
        "classes.png",
    }
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").iterdir()}
    gsoftmax_multilabel.main()
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "runs").iterdir()}
    assert "Pair, softmax, G (0, 1)" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.tensorflow
def test_methods_of_one_label_are_compared(tmp_path, monkeypatch):
    digits = data.balanced(data.load("digits"), 100)
    monkeypatch.setattr(data, "load", lambda name, data_dir: digits)
    command = ["x", "--train-size", "100", "--epochs", "2", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", [*command, "--out", str(tmp_path)])
    gsoftmax.main()
    for method in gsoftmax.METHODS:
        run = json.loads((tmp_path / "runs" / f"{method}-0.json").read_text())
        assert run["test_error"] < 80  # chance is 90
        expected = separability.measures(np.array(run["mean"]), np.array(run["stddev"]))
        np.testing.assert_allclose(run["ratio"], expected["ratio"], rtol=1e-5)
    plots = {"results.png", "predictions.png", "gaussians.png", "measures.png"}
    assert {path.name for path in tmp_path.glob("*.png")} == plots


@pytest.mark.slow
@pytest.mark.tensorflow
def test_starts_are_compared(tmp_path, monkeypatch):
    digits = data.balanced(data.load("digits"), 100)
    monkeypatch.setattr(data, "load", lambda name, data_dir: digits)
    names = ("softmax_zeros", "start_0_1", "start_0_1_malleable")
    methods = {name: gsoftmax_starts.METHODS[name] for name in names}
    monkeypatch.setattr(gsoftmax_starts, "METHODS", methods)
    command = ["x", "--images", "10", "--epochs", "4", "--seeds", "2", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    gsoftmax_starts.main()
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["methods"].keys() == methods.keys()
    runs = [json.loads((tmp_path / "runs" / f"start_0_1-{n}.json").read_text()) for n in (0, 1)]
    for name, mean in results["methods"]["start_0_1"]["measures"].items():
        assert mean == pytest.approx(np.mean([run[name] for run in runs]))
    assert runs[0]["gaussians"]["positive"][0] > runs[0]["gaussians"]["negative"][0]
    plots = {"results.png", "measures.png", "gaussians.png"}
    assert {path.name for path in tmp_path.glob("*.png")} == plots


def test_the_malleable_rate_falls_over_the_whole_training():
    rate = gsoftmax_starts._malleable(1100).learning_rate
    assert float(rate) == pytest.approx(0.1)
    schedule = gsoftmax_starts._malleable(1100)._learning_rate
    expected = [0.1 * np.exp(-4), 0.1 * np.exp(-8), 0.1 * np.exp(-9)]
    np.testing.assert_allclose([schedule(step) for step in (500, 1000, 1100)], expected, rtol=1e-4)
