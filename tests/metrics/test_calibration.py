import numpy as np
import pytest

from keras_softmaxes.metrics import CalibrationError, RiskCoverage


def test_the_error_is_the_mean_surplus_of_confidence():
    probabilities = np.array([[0.9, 0.1], [0.92, 0.08], [0.3, 0.7], [0.45, 0.55]])
    metric = CalibrationError()
    metric.update_state([0, 1, 1, 1], probabilities)
    # Bins of 1/15: .9 and .92, one right; .7; .55.
    expected = (abs(0.9 + 0.92 - 1) + abs(0.7 - 1) + abs(0.55 - 1)) / 4
    assert float(metric.result()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "value"), [("bins", 0), ("norm", "l3"), ("adaptive", 1), ("class_wise", None)]
)
def test_bad_arguments_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}`"):
        CalibrationError(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("measure", "auc"), ("risk", 1.5), ("capacity", 0)])
def test_bad_arguments_of_the_risk_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}`"):
        RiskCoverage(**{name: value})


@pytest.mark.parametrize("metric", [CalibrationError, RiskCoverage])
def test_logits_are_refused(metric):
    with pytest.raises(ValueError, match=r"`y_pred`.*probabilities.*sum to 1"):
        metric().update_state([0], [[3.0, 1.0]])
