import json
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_softmaxes.metrics import BrierScore, CalibrationError, RiskCoverage

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "calibration.json").read_text())


def leading_errors(labels, probabilities):
    """Return how many of the most confident examples are wrong: of one, of two, ..., of all."""
    wrong = probabilities.argmax(axis=1) != labels
    return np.cumsum(wrong[np.argsort(-probabilities.max(axis=1))])


def from_the_first_example(measure, area, labels, probabilities):
    """Return an area as torch-uncertainty defines it, by the formula of `ops.risk_coverage`."""
    errors, count = leading_errors(labels, probabilities), len(labels)
    beside = errors[0] + errors[-1] / count if measure == "aurc" else errors[0] / count
    return (count * area - beside / 2) / (count - 1)


# Each with what turns its value into the other package's, where that is another one.
METRICS = {
    "brier_score": (BrierScore, None),
    **{
        f"{name}{suffix}": (partial(CalibrationError, norm=norm, **settings), None)
        for name, settings in {
            "calibration_error": {},
            "adaptive": {"adaptive": True},
            "class_wise": {"class_wise": True},
        }.items()
        for suffix, norm in {"": "l1", "_l2": "l2", "_max": "max"}.items()
    },
    **{
        measure: (partial(RiskCoverage, measure), partial(from_the_first_example, measure))
        for measure in ("aurc", "augrc")
    },
    **{
        f"coverage_at_{share}_%": (partial(RiskCoverage, "coverage", risk=share / 100), None)
        for share in (10, 20)
    },
}


@pytest.mark.parametrize("name", GOLDEN["values"])
def test_the_value_is_torch_uncertaintys(name):
    """Or torchmetrics', of examples without ties, as many in each adaptive bin."""
    make, convert = METRICS[name]
    data = np.array(GOLDEN["labels"]), np.array(GOLDEN["probabilities"])
    metric = make()
    metric.update_state(*data)
    value = float(metric.result())
    value = convert(value, *data) if convert else value
    assert value == pytest.approx(GOLDEN["values"][name], abs=1e-6)


def test_the_error_is_the_mean_surplus_of_confidence():
    probabilities = np.array([[0.9, 0.1], [0.92, 0.08], [0.3, 0.7], [0.45, 0.55]])
    metric = CalibrationError()
    metric.update_state([0, 1, 1, 1], probabilities)
    # Bins of 1/15: .9 and .92, one right; .7; .55.
    expected = (abs(0.9 + 0.92 - 1) + abs(0.7 - 1) + abs(0.55 - 1)) / 4
    assert float(metric.result()) == pytest.approx(expected)


OF_LABELS = [
    BrierScore,
    CalibrationError,
    partial(CalibrationError, class_wise=True),
    partial(CalibrationError, adaptive=True, class_wise=True),
]


@pytest.mark.parametrize("make", OF_LABELS)
def test_labels_have_probabilities_from_0_to_1(make):
    for wrong in (1.5, -0.5, np.inf):
        with pytest.raises(ValueError, match=r"`y_pred`.*probabilities of the labels, from 0 to 1"):
            make(multi_label=True).update_state([[0, 1]], [[0.5, wrong]])
    with pytest.raises(ValueError, match=r"`labels`.*1 for each label"):
        make(multi_label=True).update_state([[0, 2]], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="`sample_weight`"):
        make(multi_label=True).update_state([[0, 1]], [[0.5, 0.5]], -1.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("bins", 0), ("norm", "l3"), ("adaptive", 1), ("class_wise", None), ("multi_label", 1)],
)
def test_bad_arguments_raise(name, value):
    with pytest.raises(ValueError, match=f"`{name}`"):
        CalibrationError(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("measure", "auc"), ("risk", 1.5), ("capacity", 0)])
def test_bad_arguments_of_the_risk_raise(name, value):
    with pytest.raises(ValueError, match=f"`{name}`"):
        RiskCoverage(**{name: value})


@pytest.mark.parametrize("metric", [CalibrationError, RiskCoverage])
def test_logits_raise(metric):
    with pytest.raises(ValueError, match=r"`y_pred`.*probabilities.*sum to 1"):
        metric().update_state([0], [[3.0, 1.0]])


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("kind", [BrierScore, CalibrationError, RiskCoverage])
def test_padding_has_no_part(kind, multi_label):
    if multi_label and kind is RiskCoverage:
        pytest.skip("is of classes alone")
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 9, (6, 4))
    tokens[:, 2:] *= rng.integers(0, 2, (6, 1))  # 0 is padding
    labels = rng.integers(0, 2, (6, 4, 3)) if multi_label else rng.integers(0, 3, (6, 4))
    layers = [
        keras.layers.Embedding(9, 4, mask_zero=True, embeddings_initializer="normal"),
        keras.layers.Dense(3, "sigmoid" if multi_label else "softmax"),
    ]
    model = keras.Sequential([keras.Input((4,), dtype="int32"), *layers])
    settings = {"multi_label": True} if multi_label else {}
    model.compile(loss="mse", weighted_metrics=[kind(name="measured", **settings)])
    targets = labels if multi_label else np.eye(3)[labels]
    masked = model.evaluate(tokens, targets, batch_size=3, verbose=0, return_dict=True)["measured"]
    weighted = kind(**settings)
    weighted.update_state(labels, model.predict(tokens, verbose=0), tokens > 0)
    assert masked == pytest.approx(float(weighted.result()), rel=1e-5)
