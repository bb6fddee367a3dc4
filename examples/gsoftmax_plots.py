"""The plots of the G-softmax paper."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import methods
import numpy as np
from matplotlib import pyplot as plt
from scipy import stats
from separability import MEASURES

Results = Mapping[str, list[dict[str, Any]]]

mpl.use("Agg")


def predictions(
    logits: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    of_class: np.ndarray,
    label: int,
    folder: Path,
) -> None:
    """Fig. 3: probability against logit, on the test images of one class, as predictions.png.

    Args:
        logits: of each method, (images, classes), before a Gaussian term.
        predicted: of each method, the probabilities, likewise.
        of_class: (images,), which images are of the class.
        label: the class.
        folder: where the file goes.
    """
    figure, panels = plt.subplots(
        1, len(logits), figsize=(4 * len(logits), 3.6), sharey=True, layout="constrained"
    )
    for axes, (name, x) in zip(panels, logits.items(), strict=True):
        x, p = x[of_class], predicted[name][of_class]
        others = np.arange(x.shape[1]) != label
        axes.plot(
            x[:, others].ravel(), p[:, others].ravel(), ".", ms=2, color="0.6", label="others"
        )
        axes.plot(x[:, label], p[:, label], ".", ms=3, color="C0", label=f"class {label}")
        axes.set(title=methods.METHODS[name].title, xlabel="logit")
    panels[0].set_ylabel("probability")
    panels[0].legend()
    figure.suptitle(f"Test images of class {label}, seed 0")
    _save(figure, folder / "predictions.png")


def gaussians(results: Results, label: int, folder: Path) -> None:
    """Fig. 5: the Gaussian of one class's logit, and its measures, as gaussians.png."""
    figure, panels = plt.subplots(1, 1 + len(MEASURES), figsize=(13, 3.4), layout="constrained")
    for number, (name, runs) in enumerate(results.items()):
        run, title = runs[0], methods.METHODS[name].title
        mean, stddev = run["mean"][label], run["stddev"][label]
        x = np.linspace(mean - 4 * stddev, mean + 4 * stddev, 200)
        panels[0].plot(x, stats.norm.pdf(x, mean, stddev), label=title)
        for axes, measure in zip(panels[1:], MEASURES, strict=True):
            axes.bar(number, run[measure][label], label=title)
    panels[0].set(title=f"logit of class {label}", xlabel="logit", ylabel="density")
    panels[0].legend()
    for axes, measure in zip(panels[1:], MEASURES, strict=True):
        axes.set(title=measure, xticks=[])
    figure.suptitle(f"Test images of class {label}, seed 0")
    _save(figure, folder / "gaussians.png")


def measures(results: Results, title: str, folder: Path) -> None:
    """Fig. 6: the measures of each class, the mean and the range of the seeds, as measures.png."""
    figure, panels = plt.subplots(
        len(MEASURES), 1, figsize=(8, 7), sharex=True, layout="constrained"
    )
    width = 0.8 / len(results)
    for axes, measure in zip(panels, MEASURES, strict=True):
        for number, (name, runs) in enumerate(results.items()):
            values = np.array([run[measure] for run in runs])
            mean = values.mean(axis=0)
            positions = np.arange(len(mean)) + (number - (len(results) - 1) / 2) * width
            spread = [mean - values.min(axis=0), values.max(axis=0) - mean]
            axes.bar(positions, mean, width, yerr=spread, label=methods.METHODS[name].title)
        axes.set_ylabel(measure)
    panels[0].legend()
    panels[0].set_title(f"{title}, test images: mean and range of the seeds")
    panels[-1].set(xlabel="class", xticks=range(len(mean)))
    _save(figure, folder / "measures.png")


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=150)
    plt.close(figure)
