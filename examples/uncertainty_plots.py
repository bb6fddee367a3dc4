"""Reliability diagrams and risk-coverage curves of several outputs."""

from pathlib import Path

import keras
import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

import keras_softmaxes as ks

BINS = 10
COVERAGE = np.linspace(0.02, 1, 50)

Predictions = dict[str, np.ndarray]
Forms = dict[str, dict[str, list[Predictions]]]


def draw(
    forms: Forms, labels: np.ndarray, titles: dict[str, str], title: str, folder: Path
) -> None:
    """Draw reliability.png and risk_coverage.png.

    Args:
        forms: for each output, raw and with a temperature, what was predicted with each seed.
        labels: of the test images.
        titles: what to call the outputs.
        title: the setting in words.
        folder: where the files go.
    """
    mpl.use("Agg")
    _reliability(forms, labels, titles, title, folder / "reliability.png")
    _risk_coverage(forms, labels, titles, title, folder / "risk_coverage.png")


def _reliability(
    forms: Forms, labels: np.ndarray, titles: dict[str, str], title: str, path: Path
) -> None:
    """Draw accuracy against confidence, the examples of all seeds together."""
    width = max(2 * len(forms), 10)  # which the title needs
    figure, grid = plt.subplots(
        2, len(forms), figsize=(width, 4.4), sharex=True, sharey=True, layout="constrained"
    )
    for column, (output, of_form) in zip(grid.T, forms.items(), strict=True):
        for axes, (form, of_seeds) in zip(column, of_form.items(), strict=True):
            probabilities = np.concatenate([each["test"] for each in of_seeds])
            every = np.tile(labels, len(of_seeds))
            found = ks.ops.reliability(every, probabilities, np.ones(len(every)), BINS)
            weight, confidence, accuracy = (
                keras.ops.convert_to_numpy(found[name])
                for name in ("weight", "confidence", "accuracy")
            )
            kept = weight >= 0.001 * len(every)
            axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
            axes.scatter(confidence[kept], accuracy[kept], 150 * np.sqrt(weight / len(every))[kept])
            axes.set_title(f"{titles[output]}\n{form}", fontsize=8)
    grid[0, 0].set_xlim(0, 1)
    grid[0, 0].set_ylim(0, 1)
    figure.supxlabel("confidence")
    figure.supylabel("share of right answers")
    figure.suptitle(f"{title}: confidence and accuracy; a dot's width is its share of the images")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _risk_coverage(
    forms: Forms, labels: np.ndarray, titles: dict[str, str], title: str, path: Path
) -> None:
    """Draw the error of the most certain images, the mean over the seeds."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for output, of_form in forms.items():
        curves = [_risk(each["test"], labels) for each in of_form["temperature"]]
        axes.plot(COVERAGE, 100 * np.mean(curves, axis=0), label=titles[output])
    axes.set_xlabel("coverage, the share of the images that is answered")
    axes.set_ylabel("error of these, %")
    axes.set_title(f"{title}, with a temperature")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _risk(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the risk at each coverage of the grid."""
    wrong = probabilities.argmax(axis=1) != labels
    curve = ks.ops.risk_coverage(wrong, probabilities.max(axis=1), np.ones(len(labels)))
    coverage, risk = (keras.ops.convert_to_numpy(curve[name]) for name in ("coverage", "risk"))
    return np.interp(COVERAGE, coverage, risk)
