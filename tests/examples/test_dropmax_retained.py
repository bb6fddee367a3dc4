import json
import sys

import data
import dropmax_retained
import numpy as np
import pytest


def test_classes_are_ranked_by_their_retain_probabilities():
    retain = np.array([[0.9, 0.5, 0.1], [0.2, 0.3, 0.8], [0.4, 0.6, 0.2]])
    found = dropmax_retained.ranked(retain, np.array([1, 0, 2]), np.array([0, 0, 1]))
    assert found["softmax_errors"] == 2
    assert found["median_rank"] == {"target": 2.5, "guess": 1.0}
    assert found["mean_retain"]["target"] == pytest.approx((0.5 + 0.2) / 2)
    assert found["mean_retain"]["guess"] == pytest.approx((0.9 + 0.6) / 2)
    assert found["mean_retain"]["all"] == pytest.approx((1.5 + 1.2) / 6)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_it_trains_and_draws(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(120, 28, 28, 1)).astype("float32"), np.arange(120) % 12
    monkeypatch.setattr(data, "load", lambda name, folder: data.Images(x, y, x[:60], y[:60]))
    monkeypatch.setattr(sys, "argv", ["retained", "--epochs", "1", "--out", str(tmp_path)])
    dropmax_retained.main()
    assert (tmp_path / "results.png").exists()
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["test_errors"].keys() == {"softmax_zeros", "dropmax"}
    assert 1 <= found["median_rank"]["target"] <= 12
