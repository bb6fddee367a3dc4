import json
import sys

import adversarial_dropout_mnist
import adversarial_dropout_sparsity as sparsity
import data
import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def small_mnist(monkeypatch):
    """Fashions of noise: each class brightens rows of its own."""
    rng = np.random.default_rng(0)

    def images(count):
        y = np.arange(count) % 10
        x = rng.uniform(0, 0.3, size=(count, 28, 28, 1)).astype("float32")
        x[np.arange(count), 2 * y + 2] += 0.7
        return x, y

    loaded = data.Images(*images(400), *images(200))
    monkeypatch.setattr(data, "load", lambda name, data_dir: loaded)
    monkeypatch.setattr(adversarial_dropout_mnist, "STEPS_A_REPORT", 5)
    monkeypatch.setattr(sparsity, "TEST_IMAGES", 100)
    return loaded


@pytest.mark.slow
def test_it_trains_with_few_labels_and_continues(small_mnist, tmp_path, monkeypatch, capsys):
    names = ["plain", "vadd", "temporal", "sadd"]
    arguments = ["--labels", 100, "--steps", 20, "--out", tmp_path, "--methods", *names]
    for seeds in (1, 2):
        monkeypatch.setattr(sys, "argv", ["program", *map(str, [*arguments, "--seeds", seeds])])
        adversarial_dropout_mnist.main()
    assert "8/8" in capsys.readouterr().out
    summary = json.loads((tmp_path / "results.json").read_text())
    assert list(summary["methods"]) == names
    assert summary["methods"]["vadd"]["mean"]["estimate"] < 60  # chance is 90
    assert "ratio_to_plain" in summary["methods"]["vadd"]
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + 8
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")


def test_labelled_and_unlabelled_images_are_told_apart(small_mnist):
    known, others = adversarial_dropout_mnist.split(small_mnist, 100, seed=3)
    assert np.bincount(small_mnist.y_train[known]).tolist() == [10] * 10
    assert sorted([*known, *others]) == list(range(400))
    again, _ = adversarial_dropout_mnist.split(small_mnist, 100, seed=3)
    other, _ = adversarial_dropout_mnist.split(small_mnist, 100, seed=4)
    assert known.tolist() == again.tolist() != other.tolist()


@pytest.mark.slow
def test_autoencoders_are_compared(small_mnist, tmp_path, monkeypatch):
    arguments = ["--epochs", 2, "--seeds", 2, "--out", tmp_path]
    monkeypatch.setattr(sys, "argv", ["program", *map(str, arguments)])
    sparsity.main()
    summary = json.loads((tmp_path / "results.json").read_text())
    assert {name: len(runs) for name, runs in summary["autoencoders"].items()} == dict.fromkeys(
        sparsity.METHODS, 2
    )
    for name in ("filters", "activations", "linear_regression"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("strength", [0.0, 0.1, 2.0])
def test_adversarial_training_of_linear_regression_is_two_penalties(strength):
    expansion = sparsity.adversarial_training(sparsity.linear_problem(1), strength)
    assert expansion.perturbed == pytest.approx(sum(expansion[1:]), rel=1e-12)
    assert (expansion.perturbed > expansion.plain) == (strength > 0)


@pytest.mark.parametrize("dropped", [0, 1, 5, 20])
def test_adversarial_dropout_of_linear_regression_is_two_penalties(dropped):
    expansion = sparsity.adversarial_dropout(sparsity.linear_problem(1), dropped)
    assert expansion.perturbed == pytest.approx(sum(expansion[1:]), rel=1e-12)
    assert (expansion.perturbed > expansion.plain) == (dropped > 0)
