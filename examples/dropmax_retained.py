"""Which classes DropMax keeps for an image: Fig. 5 of its paper, on the characters of Omniglot.

    python examples/dropmax_retained.py --data-dir DATASETS

Trains softmax and DropMax as `many_classes.py` does, one seed. Draws test images that softmax gets
wrong, and beside each a drawing of the four classes that DropMax retains with the largest
probability and of the two with the smallest. Writes how the target and softmax's error are ranked
among the 964 classes as JSON.
"""

import argparse
from pathlib import Path
from typing import Any

import data
import keras
import many_classes
import matplotlib as mpl
import methods
import numpy as np
from matplotlib import pyplot as plt
from runs import Runs, versions, write_json

DATASET = "omniglot_964x28"
MOST, LEAST = 4, 2
SHOWN = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="TFDS's folder")
    parser.add_argument("--epochs", type=int, default=many_classes.RECIPES[DATASET].epochs)
    parser.add_argument("--out", default="results/dropmax_retained")
    args = parser.parse_args()
    images = data.load(DATASET, args.data_dir)
    settings = {"dataset": DATASET, "epochs": args.epochs, "classes": images.classes}
    runs = Runs(args.out, settings)

    def train(method: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        chosen, recipe = many_classes.METHODS[method], many_classes.RECIPES[DATASET]
        model, _ = many_classes.trained(chosen, recipe, images, args.epochs, callbacks)
        model.save(runs.model_path(method, seed))
        return {"test_error": methods.test_error(model, images)}

    names = [many_classes.BASELINE, "dropmax"]
    found = runs.complete(names, [0], args.epochs, train)
    softmax, dropmax = (keras.saving.load_model(runs.model_path(name, 0)) for name in names)
    probabilities = methods.serving(softmax).predict(images.x_test, batch_size=1000, verbose=0)
    features = dropmax.network.predict(images.x_test, batch_size=1000, verbose=0)
    guesses = probabilities.argmax(axis=1)
    retain = np.asarray(dropmax.head.retain_probabilities(features))
    errors = {name: results[0]["test_error"] for name, results in found.items()}
    content = {"settings": settings, "versions": versions(), "test_errors": errors}
    write_json(runs.folder / "results.json", content | ranked(retain, images.y_test, guesses))
    draw(images, guesses, retain, runs.folder / "results.png")
    print(f"results and plot in {runs.folder}")


def ranked(retain: np.ndarray, targets: np.ndarray, guesses: np.ndarray) -> dict[str, Any]:
    """Return of the images that softmax gets wrong how the classes are kept.

    The median ranks of the target and of softmax's guess by their retain probabilities, 1 being the
    most retained, and the mean retain probabilities of target, guess and all classes.
    """
    wrong = guesses != targets
    of = {"target": targets[wrong], "guess": guesses[wrong]}
    rows = np.arange(np.sum(wrong))
    kept = {name: retain[wrong][rows, classes] for name, classes in of.items()}
    ranks = {name: 1 + (retain[wrong] > each[:, None]).sum(axis=1) for name, each in kept.items()}
    return {
        "softmax_errors": int(np.sum(wrong)),
        "median_rank": {name: float(np.median(each)) for name, each in ranks.items()},
        "mean_retain": {
            **{name: float(each.mean()) for name, each in kept.items()},
            "all": float(retain[wrong].mean()),
        },
    }


def draw(images: data.Images, guesses: np.ndarray, retain: np.ndarray, path: Path) -> None:
    """Plot images that softmax gets wrong, spread over the classes, and what DropMax keeps."""
    wrong = np.flatnonzero(guesses != images.y_test)
    shown = wrong[np.linspace(0, len(wrong) - 1, SHOWN).astype(int)]
    mpl.use("Agg")
    figure, axes = plt.subplots(SHOWN, 1 + MOST + LEAST, figsize=(8, 9), layout="constrained")
    for row, index in zip(axes, shown, strict=True):
        order = np.argsort(-retain[index])
        row[0].imshow(images.x_test[index, ..., 0], cmap="gray_r")
        for panel, label in zip(row[1:], [*order[:MOST], *order[-LEAST:]], strict=True):
            example = images.x_train[images.y_train == label][0, ..., 0]
            is_target, is_guess = label == images.y_test[index], label == guesses[index]
            color = "tab:blue" if is_target else "tab:red" if is_guess else "k"
            panel.imshow(example, cmap="gray_r")
            panel.set_title(f"{retain[index, label]:.2f}", color=color, fontsize="small")
        for panel in row:
            panel.set(xticks=[], yticks=[])
    axes[0, 0].set_title("image", fontsize="small")
    figure.suptitle(
        f"The {MOST} classes that are retained the most, and the {LEAST} the least\n"
        "blue: the true class, red: softmax's error"
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
