"""The plots of the large-margin paper's experiments."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from intervals import Interval
from matplotlib import pyplot as plt

import keras_softmaxes as ks

mpl.use("Agg")
CLASSES = 10
TARGET_LOGIT = 3.0


def test_errors(
    summaries: Mapping[float, Mapping[str, tuple[Interval, Interval | None]]],
    titles: Mapping[str, str],
    captions: Mapping[float, str],
    title: str,
    path: Path,
) -> None:
    """Draw each objective's mean test error and its ratio to softmax, one column a share.

    Args:
        summaries: for each share and each objective, the mean and the ratio.
        titles: what the objectives are called.
        captions: what the shares are called.
        title: the setting in words.
        path: the file.
    """
    objectives = list(next(iter(summaries.values())))
    colors = _colors(len(objectives))
    figure, (errors, ratios) = plt.subplots(
        2,
        len(summaries),
        figsize=(max(7, 2.4 + 3 * len(summaries)), 2.2 + 0.56 * len(objectives)),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for error, ratio, (share, summary) in zip(errors, ratios, summaries.items(), strict=True):
        if ratio is not ratios[0]:
            ratio.sharex(ratios[0])
        for height, (color, objective) in enumerate(zip(colors, objectives, strict=False)):
            _interval(error, summary[objective][0], height, color)
            if (to_softmax := summary[objective][1]) is not None:
                _interval(ratio, to_softmax, height, color)
        error.set(title=captions[share], xlabel="test error, %")
        ratio.set(xlabel="ratio to softmax")
        ratio.axvline(1, color="0.4", linewidth=1, zorder=0)
    errors[0].set_yticks(range(len(objectives)), [titles[name] for name in objectives])
    errors[0].set_ylim(len(objectives) - 0.4, -0.6)
    figure.suptitle(f"{title}:\nmeans and 95 % intervals")
    _save(figure, path)


def margin_bias(
    results: Mapping[float, Mapping[str, list[dict[str, Any]]]],
    titles: Mapping[str, str],
    captions: Mapping[float, str],
    title: str,
    path: Path,
) -> None:
    """Fig. 3: the margin's bias over the epochs, the mean of the training images and the seeds.

    Args:
        results: for each share and each objective, its runs, each with "margin_bias".
        titles: what the objectives are called.
        captions: what the shares are called.
        title: the setting in words.
        path: the file.
    """
    figure, panels = plt.subplots(
        1,
        len(results),
        figsize=(max(7, 1 + 3.6 * len(results)), 5),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for panel, (share, objectives) in zip(panels[0], results.items(), strict=True):
        colors = _colors(len(objectives))
        for color, (objective, runs) in zip(colors, objectives.items(), strict=False):
            curves = np.array([run["margin_bias"] for run in runs])
            epochs = np.arange(1, curves.shape[1] + 1)
            panel.plot(epochs, curves.mean(axis=0), color=color, label=titles[objective])
            panel.fill_between(
                epochs, curves.min(axis=0), curves.max(axis=0), color=color, alpha=0.15
            )
        panel.set(title=captions[share], xlabel="epoch")
        panel.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
    panels[0, 0].set_ylabel("margin bias, nats")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.suptitle(f"{title}:\nmean and range")
    _save(figure, path)


def losses(path: Path) -> None:
    """Figs. 1 (a) and 4, and between them the loss as a function of a non-target logit."""
    figure, panels = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    _margin_losses(panels[0])
    _objectives(panels[1])
    _divergences(panels[2])
    for panel in panels:
        panel.grid(alpha=0.3)
        panel.legend()
    _save(figure, path)


def _margin_losses(axes: plt.Axes) -> None:
    margin = np.linspace(-5, 5, 201)
    axes.plot(margin, np.maximum(margin, 0), label="hinge")
    axes.plot(margin, np.logaddexp(margin, 0), label="softplus (softmax)")
    axes.set(xlabel=r"biased margin $f_{c^*} - f_y + \rho$", ylabel="loss")
    axes.set_title("Losses of the margin (Fig. 1 a)")


def _objectives(axes: plt.Axes) -> None:
    """Move one of the non-target logits, the others being 0."""
    moved = np.linspace(-6, 6, 201)
    logits = np.zeros((len(moved), CLASSES), "float32")
    logits[:, 0], logits[:, 1] = TARGET_LOGIT, moved
    labels = np.zeros(len(moved), "int32")
    for title, arguments in {
        "softmax": {"weight": 0.0},
        "label smoothing 0.1": {"weight": 0.0, "label_smoothing": 0.1},
        "large margin 0.3": {"weight": 0.3},
        "large margin 1": {"weight": 1.0},
    }.items():
        loss = ks.losses.LargeMarginCrossentropy(reduction=None, **arguments)
        axes.plot(moved, np.asarray(loss(labels, logits)), label=title)
    axes.set(xlabel="one non-target logit, the others at 0", ylabel="loss, nats")
    axes.set_title(f"Losses, {CLASSES} classes, target's logit {TARGET_LOGIT:g}")


def _divergences(axes: plt.Axes) -> None:
    """Two non-target classes with probabilities q and 1 - q, whose logits differ by logit(q)."""
    difference = np.linspace(-5, 5, 201)
    logits = np.zeros((len(difference), 3), "float32")
    logits[:, 1] = difference
    labels = np.zeros(len(difference), "int32")
    for title, divergence in {
        "symmetric": "symmetric",
        "D(q || u)": "forward",
        "D(u || q)": "reverse",
    }.items():
        values = ks.ops.large_margin_divergence(labels, logits, divergence)
        axes.plot(difference, np.asarray(values), label=title)
    axes.set(xlabel="difference of two non-target logits, log(q / (1 - q))")
    axes.set_ylabel("divergence, nats")
    axes.set_title("Divergences of {q, 1 - q} (Fig. 4)")


def _colors(count: int) -> Sequence[tuple[float, float, float]]:
    """Return at least so many colours, up to 20, no two alike."""
    return mpl.colormaps["tab10" if count <= 10 else "tab20"].colors


def _interval(axes: plt.Axes, interval: Interval, height: float, color: Any) -> None:
    estimate, low, high = interval
    bounds = [[estimate - low], [high - estimate]]
    axes.errorbar(estimate, height, xerr=bounds, fmt="o", capsize=3, color=color)
    axes.grid(axis="x", alpha=0.3)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=120)
    plt.close(figure)
