import argparse
import json
import re
import sys

import data
import keras
import many_classes
import many_classes_grid
import methods
import numpy as np
import pytest
from sklearn.metrics import log_loss

pytestmark = pytest.mark.tensorflow
# Those whose names hold a number are another method at another number.
WITHOUT_NUMBERS = [name for name in many_classes.METHODS if not re.search(r"\d", name)]


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(120, 28, 28, 1)).astype("float32"), np.arange(120) % 12
    return data.Images(x, y, x[:60], y[:60])


def asked(**arguments):
    return argparse.Namespace(**{"classes": None, "images": None, "validation": False, **arguments})


def test_classes_and_images_of_each_are_chosen(images):
    few = many_classes.chosen(images, asked(classes=5, images=3))
    assert np.bincount(few.y_train).tolist() == [3] * 5
    np.testing.assert_array_equal(
        few.x_train, images.x_train[[*range(5), *range(12, 17), *range(24, 29)]]
    )
    assert np.bincount(few.y_test).tolist() == [5] * 5
    everything = many_classes.chosen(images, asked())
    np.testing.assert_array_equal(everything.x_train, images.x_train)
    np.testing.assert_array_equal(everything.x_test, images.x_test)


def test_validation_holds_training_images_back(images):
    held = many_classes.chosen(images, asked(validation=True))
    assert np.bincount(held.y_train).tolist() == [7] * 12
    assert np.bincount(held.y_test).tolist() == [3] * 12
    rows = np.concatenate([held.x_train, held.x_test]).reshape(120, -1)
    assert len(np.unique(rows, axis=0)) == 120
    np.testing.assert_array_equal(held.x_test[0], images.x_train[7 * 12])


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_NUMBERS)
def test_a_method_learns_and_is_judged_by_its_probabilities(images, name):
    keras.utils.set_random_seed(0)
    method = many_classes.METHODS[name]
    network = many_classes.RECIPES["omniglot_964x28"].network
    model = methods.build(method, network, images.x_train.shape[1:], images.classes)
    method.compile(model, keras.optimizers.Adam(1e-3))
    losses = model.fit(images.x_train, images.y_train, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    served = methods.serving(model, method.activation)
    result = many_classes.judged(served, images)
    probabilities = served.predict(images.x_test, verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    wrong = (probabilities.argmax(axis=1) != images.y_test).mean()
    assert result["test_error"] == pytest.approx(100 * wrong, abs=1e-3)
    if probabilities.min() > 0:
        exact = probabilities.astype("float64")
        likelihood = log_loss(images.y_test, exact / exact.sum(axis=1, keepdims=True))
        assert result["negative_log_likelihood"] == pytest.approx(likelihood, rel=1e-3)


@pytest.mark.slow
def test_it_compares_and_continues(images, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, folder: images)
    arguments = ["--methods", "softmax_zeros", "dropmax", "--seeds", "1", "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", ["many_classes.py", *arguments, "--out", str(tmp_path)])
    many_classes.main()
    first = (tmp_path / "runs" / "dropmax-0.json").read_text()
    many_classes.main()
    assert (tmp_path / "runs" / "dropmax-0.json").read_text() == first
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results["methods"]) == {"softmax_zeros", "dropmax"}
    assert results["settings"]["classes"] == 12
    assert (tmp_path / "results.csv").read_text().startswith("method,seed,test_error,negative")
    assert (tmp_path / "results.png").exists()


@pytest.mark.slow
def test_a_grid_compares_and_continues(images, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, folder: images)
    monkeypatch.setattr(many_classes_grid, "CLASSES", (6, 12))
    monkeypatch.setattr(many_classes_grid, "IMAGES", (2,))
    monkeypatch.setattr(sys, "argv", ["grid", "--steps", "1", "--out", str(tmp_path)])
    many_classes_grid.main()
    first = (tmp_path / "6-2" / "runs" / "dropmax-0.json").read_text()
    many_classes_grid.main()
    assert (tmp_path / "6-2" / "runs" / "dropmax-0.json").read_text() == first
    few, many = json.loads((tmp_path / "results.json").read_text())["cells"]
    assert (few["classes"], many["classes"], many["images"]) == (6, 12, 2)
    errors = {name: values[0] for name, values in many["test_errors"].items()}
    assert many["ratio"] == pytest.approx(errors["dropmax"] / errors["softmax_zeros"])


def test_a_cell_of_a_grid_has_about_so_many_steps():
    assert many_classes_grid.epochs((100, 2), 1200) == 600
    assert many_classes_grid.epochs((964, 16), 1200) == 10
    assert many_classes_grid.epochs((964, 16), 1) == 1
