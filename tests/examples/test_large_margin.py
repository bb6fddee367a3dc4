import csv
import json
import subprocess
import sys

import data
import keras
import large_margin
import large_margin_plots
import methods
import numpy as np
import pytest
from conftest import ROOT
from intervals import mean_interval, ratio_interval
from matplotlib import pyplot as plt

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(300, 8, 8, 1)).astype("float32"), np.arange(300) % 5
    return data.Images(x, y, x, y)


@pytest.mark.slow
def test_methods_are_paired_by_the_seed(images, monkeypatch):
    """With weight 0 the large-margin loss is softmax's, and so must be what it trains."""
    zero = large_margin.Objective("", lambda: ks.losses.LargeMarginCrossentropy(weight=0))
    monkeypatch.setitem(large_margin.OBJECTIVES, "zero", zero)
    histories = []
    for objective, seed in (("softmax", 3), ("zero", 3), ("softmax", 4)):
        keras.utils.set_random_seed(seed)
        altered = data.mislabelled(images, 0.3, seed)
        model = large_margin.compiled_model(objective, altered, "small", 1)
        history = model.fit(altered.x_train, altered.y_train, batch_size=128, verbose=0).history
        histories.append(history["loss"] + history["margin_bias"])
    assert histories[1] == pytest.approx(histories[0], rel=1e-4)
    assert histories[2] != pytest.approx(histories[0], rel=1e-4)


def test_label_smoothing_is_keras(images):
    logits = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    labels = images.y_train[:6]
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    expected = float(theirs(keras.ops.one_hot(labels, 5), logits))
    ours = large_margin.OBJECTIVES["label_smoothing"].loss()
    assert float(ours(labels, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "weight", "divergence"),
    [
        ("symmetric_0.3", 0.3, "symmetric"),
        ("forward_1", 1, "forward"),
        ("reverse_0.5", 0.5, "reverse"),
    ],
)
def test_an_objective_is_what_its_name_says(name, weight, divergence):
    config = large_margin.OBJECTIVES[name].loss().get_config()
    assert (config["weight"], config["divergence"]) == (weight, divergence)
    assert (config["bias"], config["label_smoothing"]) == (0, 0)


def test_the_thirteen_layers_learn_by_the_papers_rates():
    schedule = large_margin.RECIPES["thirteen"].schedule(391, 50)
    rates = [float(schedule(391 * epoch + step)) for epoch in range(50) for step in (0, 390)]
    np.testing.assert_allclose(rates, np.repeat(np.logspace(-1, -4, 50), 2), rtol=1e-4)


def test_the_thirteen_layers_train_by_the_recipe():
    x = np.zeros((2, 32, 32, 3), "float32")
    images = data.Images(x, np.array([0, 99]), x, np.array([0, 99]))
    model = large_margin.compiled_model("symmetric_0.3", images, "thirteen", 50)
    squares = sum((keras.ops.convert_to_numpy(v) ** 2).sum() for v in model.trainable_variables)
    assert float(sum(model.losses)) == pytest.approx(1e-4 / 2 * squares, rel=1e-5)
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert model.optimizer.momentum == 0.9
    names = [type(layer).__name__ for layer in model.layers]
    assert names[1:3] == ["RandomTranslation", "RandomFlip"]
    assert model.output.shape == (None, 100)


def test_fewer_images_are_as_many_of_each_class(images):
    fewer = large_margin.EXPERIMENTS["samples"].altered(images, 0.7, 0)
    assert list(np.bincount(fewer.y_train)) == [42] * 5
    assert large_margin.EXPERIMENTS["samples"].altered(images, 1.0, 0) is images


def test_runs_on_unaltered_images_are_shared():
    names = {
        large_margin.arm_name(experiment, share, "softmax")
        for experiment, share in (("ablation", 1.0), ("samples", 1.0), ("noise", 0.0))
    }
    assert names == {"softmax-unaltered"}
    assert large_margin.arm_name("noise", 0.5, "softmax") == "softmax-noise-0.5"
    assert large_margin.arm_name("samples", 0.5, "softmax") == "softmax-samples-0.5"


