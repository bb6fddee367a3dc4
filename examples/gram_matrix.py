"""How near trained class vectors come to a regular simplex, and what the large margin does to it.

    python examples/gram_matrix.py --data-dir ~/datasets

Section 3 of the large-margin paper argues that its regulariser leads class vectors to a
super-symmetric set: all of one length, all at one angle. Here is how near they come. Trains
softmax, the large margin at two weights and the super-symmetric classifier as `many_classes.py`
does on 100 classes of Tiny ImageNet, one seed. Draws the Gram matrix W^T W of each, and writes how
far each kernel is from super-symmetry as JSON, beside a kernel that is not trained.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
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

import keras_softmaxes as ks

DATASET = "tiny_imagenet_100x32"
_loss = ks.losses.LargeMarginCrossentropy
METHODS = {
    "softmax": many_classes.METHODS["softmax"],
    many_classes.BASELINE: replace(
        many_classes.METHODS[many_classes.BASELINE], title="Softmax, kernel of zeros"
    ),
    "large_margin": many_classes.METHODS["large_margin"],
    "large_margin_1": replace(
        many_classes.METHODS["large_margin"], title="Large margin 1", loss=partial(_loss, weight=1)
    ),
    "super_symmetric": many_classes.METHODS["super_symmetric"],
}
UNTRAINED = "untrained"
TITLES = {name: method.title for name, method in METHODS.items()} | {UNTRAINED: "Not trained"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    recipe = many_classes.RECIPES[DATASET]
    parser.add_argument("--data-dir", help="TFDS's folder")
    parser.add_argument("--images", type=int, default=recipe.images, help="training images a class")
    parser.add_argument("--epochs", type=int, default=recipe.epochs)
    parser.add_argument("--out", default="results/gram_matrix")
    args = parser.parse_args()
    images = data.load(DATASET, args.data_dir)
    images = data.balanced(images, args.images * images.classes)
    settings = {"dataset": DATASET, "train_size": len(images.y_train), "epochs": args.epochs}
    runs = Runs(args.out, settings)

    def train(name: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        model, _ = many_classes.trained(METHODS[name], recipe, images, args.epochs, callbacks)
        model.save(runs.model_path(name, seed))
        return {"test_error": methods.test_error(model, images)}

    results = runs.complete(list(METHODS), [0], args.epochs, train)
    models = {name: keras.saving.load_model(runs.model_path(name, 0)) for name in METHODS}
    kernels = {name: np.asarray(model.layers[-1].kernel) for name, model in models.items()}
    found = {
        name: {"test_error": results[name][0]["test_error"], **symmetry(kernel)}
        for name, kernel in kernels.items()
    }
    kernels[UNTRAINED] = np.asarray(keras.initializers.GlorotUniform(0)(kernels["softmax"].shape))
    found[UNTRAINED] = symmetry(kernels[UNTRAINED])
    content = {"settings": settings, "versions": versions(), "methods": found}
    write_json(runs.folder / "results.json", content)
    draw(kernels, found, runs.folder / "results.png")
    print(f"results and plot in {runs.folder}")


def symmetry(kernel: np.ndarray) -> dict[str, float]:
    """Return how far class vectors, the columns, are from the corners of a regular simplex.

    Returns:
        "asymmetry", ||W - P(W)|| / ||W|| with P the nearest super-symmetric kernel, 0 to 1; the
        deviation of the vectors' lengths over their mean; mean and deviation of the cosines of two
        vectors, which are -1 / (C - 1) and 0 in a simplex.
    """
    nearest = np.asarray(ks.ops.super_symmetric_projection(kernel))
    lengths = np.linalg.norm(kernel, axis=0)
    cosines = (kernel / lengths).T @ (kernel / lengths)
    between = cosines[~np.eye(len(cosines), dtype=bool)]
    return {
        "asymmetry": float(np.linalg.norm(kernel - nearest) / np.linalg.norm(kernel)),
        "length_deviation": float(lengths.std() / lengths.mean()),
        "cosine_mean": float(between.mean()),
        "cosine_deviation": float(between.std()),
    }


def draw(
    kernels: Mapping[str, np.ndarray], found: Mapping[str, dict[str, float]], path: Path
) -> None:
    """Plot each Gram matrix over its mean diagonal."""
    mpl.use("Agg")
    figure, panels = plt.subplots(2, 3, figsize=(9, 6.5), layout="constrained")
    for axes, (name, kernel) in zip(panels.flat, kernels.items(), strict=True):
        gram = kernel.T @ kernel
        shown = axes.imshow(gram / np.diag(gram).mean(), cmap="RdBu_r", vmin=-1, vmax=1)
        axes.set_title(f"{TITLES[name]}\nasymmetry {found[name]['asymmetry']:.2f}")
        axes.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=panels, shrink=0.8)
    figure.suptitle("Gram matrices of the class vectors, over the mean of the diagonal")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
