"""What dropping classes does to decision boundaries: the DropMax paper's Fig. 6, on a 2-D problem.

    python examples/decision_boundaries.py

Four classes of points in the plane; a small network under a softmax, and under DropMax with a fixed
retain probability, `ClassDropout`, as in the figure. Draws the largest class probability as
contours, the classes as colours and the errors as crosses; writes them as decision_boundaries.png,
and the test errors over the seeds as decision_boundaries.json. Some minutes.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import keras
import matplotlib as mpl
import methods
import numpy as np
from intervals import mean_interval
from matplotlib import pyplot as plt
from rich.progress import track
from runs import versions, write_json
from sklearn.datasets import make_blobs

CENTRES = ((0, 0), (2, 0.5), (0.5, 2), (2.2, 2.4))
DEVIATION = 0.8
TRAINING_POINTS, TEST_POINTS = 100, 4000
EPOCHS = 200
RETAIN = (0.6, 0.4, 0.2)
GRID = 120


class Points(NamedTuple):
    """Points in the plane, (count, 2), and their classes, (count,)."""

    x: np.ndarray
    y: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="the first one is drawn; 5 by default")
    parser.add_argument(
        "--out", default="results/decision_boundaries", help="folder of the results"
    )
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {args.seeds}")
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    heads = {"Softmax": methods.METHODS["softmax"]}
    heads |= {f"DropMax, retain {retain:g}": methods.class_dropout(retain) for retain in RETAIN}
    test = draw_points(TEST_POINTS, seed=0)
    errors: dict[str, list[float]] = {title: [] for title in heads}
    first = {}
    for seed in track(range(args.seeds), "seeds"):
        training = draw_points(TRAINING_POINTS, seed + 1)
        for title, method in heads.items():
            model = trained(method, training, seed)
            predicted = model.predict(test.x, verbose=0, batch_size=TEST_POINTS).argmax(axis=1)
            errors[title].append(round(100 * float((predicted != test.y).mean()), 4))
            first.setdefault(title, (model, training))
    means = {title: mean_interval(values) for title, values in errors.items()}
    for title, mean in means.items():
        print(f"{title}: test error {mean.describe()} %")
    content = {"epochs": EPOCHS, "versions": versions(), "test_errors": errors}
    write_json(folder / "decision_boundaries.json", content)
    draw(first, {title: mean.estimate for title, mean in means.items()}, folder)


def draw_points(count: int, seed: int) -> Points:
    x, y = make_blobs(count, centers=np.array(CENTRES), cluster_std=DEVIATION, random_state=seed)
    return Points(x.astype("float32"), y)


def trained(method: methods.Method, points: Points, seed: int) -> keras.Model:
    """Return a model of class probabilities."""
    keras.utils.set_random_seed(seed)
    model = methods.build(method, two_layers, (2,), len(CENTRES))
    method.compile(model, keras.optimizers.Adam(0.01))
    model.fit(points.x, points.y, batch_size=len(points.x), epochs=EPOCHS, verbose=0)
    return methods.serving(model)


def two_layers(inputs: keras.KerasTensor) -> keras.KerasTensor:
    hidden = keras.layers.Dense(64, activation="relu")(inputs)
    return keras.layers.Dense(64, activation="relu")(hidden)


def draw(
    models: dict[str, tuple[keras.Model, Points]], errors: dict[str, float], folder: Path
) -> None:
    mpl.use("Agg")
    figure, axes = plt.subplots(
        1, len(models), figsize=(4 * len(models), 4.4), sharey=True, layout="constrained"
    )
    for axis, (title, (model, points)) in zip(axes, models.items(), strict=True):
        low, high = points.x.min(axis=0) - 0.7, points.x.max(axis=0) + 0.7
        grid = np.meshgrid(*(np.linspace(*ends, GRID) for ends in zip(low, high, strict=True)))
        where = np.stack(grid, axis=-1).reshape(-1, 2).astype("float32")
        p = model.predict(where, verbose=0, batch_size=len(where)).reshape(GRID, GRID, -1)
        levels = np.arange(len(CENTRES) + 1) - 0.5
        axis.contourf(*grid, p.argmax(axis=-1), levels, colors=mpl.color_sequences["Pastel1"])
        contours = axis.contour(*grid, p.max(axis=-1), (0.5, 0.7, 0.9, 0.99), colors="0.3")
        axis.clabel(contours, fontsize=7)
        wrong = model.predict(points.x, verbose=0).argmax(axis=1) != points.y
        colors = np.array(mpl.color_sequences["Set1"][: len(CENTRES)])[points.y]
        for chosen, marker in ((~wrong, "o"), (wrong, "X")):
            axis.scatter(*points.x[chosen].T, c=colors[chosen], s=18, marker=marker, ec="k", lw=0.4)
        axis.set(title=f"{title}\nmean test error {errors[title]:.2f} %", xlabel="x")
    axes[0].set_ylabel("y")
    figure.suptitle(
        f"The largest class probability after {EPOCHS} epochs on {TRAINING_POINTS} points (seed 0)"
    )
    figure.savefig(folder / "decision_boundaries.png", dpi=120)
    plt.close(figure)
    print(f"plot in {folder}")


if __name__ == "__main__":
    main()
