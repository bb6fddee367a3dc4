import json
import sys

import data
import gram_matrix
import numpy as np
import pytest
from scipy.stats import ortho_group


def simplex(classes, features):
    """Return the corners of a regular simplex of unit vectors as columns, rotated."""
    corners = np.eye(classes) - 1 / classes
    corners = np.vstack([corners, np.zeros((features - classes, classes))])
    return ortho_group.rvs(features, random_state=0) @ corners / np.sqrt(1 - 1 / classes)


def test_a_simplex_is_symmetric_and_its_cosines_are_one():
    found = gram_matrix.symmetry(simplex(5, 8))
    assert found["asymmetry"] == pytest.approx(0, abs=1e-6)
    assert found["cosine_mean"] == pytest.approx(-1 / 4)
    assert found["cosine_deviation"] == pytest.approx(0, abs=1e-9)
    assert found["length_deviation"] == pytest.approx(0, abs=1e-9)


def test_the_distance_is_to_the_nearest_simplex_of_any_size():
    kernel = simplex(5, 8)
    shifted = 3 * kernel + np.full((8, 1), 0.5)  # a shift of all, which is orthogonal to it
    expected = np.linalg.norm(np.full((8, 5), 0.5)) / np.linalg.norm(shifted)
    assert gram_matrix.symmetry(shifted)["asymmetry"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_it_trains_and_draws(tmp_path, monkeypatch):
    digits = data.load("digits")
    monkeypatch.setattr(data, "load", lambda name, folder: digits)
    command = ["gram", "--images", "10", "--epochs", "2", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    gram_matrix.main()
    found = json.loads((tmp_path / "results.json").read_text())["methods"]
    assert found["super_symmetric"]["asymmetry"] < 1e-5 < found["softmax"]["asymmetry"]
    assert (tmp_path / "results.png").exists()
