import json
import sys
import types

import data
import decision_boundaries
import dropmax_mnist
import dropmax_plots
import dropmax_table
import keras
import methods
import numpy as np
import pytest
from dropmax_table import Row

import keras_softmaxes as ks

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def mnist():
    """Noise in the shape of MNIST, enough for 1,000 images to train on and the holdout."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(6100) % 10)
    x = rng.uniform(size=(6100, 28, 28, 1)).astype("float32")
    return data.Images(x, y, x[:50], y[:50])


def test_the_holdout_follows_the_training_images(mnist):
    for size in (1000, 20):
        training, held = data.balanced(mnist, size), dropmax_table.held_out(mnist, size)
        assert (np.bincount(held.y_test) == 500).all()
        for label in range(10):
            of_class = mnist.x_train[mnist.y_train == label]
            first = size // 10
            np.testing.assert_array_equal(
                held.x_test[held.y_test == label], of_class[first : first + 500]
            )
            np.testing.assert_array_equal(
                training.x_train[training.y_train == label], of_class[:first]
            )


def test_the_lowest_error_on_the_holdout_is_chosen():
    row = Row("class_dropout", {}, methods.class_dropout, (0.2, 0.4))
    trials = {
        "class_dropout_0.2": [{"holdout_error": 3.0}, {"holdout_error": 1.0}],
        "class_dropout_0.4": [{"holdout_error": 2.5}, {"holdout_error": 1.0}],
    }
    assert dropmax_table.best(row, trials) == "class_dropout_0.4"
    assert dropmax_table.best(Row("softmax", {}), trials) == "softmax"


@pytest.mark.parametrize("row", dropmax_table.TABLE, ids=lambda row: row.method)
def test_a_candidate_has_the_value_of_its_name(row):
    for name, method in row.candidates().items():
        if row.searched is None:
            assert method is methods.METHODS[name]
            continue
        config = {**method.head(10).get_config(), **method.loss().get_config()}
        argument = {"dropmax_prior": "entropy_weight", "class_dropout": "retain"}
        assert name == f"{row.method}_{config[argument.get(row.method, 'fraction')]:g}"


def test_the_curve_is_the_cross_entropy_of_the_probabilities():
    curve = dropmax_mnist.Convergence(images=None)
    probabilities = np.array([[0.5, 0.5], [1.0, 0.0]], "float32")
    curve.serving = types.SimpleNamespace(predict=lambda x, **arguments: probabilities)
    assert curve._cross_entropy(None, np.array([1, 0])) == pytest.approx(np.log(2) / 2)
    floor = float(-np.log(np.finfo("float32").tiny))
    assert curve._cross_entropy(None, np.array([0, 1])) == pytest.approx((np.log(2) + floor) / 2)


def test_the_draws_of_the_plots_are_those_of_monte_carlo(monkeypatch):
    monkeypatch.setattr(dropmax_plots, "SAMPLES", 50)
    model = ks.models.Classifier(keras.layers.Flatten(), ks.layers.DropMax(4))
    x = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
    draws = dropmax_plots._target_draws(model, x, targets=[2, 0, 3])
    assert draws.shape == (3, 50)
    expected = ks.models.monte_carlo(model, x, samples=50, seed=0)
    rows = (np.arange(3), [2, 0, 3])
    np.testing.assert_allclose(draws.mean(axis=1), expected["mean"][rows], rtol=1e-5)
    np.testing.assert_allclose(draws.std(axis=1), expected["stddev"][rows], rtol=1e-4)


@pytest.mark.slow
def test_it_searches_tests_and_continues(mnist, tmp_path, monkeypatch):
    rows = (
        Row("softmax", {1000: 7.0}),
        Row("class_dropout", {1000: 7.2}, methods.class_dropout, (0.2, 0.4)),
        Row("dropmax", {1000: 5.3}),
    )
    monkeypatch.setattr(dropmax_table, "TABLE", rows)
    monkeypatch.setattr(data, "load", lambda name, folder: mnist)
    arguments = ["--epochs", "3", "--seeds", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["dropmax_table.py", *arguments])
    dropmax_table.main()
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.json")}
    assert set(done) == {
        f"{name}-0.json"
        for name in ("softmax", "dropmax", "class_dropout_0.2", "class_dropout_0.4")
    }
    search = json.loads((tmp_path / "search.json").read_text())
    chosen = search["chosen"]["class_dropout"]
    assert search["holdout_errors"][chosen] == min(search["holdout_errors"].values())
    results = json.loads((tmp_path / "results.json").read_text())["methods"]
    run = json.loads((tmp_path / "runs" / f"{chosen}-0.json").read_text())
    assert results["class_dropout"]["test_errors"] == [run["test_error"]]
    (other,) = set(search["holdout_errors"]) - {chosen}
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps({"chosen": {**search["chosen"], "class_dropout": other}}))
    monkeypatch.setattr(sys, "argv", ["dropmax_table.py", *arguments, "--chosen", str(earlier)])
    dropmax_table.main()
    results = json.loads((tmp_path / "results.json").read_text())["methods"]
    run = json.loads((tmp_path / "runs" / f"{other}-0.json").read_text())
    assert results["class_dropout"]["test_errors"] == [run["test_error"]]
    for name, time in done.items():
        assert (tmp_path / "runs" / name).stat().st_mtime_ns == time
    for plot in ("table", "results"):
        assert (tmp_path / f"{plot}.png").read_bytes().startswith(b"\x89PNG")
    for content, message in (("{", "is broken"), ("[]", "is no search")):
        earlier.write_text(content)
        with pytest.raises(SystemExit, match=f"earlier.json {message}"):
            dropmax_table.main()


@pytest.mark.slow
def test_decision_boundaries_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(decision_boundaries, "EPOCHS", 2)
    monkeypatch.setattr(decision_boundaries, "RETAIN", (0.5,))
    monkeypatch.setattr(sys, "argv", ["", "--seeds", "2", "--out", str(tmp_path)])
    decision_boundaries.main()
    errors = json.loads((tmp_path / "decision_boundaries.json").read_text())["test_errors"]
    assert {title: len(values) for title, values in errors.items()} == {
        "Softmax": 2,
        "DropMax, retain 0.5": 2,
    }
    assert (tmp_path / "decision_boundaries.png").read_bytes().startswith(b"\x89PNG")