def test_ratios_are_paired_with_softmax():
    errors = {"softmax": [10.0, 12.0, 11.0], "symmetric_1": [9.0, 11.5, 10.0]}
    runs = {name: [{"test_error": e} for e in each] for name, each in errors.items()}
    rows = large_margin.summary(runs)
    assert rows["softmax"] == (mean_interval(errors["softmax"]), None)
    assert rows["symmetric_1"][1] == ratio_interval(errors["symmetric_1"], errors["softmax"])
    assert large_margin.summary({"symmetric_1": runs["symmetric_1"]})["symmetric_1"][1] is None


def test_the_divergences_are_drawn_as_in_figure_4():
    figure, axes = plt.subplots()
    large_margin_plots._divergences(axes)
    curves = {line.get_label(): line.get_data() for line in axes.lines}
    plt.close(figure)
    q = 1 / (1 + np.exp(-curves["symmetric"][0]))
    forward = q * np.log(2 * q) + (1 - q) * np.log(2 * (1 - q))
    reverse = -np.log(2) - np.log(q * (1 - q)) / 2
    expected = {
        "D(q || u)": forward,
        "D(u || q)": reverse,
        "symmetric": (forward + reverse) / 2,
    }
    for title, values in expected.items():
        np.testing.assert_allclose(curves[title][1], values, atol=1e-5)


def run(*arguments):
    command = [sys.executable, str(ROOT / "examples" / "large_margin.py"), *map(str, arguments)]
    completed = subprocess.run(command, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


@pytest.mark.slow
def test_it_compares_and_continues(tmp_path):
    arguments = ["--dataset", "digits", "--train-size", 200, "--epochs", 2, "--seeds", 1]
    arguments += ["--methods", "softmax", "symmetric_1", "--out", tmp_path]
    run(*arguments, "--experiment", "noise", "--shares", 0, 0.3)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*")}
    assert len(before) == 8
    removed = tmp_path / "runs" / "softmax-noise-0.3-0.json"
    removed.unlink()
    output = run(*arguments, "--experiment", "noise", "--shares", 0, 0.3)
    for path, time in before.items():
        assert (path.stat().st_mtime_ns != time) == (path.stem == removed.stem), path

    summary = json.loads((tmp_path / "noise.json").read_text())
    with (tmp_path / "noise.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["share"], row["method"]) for row in rows] == [
        (share, method) for share in ("0.0", "0.3") for method in ("softmax", "symmetric_1")
    ]
    for row in rows:
        record = summary["shares"][f"{float(row['share']):g}"][row["method"]]
        assert record["test_errors"] == [float(row["test_error"])]
        assert f"{record['mean']['estimate']:.2f}" in output
    model = keras.saving.load_model(tmp_path / "runs" / "symmetric_1-noise-0.3-0.keras")
    test_error = methods.test_error(model, data.load("digits"))
    assert summary["shares"]["0.3"]["symmetric_1"]["test_errors"] == [test_error]
    remembered = json.loads((tmp_path / "runs" / "symmetric_1-noise-0.3-0.json").read_text())
    assert len(remembered["margin_bias"]) == 2
    assert all(0 < bias < np.log(9) for bias in remembered["margin_bias"])
    for plot in ("noise", "noise_bias", "losses"):
        assert (tmp_path / f"{plot}.png").read_bytes().startswith(b"\x89PNG")

    run(*arguments, "--experiment", "samples", "--shares", 1)
    assert {path.name for path in (tmp_path / "runs").glob("*")} == {path.name for path in before}
    assert (tmp_path / "samples.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shares", "0.3", "1.5"], "--shares must be in [0, 1], got [0.3, 1.5]"),
        (["--train-size", "0"], "--train-size must be at least 1, got 0"),
        (["--methods", "softmax", "soft"], "invalid choice: 'soft'"),
    ],
)
def test_bad_arguments_raise(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["large_margin.py", *arguments])
    with pytest.raises(SystemExit):
        large_margin.parse_arguments()
    assert message in capsys.readouterr().err


def test_an_experiment_is_the_papers_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["large_margin.py", "--experiment", "samples"])
    args = large_margin.parse_arguments()
    assert args.shares == [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert args.methods == ["softmax", "label_smoothing", *large_margin.OURS]
    monkeypatch.setattr(sys, "argv", ["large_margin.py", "--network", "thirteen"])
    assert large_margin.parse_arguments().epochs == 50
