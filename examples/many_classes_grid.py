"""Where DropMax pays: by the number of classes, and of images of each.

    python examples/many_classes_grid.py --data-dir ~/datasets

The first 100, 300 or all 964 characters of Omniglot, of 2, 4, 8 or 16 drawings each, as in
`many_classes.py`. Every cell is trained for about 1,200 steps, so that what differs is the data and
not the length of the training. Continues where it was interrupted. Writes each run's test error as
JSON and CSV, and a plot of DropMax's error over that of softmax from a kernel of zeros.
"""

import argparse
import itertools
from pathlib import Path

import many_classes
import matplotlib as mpl
import numpy as np
import report
from matplotlib import pyplot as plt
from runs import versions, write_json

CLASSES = (100, 300, 964)
IMAGES = (2, 4, 8, 16)
STEPS = 1200
Cell = tuple[int, int]  # classes, and images of each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="TFDS's folder")
    parser.add_argument("--seeds", type=int, default=1, help="the number of seeds")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each training, about")
    parser.add_argument("--out", type=Path, default=Path("results/many_classes_grid"))
    args = parser.parse_args()
    found = {cell: of_cell(cell, args) for cell in itertools.product(CLASSES, IMAGES)}
    write(found, args)
    draw({cell: ratio(results) for cell, results in found.items()}, args.out / "results.png")
    print(f"results and plot in {args.out}")


def of_cell(cell: Cell, args: argparse.Namespace) -> report.Results:
    """Do the runs of a cell that are missing, and return all of them."""
    classes, images = cell
    given = [f"--classes={classes}", f"--images={images}", f"--epochs={epochs(cell, args.steps)}"]
    given += [f"--seeds={args.seeds}", f"--out={args.out / f'{classes}-{images}'}"]
    given += [f"--data-dir={args.data_dir}"] if args.data_dir else []
    return many_classes.compare(
        many_classes.parse_arguments([*given, "--methods", many_classes.BASELINE, "dropmax"])
    )


def epochs(cell: Cell, steps: int) -> int:
    """Return how many epochs have about so many steps, at least one."""
    batches = -(-cell[0] * cell[1] // many_classes.BATCH_SIZE)
    return max(round(steps / batches), 1)


def ratio(results: report.Results) -> float:
    """Return DropMax's mean error over that of softmax."""
    mean = {name: np.mean([run["test_error"] for run in runs]) for name, runs in results.items()}
    return float(mean["dropmax"] / mean[many_classes.BASELINE])


def write(found: dict[Cell, report.Results], args: argparse.Namespace) -> None:
    cells = [
        {
            "classes": classes,
            "images": images,
            "epochs": epochs((classes, images), args.steps),
            "ratio": ratio(results),
            "test_errors": {
                name: [run["test_error"] for run in runs] for name, runs in results.items()
            },
        }
        for (classes, images), results in found.items()
    ]
    settings = {
        "seeds": list(range(args.seeds)),
        "steps": args.steps,
        "batch_size": many_classes.BATCH_SIZE,
    }
    content = {"settings": settings, "versions": versions(), "cells": cells}
    write_json(args.out / "results.json", content)
    rows = {
        f"{classes}-{images}": [
            {"classes": classes, "images": images, **run}
            for runs in results.values()
            for run in runs
        ]
        for (classes, images), results in found.items()
    }
    report.write_csv(rows, ["classes", "images", "test_error"], args.out / "results.csv")


def draw(ratios: dict[Cell, float], path: Path) -> None:
    mpl.use("Agg")
    values = np.array([[ratios[classes, images] for images in IMAGES] for classes in CLASSES])
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    shown = axes.imshow(np.log2(values), cmap="RdBu_r", vmin=-1, vmax=1)
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        color = "w" if abs(np.log2(value)) > 0.6 else "k"
        axes.text(column, row, f"{value:.2f}", color=color, ha="center", va="center")
    axes.set_xticks(range(len(IMAGES)), [str(images) for images in IMAGES])
    axes.set_yticks(range(len(CLASSES)), [str(classes) for classes in CLASSES])
    axes.set(xlabel="training images of each class", ylabel="classes")
    axes.set_title("DropMax's error over softmax's")
    bar = figure.colorbar(shown, ticks=[-1, 0, 1])
    bar.ax.set_yticklabels(["1/2", "1", "2"])
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
