"""The plots of the DropMax paper, on MNIST."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import data
import keras
import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

import keras_softmaxes as ks

mpl.use("Agg")
SHOWN = 6
SAMPLES = 1000
MASKS = 20
NOISE_LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8)


def convergence(results: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Fig. 3: cross-entropy of training and test images over the epochs, mean over the seeds."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for index, (method, runs) in enumerate(results.items()):
        color = f"C{index}"
        for part, style in (("train", ":"), ("test", "-")):
            curves = np.array([run["convergence"][part] for run in runs])
            epochs = runs[0]["convergence"]["epoch"]
            band(axes, epochs, curves, style, color=color, label=f"{method}, {part}")
    axes.set(xlabel="epoch", ylabel="cross-entropy, nats (range over the seeds)", yscale="log")
    axes.set_title("Convergence, with the mask at its expectation")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right", ncols=2)
    _save(figure, path)


def band(axes: plt.Axes, x: Sequence[int], curves: np.ndarray, *style: str, **look: str) -> None:
    """Draw the mean of curves, (seeds, points), and their range."""
    (line,) = axes.plot(x, curves.mean(axis=0), *style, **look)
    low, high = curves.min(axis=0), curves.max(axis=0)
    axes.fill_between(x, low, high, color=line.get_color(), alpha=0.15)


def retain_probabilities(
    dropmax: ks.models.Classifier, base: np.ndarray, images: data.Images, path: Path
) -> None:
    """Fig. 4 (a)-(c): retain probabilities of easy and hard test images, and the posterior.

    Of each class, easy is the image of which the base softmax is most certain, and hard the first
    in the test set that it gets wrong. The posterior keeps the target (Eq. 12).
    """
    easy, hard = _easy_and_hard(base, images)
    chosen = np.concatenate([easy, hard])
    head, features = dropmax.head, dropmax.network(images.x_test[chosen])
    posterior = np.array(head.posterior_probabilities(features))
    posterior[np.arange(len(chosen)), images.y_test[chosen]] = 1
    bars = {
        "retain probability": np.asarray(head.retain_probabilities(features)),
        "posterior": posterior,
    }
    figure, axes = plt.subplots(
        len(chosen),
        3,
        figsize=(9, 1.15 * len(chosen)),
        width_ratios=(1, 3, 3),
        layout="constrained",
    )
    for position, (row, index) in enumerate(zip(axes, chosen, strict=True)):
        target, guess = images.y_test[index], base[index].argmax()
        row[0].imshow(images.x_test[index, ..., 0], cmap="gray_r")
        row[0].set_axis_off()
        for axis, (title, probabilities) in zip(row[1:], bars.items(), strict=True):
            axis.bar(range(images.classes), probabilities[position], color="0.6")
            axis.plot(target, 1.12, "o", color="tab:green", clip_on=False, label="target")
            if guess != target:
                axis.plot(guess, 1.12, "x", color="tab:red", clip_on=False, label="base's error")
            axis.set(ylim=(0, 1), xticks=range(images.classes))
            if position == 0:
                axis.set_title(title, pad=14)
    axes[0, 0].set_title("easy", pad=14)
    axes[len(easy), 0].set_title("hard", pad=14)
    figure.suptitle("Retain probabilities: o is the target, x the base softmax's error")
    _save(figure, path)


def retain_by_class(
    dropmax: ks.models.Classifier, base: np.ndarray, images: data.Images, path: Path
) -> None:
    """Fig. 4 (e): the average retain probability of each class, of the hard images of each class.

    Hard are the test images that the base softmax gets wrong.
    """
    hard = base.argmax(axis=1) != images.y_test
    features, targets = dropmax.network(images.x_test[hard]), images.y_test[hard]
    retain = np.asarray(dropmax.head.retain_probabilities(features))
    labels, counts = np.unique(targets, return_counts=True)
    average = np.array([retain[targets == label].mean(axis=0) for label in labels])
    figure, axes = plt.subplots(figsize=(6.5, 5.5), layout="constrained")
    shown = axes.imshow(average, vmin=0, vmax=1, cmap="viridis")
    for row, column in np.ndindex(average.shape):
        color = "k" if average[row, column] > 0.5 else "w"
        text = f"{average[row, column]:.2f}"
        axes.text(column, row, text, color=color, ha="center", va="center", fontsize=7)
    names = [f"{label} ({count})" for label, count in zip(labels, counts, strict=True)]
    axes.set_yticks(range(len(labels)), names)
    axes.set(xticks=range(images.classes), xlabel="class", ylabel="true class (hard test images)")
    axes.set_title("Average retain probability")
    figure.colorbar(shown)
    _save(figure, path)


def masks(dropmax: ks.models.Classifier, base: np.ndarray, images: data.Images, path: Path) -> None:
    """Fig. 4 (d): masks drawn for hard test images, which class is kept and which dropped."""
    _, hard = _easy_and_hard(base, images)
    retain = np.asarray(dropmax.head.retain_probabilities(dropmax.network(images.x_test[hard])))
    rng = np.random.default_rng(0)
    figure, axes = plt.subplots(2, len(hard), figsize=(9, 4), layout="constrained")
    for (above, below), index, kept in zip(axes.T, hard, retain, strict=True):
        above.imshow(images.x_test[index, ..., 0], cmap="gray_r")
        above.set_title(f"{images.y_test[index]}, taken for {base[index].argmax()}")
        above.set_axis_off()
        drawn = rng.random((MASKS, images.classes)) < kept
        below.imshow(drawn, cmap="Greys", vmin=0, vmax=1.5, aspect="auto")
        below.axvline(images.y_test[index], color="tab:green", alpha=0.5)
        below.set(xticks=range(images.classes), yticks=[], xlabel="class")
    axes[1, 0].set_ylabel(f"{MASKS} masks")
    figure.suptitle("Masks drawn from the retain probabilities: dark is kept, the line the target")
    _save(figure, path)


def predictive_distributions(
    dropmax: ks.models.Classifier, base: np.ndarray, images: data.Images, path: Path
) -> None:
    """Figs. 4 (f) and 7: the target's probability over draws of the mask (Eq. 14).

    Also with the target's mask at its expectation (Fig. 7 b), which spreads the draws less.
    """
    easy, hard = _easy_and_hard(base, images)
    rng = np.random.default_rng(0)
    one = images.x_test[easy[1]]
    noisy = [np.clip(one + level * rng.normal(size=one.shape), 0, 1) for level in NOISE_LEVELS]
    panels = {
        "growing noise on one image": (
            np.array(noisy, "float32"),
            np.repeat(images.y_test[easy[1]], len(noisy)),
            [f"{level:g}" for level in NOISE_LEVELS],
        ),
        "easy and hard images": (
            images.x_test[[*easy[:3], *hard[:3]]],
            images.y_test[[*easy[:3], *hard[:3]]],
            [f"{kind} {index + 1}" for kind in ("easy", "hard") for index in range(3)],
        ),
    }
    figure, axes = plt.subplots(2, 2, figsize=(11, 6), layout="constrained")
    for row, (title, (x, targets, names)) in zip(axes, panels.items(), strict=True):
        draws = _target_draws(dropmax, x, targets)
        kept = _target_draws_with_the_target_kept(dropmax, x, targets)
        row[0].set(title=title)
        row[1].set(title=f"{title}, target at its expectation")
        for axis, of_axis in zip(row, (draws, kept), strict=True):
            axis.violinplot(list(of_axis), showmeans=True)
            axis.set_xticks(range(1, len(names) + 1), names)
            axis.set(ylim=(-0.02, 1.02), ylabel="p(target)")
    figure.suptitle(f"Predictive distributions, {SAMPLES:,} draws")
    _save(figure, path)


def _easy_and_hard(base: np.ndarray, images: data.Images) -> tuple[np.ndarray, np.ndarray]:
    """Return the base's surest image and its first error, of the first classes with errors."""
    certainty, right = base.max(axis=1), base.argmax(axis=1) == images.y_test
    with_errors = np.unique(images.y_test[~right])[:SHOWN]
    easy = [np.argmax(certainty * (right & (images.y_test == label))) for label in with_errors]
    hard = [np.argmax(~right & (images.y_test == label)) for label in with_errors]
    return np.array(easy), np.array(hard)


def _target_draws(model: ks.models.Classifier, x: np.ndarray, targets: Sequence[int]) -> np.ndarray:
    """Return the target's probability in every draw, (images, draws)."""
    outputs, draw = model(x), model.head.sample_probabilities
    generator = keras.random.SeedGenerator(0)
    draws = [np.asarray(draw(outputs, generator)) for _ in range(SAMPLES)]
    return np.array(draws)[:, np.arange(len(x)), targets].T


def _target_draws_with_the_target_kept(
    model: ks.models.Classifier, x: np.ndarray, targets: Sequence[int]
) -> np.ndarray:
    """Return the target's probability in every draw, its own mask at its expectation."""
    outputs, rows = model(x), np.arange(len(x))
    retain = np.asarray(keras.ops.sigmoid(outputs["retain_logits"]))
    drawn = np.random.default_rng(0).random((SAMPLES, *retain.shape)) < retain
    mask = np.where(np.eye(retain.shape[1], dtype=bool)[targets], retain, drawn)
    logits = np.asarray(outputs["logits"])
    weights = mask * np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (weights[:, rows, targets] / weights.sum(axis=-1)).T


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=120)
    plt.close(figure)
