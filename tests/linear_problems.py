"""Features, a kernel and labels of a few classes, and tiles so small that there are several."""

import numpy as np
import pytest

from keras_softmaxes.ops import _tiles

CLASSES = 11
FEATURES = 3


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(_tiles, "TILE", 4)
    monkeypatch.setattr(_tiles, "TILE_ENTRIES", 4)
    monkeypatch.setattr(_tiles, "ENTRIES", 3 * CLASSES)
    monkeypatch.setattr(_tiles, "FEWEST_ROWS", 2)


def make_linear(rows, classes=CLASSES, seed=0):
    """Return labels and features, kernel and bias."""
    rng = np.random.default_rng(seed)
    shapes = (rows, FEATURES), (classes, FEATURES), (classes,)
    return rng.integers(0, classes, rows), [rng.normal(size=shape) for shape in shapes]


def evidence(features, kernel, bias):
    return {"features": features, "kernel": kernel, "bias": bias}
