"""The lecture's claims, with a tolerance each; and the guide's snippets."""

import json
import re
import sys

import numpy as np
import pytest
import regularization_tour as tour
from conftest import ROOT

pytestmark = pytest.mark.tensorflow

GUIDE = (ROOT / "docs" / "regularization.md").read_text()


def test_l2_rescales_along_the_axes_of_the_hessian():
    assert tour.l2().difference < 1e-3


@pytest.mark.slow
def test_l1_thresholds_softly():
    claim = tour.l1()
    assert claim.difference < 0.03  # alpha * rate, a step around the kink
    zeros = claim.predicted == 0
    assert zeros.any()
    assert np.abs(claim.measured[zeros]).max() <= 0.03


def test_early_stopping_is_l2_for_few_small_steps():
    claim = tour.early_stopping()
    products = 0.005 * claim.values[:, None] * tour.EIGENVALUES
    relative = np.abs(claim.measured / claim.predicted - 1)
    assert (relative <= 1.01 * products + 1e-4).all()
    exact = (1 - (1 - 0.005 * tour.EIGENVALUES) ** claim.values[:, None]) * tour.SOLUTION
    np.testing.assert_allclose(claim.measured, exact, atol=1e-6)


@pytest.mark.slow
def test_weight_noise_is_a_penalty_on_the_gradient():
    claim = tour.weight_noise()
    np.testing.assert_allclose(claim.measured, claim.predicted, rtol=0.03)
    assert claim.measured[2] > claim.measured[0] + 0.2


def test_weight_scaling_is_exact_for_softmax_regression():
    claim = tour.weight_scaling()
    assert claim.values.max() == 10
    assert claim.difference < 1e-6


@pytest.mark.slow
def test_the_tour_draws_every_claim(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program", "--out", str(tmp_path)])
    tour.main()
    assert len(list(tmp_path.glob("*.png"))) == len(tour.CLAIMS)
    differences = json.loads((tmp_path / "results.json").read_text())["differences"]
    assert list(differences) == list(tour.CLAIMS)
    assert 1e-4 < differences["Early stopping"] < 1e-2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_snippets_of_the_guide_run():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL):
        exec(compile(block, "regularization.md", "exec"), names)
    assert names["model"].built
    x, held, pursuit, ridge = (names[name] for name in ("x", "held", "pursuit", "ridge"))
    assert float(held.multiplier) > 0
    assert np.count_nonzero(pursuit.coef_) == 5
    w = names["dictionary"]
    expected = np.linalg.solve(w.T @ w + 1e-3 * np.eye(w.shape[1]), w.T @ x[200])
    np.testing.assert_allclose(ridge.coef_, expected, atol=1e-3)
    members = [each.model_.predict(x[:5], verbose=0) for each in names["bagging"].estimators_]
    ours = names["bagging"].decision_function(x[:5])
    np.testing.assert_allclose(ours, np.mean(members, axis=0), atol=1e-6)
