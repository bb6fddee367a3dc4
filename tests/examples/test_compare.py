import csv
import json
import subprocess
import sys
from dataclasses import replace

import compare
import data
import dropmax_mnist
import keras
import numpy as np
import pytest
from conftest import ROOT

import keras_softmaxes  # noqa: F401, for the models that are loaded

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]


@pytest.fixture
def run(monkeypatch):
    """Run an example with arguments of its command line."""

    def main(program, *arguments):
        monkeypatch.setattr(sys, "argv", [program.__name__, *map(str, arguments)])
        program.main()

    return main


@pytest.fixture
def ended(run):
    """Return how `compare.py` ends where its arguments are bad, and what it says."""

    def end(*arguments):
        with pytest.raises(SystemExit) as ending:
            run(compare, *arguments)
        return ending.value.code

    return end


def test_it_compares_continues_and_serves(tmp_path, run, capsys):
    names = ["softmax", "dropmax", "large_margin"]
    arguments = ["--epochs", 2, "--train-size", 200, "--out", tmp_path, "--methods", *names]
    run(compare, "--seeds", 1, *arguments)
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*")}
    (tmp_path / "runs" / "dropmax-0.json").unlink()
    capsys.readouterr()
    run(compare, "--seeds", 2, *arguments)
    output = capsys.readouterr().out
    for path, time in first.items():
        assert (path.stat().st_mtime_ns != time) == path.name.startswith("dropmax-0"), path

    summary = json.loads((tmp_path / "results.json").read_text())
    methods = summary["methods"]
    assert list(methods) == names
    assert "6/6" in output  # with the runs done before
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    for method, row in methods.items():
        errors = [float(r["test_error"]) for r in rows if r["method"] == method]
        assert errors == row["test_errors"]
        assert row["mean"]["estimate"] == pytest.approx(np.mean(errors))
        assert f"{row['mean']['estimate']:.2f}" in output
        if method != "softmax":
            ratio = np.mean(errors) / methods["softmax"]["mean"]["estimate"]
            assert row["ratio_to_softmax"]["estimate"] == pytest.approx(ratio, abs=1e-6)
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")

    served = json.loads((tmp_path / "served.json").read_text())
    assert served["method"] == min(methods, key=lambda m: methods[m]["mean"]["estimate"])
    assert served["largest_difference"] < 1e-5
    probabilities = np.load(tmp_path / "probabilities.npy")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_same_seed_repeats_and_other_settings_raise(tmp_path, run, ended, monkeypatch):
    monkeypatch.setattr(compare, "serve", lambda *_: None)
    arguments = ["--epochs", 1, "--train-size", 100, "--seeds", 1, "--methods", "dropmax"]
    for folder in ("one", "two"):
        run(compare, *arguments, "--out", tmp_path / folder)
    first, second = (
        keras.saving.load_model(tmp_path / folder / "runs" / "dropmax-0.keras").get_weights()
        for folder in ("one", "two")
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    message = ended(*arguments, "--out", tmp_path / "one", "--epochs", 3)
    assert "holds runs of other settings: epochs was 1, is 3.\n" in message


def test_it_trains_on_two_replicas(tmp_path):
    """In a process of its own, whose devices it configures."""
    arguments = ["--epochs", 1, "--train-size", 100, "--seeds", 1, "--replicas", 2]
    arguments += ["--methods", "dropmax", "--out", tmp_path]
    command = [sys.executable, str(ROOT / "examples" / "compare.py"), *map(str, arguments)]
    completed = subprocess.run(command, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    assert json.loads((tmp_path / "results.json").read_text())["settings"]["replicas"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--train-size", 105], "multiple of 10"), (["--seeds", 0], "--seeds must be at least 1")],
)
def test_bad_arguments_raise(arguments, message, tmp_path, ended, capsys):
    code = ended(*arguments, "--out", tmp_path)
    assert code
    assert message in f"{code}{capsys.readouterr().err}"


def test_the_authors_setting_runs_on_mnist(data_dir, tmp_path, run, monkeypatch):
    mnist = data.load("mnist", data_dir)
    few = replace(mnist, x_test=mnist.x_test[:1000], y_test=mnist.y_test[:1000])
    monkeypatch.setattr(data, "load", lambda name, data_dir: few)
    arguments = ["--train-size", 100, "--epochs", 3, "--seeds", 1]
    run(dropmax_mnist, *arguments, "--data-dir", data_dir, "--out", tmp_path)
    methods = json.loads((tmp_path / "results.json").read_text())["methods"]
    assert set(methods) == {"softmax", "dropmax"}
    for plot in ("results", "convergence", "retain", "retain_by_class", "predictive"):
        assert (tmp_path / f"{plot}.png").read_bytes().startswith(b"\x89PNG")
