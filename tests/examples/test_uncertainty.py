"""The comparison of what outputs do not know, and the snippets of the guide's page."""

import json
import re
import sys

import keras
import numpy as np
import pytest
import uncertainty
from conftest import ROOT
from sklearn.metrics import log_loss

pytestmark = pytest.mark.tensorflow


def make_splits(rows=400):
    rng = np.random.default_rng(0)
    images, labels = np.zeros((rows, 1)), rng.integers(0, 10, rows)
    part = images, labels
    return uncertainty.Splits(part, part, part, images)


def make_predictions(labels):
    """Return probabilities that are right, but not certain enough."""
    rng = np.random.default_rng(1)
    logits = 2 * np.eye(10)[labels] + 0.5 * rng.gumbel(size=(len(labels), 10))
    right = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    even = np.full((len(labels), 10), 0.1)
    return {"validation": right, "test": right, "outliers": even}


def test_outputs_are_judged_raw_and_with_a_temperature():
    splits = make_splits()
    labels = splits.test[1]
    raw = make_predictions(labels)
    after = uncertainty.calibrated(raw, splits)
    before, calibrated = (uncertainty.judged(each, splits) for each in (raw, after))
    likelihood = log_loss(labels, raw["test"], labels=range(10))
    assert before["negative_log_likelihood"] == pytest.approx(likelihood, rel=1e-5)
    assert before["temperature"] == 1
    assert calibrated["temperature"] != 1
    assert calibrated["negative_log_likelihood"] < before["negative_log_likelihood"]
    assert calibrated["test_error"] == before["test_error"]
    assert before["auroc"] == 1
    assert before["fpr_95"] == 0


def test_images_of_validation_are_no_training_images():
    splits = uncertainty.split("digits", None)
    train, validation = (np.reshape(x, (len(x), -1)) for x, _ in (splits.train, splits.validation))
    assert len(train) == len(validation) == 300
    same = (train[:, None] == validation).all(axis=-1)
    assert not same.any()
    assert np.bincount(splits.validation[1]).tolist() == [30] * 10


@pytest.mark.slow
def test_it_compares_and_continues(tmp_path, monkeypatch):
    arguments = ["--dataset", "digits", "--seeds", "2", "--epochs", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["uncertainty.py", *arguments])
    monkeypatch.setattr(uncertainty, "SAMPLES", 2)
    monkeypatch.setattr(uncertainty, "BAGGED", 2)
    uncertainty.main()
    first = (tmp_path / "runs" / "dropmax-0.json").read_text()
    uncertainty.main()
    assert (tmp_path / "runs" / "dropmax-0.json").read_text() == first
    outputs = json.loads((tmp_path / "results.json").read_text())["outputs"]
    assert list(outputs) == list(uncertainty.TITLES)
    assert len(outputs["bag"]["temperature"]["aurc"]["values"]) == 2
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + 2 * 2 * len(outputs)
    for name in ("reliability.png", "risk_coverage.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_snippets_of_the_guide_run():
    page = (ROOT / "docs" / "uncertainty.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, "uncertainty.md", "exec"), names)
    y = names["y"]
    assert names["probabilities"].shape == (len(y), 10)
    assert names["found"]["sets"][np.arange(len(y)), y].mean() > 0.9


def test_keras_has_the_negative_log_likelihood():
    """As the guide says, which is why there is no metric of that name."""
    rng = np.random.default_rng(0)
    y, probabilities = rng.integers(0, 4, 50), rng.dirichlet(np.ones(4), 50)
    metric = keras.metrics.SparseCategoricalCrossentropy()
    metric.update_state(y, probabilities)
    assert float(metric.result()) == pytest.approx(log_loss(y, probabilities), rel=1e-5)
