"""What the Gaussian term does to 100 classes: the starts of the G-softmax paper's Table II.

    python examples/gsoftmax_starts.py --data-dir ~/datasets

Softmax, L-Softmax and five starts of mu and sigma on 100 classes of Tiny ImageNet, and what the
paper tries on CIFAR, half of lambda and the malleable learning rate. The setting is that of
`many_classes.py`, softmax and G-softmax from a kernel of zeros. Trains what is missing, so it can
be interrupted and run again. Prints each test error and its ratio to softmax, with 95 % intervals
over the seeds; writes results.json, results.csv and results.png; compactness, separability and
their product on training and test images, the means over the classes of what Figs. 6 and 7 show
class by class; and the Gaussians of a class's logit on images of the class and on all others, as
Fig. 4 has them of labels.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import data
import gsoftmax
import keras
import many_classes
import matplotlib as mpl
import methods
import numpy as np
import report
import separability
from matplotlib import pyplot as plt
from runs import Runs, read_json, write_json
from scipy import stats

import keras_softmaxes as ks

DATASET = "tiny_imagenet_100x32"
STARTS = ((0, 1), (-0.05, 1), (0.05, 1), (0, 2), (0, 3))
PARTS = ("train", "test")
MALLEABLE = "_malleable"  # the end of the names that are trained with that rate


def _gaussian(title: str, **settings: Any) -> methods.Method:
    method = many_classes.with_kernel(methods.gsoftmax(**settings), "zeros")
    return replace(method, title=title)


_softmax, _lsoftmax = (many_classes.METHODS[name] for name in (many_classes.BASELINE, "lsoftmax"))
METHODS = {
    many_classes.BASELINE: _softmax,
    "lsoftmax": replace(
        many_classes.with_kernel(_lsoftmax, "glorot_uniform"), title="L-Softmax, Glorot kernel"
    ),
    **{
        f"start_{mean:g}_{stddev:g}": _gaussian(f"G {mean, stddev}", mean=mean, stddev=stddev)
        for mean, stddev in STARTS
    },
    "scale_0.5": _gaussian("G (0, 1), lambda 0.5", scale=0.5),
    f"softmax{MALLEABLE}": replace(_softmax, title="Softmax, malleable rate"),
    f"start_0_1{MALLEABLE}": _gaussian("G (0, 1), malleable rate"),
}


def _malleable(steps: int) -> keras.Optimizer:
    """Return SGD with the rate of Eq. 17, the paper's 1,000 and 100 epochs shortened alike."""
    rate = ks.schedules.MalleableLearningRate(0.1, [steps * 10 // 11, steps], [0, -8, -9])
    return keras.optimizers.SGD(rate, momentum=0.9)


def main() -> None:
    args = parse_arguments()
    recipe = many_classes.RECIPES[DATASET]
    images = data.load(DATASET, args.data_dir)
    images = data.balanced(images, args.images * images.classes)
    settings = {
        "dataset": DATASET,
        "train_size": len(images.y_train),
        "epochs": args.epochs,
        "label": args.label,
    }
    runs = Runs(args.out, settings)

    def train(name: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        optimizer = _malleable if name.endswith(MALLEABLE) else recipe.optimizer
        chosen = replace(recipe, optimizer=optimizer)
        model, _ = many_classes.trained(METHODS[name], chosen, images, args.epochs, callbacks)
        measures, gaussians = measured(model, images, args.label)
        return {"test_error": methods.test_error(model, images), **measures, "gaussians": gaussians}

    results = runs.complete(list(METHODS), list(range(args.seeds)), args.epochs, train)
    title = f"{DATASET}, {len(images.y_train):,} images, {report.counted(args.epochs, 'epoch')}"
    titles = {name: method.title for name, method in METHODS.items()}
    columns = [
        "test_error",
        *(f"{part}_{name}" for part in PARTS for name in separability.MEASURES),
    ]
    report.write(
        results, settings, title, runs.folder, titles, many_classes.BASELINE, measured=columns
    )
    add_measures(results, columns[1:], runs.folder / "results.json")
    mpl.use("Agg")
    draw_measures(results, f"{title}, {report.counted(args.seeds, 'seed')}", runs.folder)
    draw_gaussians(results, args.label, runs.folder)
    print(f"tables and plots in {runs.folder}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    recipe = many_classes.RECIPES[DATASET]
    parser.add_argument("--data-dir", help="folder of TFDS's prepared datasets")
    parser.add_argument("--images", type=int, default=recipe.images, help="training images a class")
    parser.add_argument("--epochs", type=int, default=recipe.epochs)
    parser.add_argument("--seeds", type=int, default=3, help="the number of seeds, 3 by default")
    parser.add_argument("--label", type=int, default=0, help="the class that a plot is of")
    parser.add_argument("--out", default="results/gsoftmax_starts")
    return parser.parse_args()


def measured(
    model: keras.Model, images: data.Images, label: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return Eqs. 18 to 20, means over the classes, and the Gaussians of one class's logit.

    Returns:
        The measures by the names of part and measure, as "train_compactness", and mean and
        deviation of the logit on test images of the class, "positive", and the others, "negative".
    """
    logits = {
        part: gsoftmax.class_logits(model, x)
        for part, x in zip(PARTS, (images.x_train, images.x_test), strict=True)
    }
    measures = {}
    for part, y in zip(PARTS, (images.y_train, images.y_test), strict=True):
        found = gsoftmax.measured(logits[part], np.eye(images.classes)[y])
        for name in separability.MEASURES:
            measures[f"{part}_{name}"] = float(np.mean(found[name]))
    own = logits["test"][:, label]
    is_own = images.y_test == label
    halves = {"positive": own[is_own], "negative": own[~is_own]}
    return measures, {
        name: [float(each.mean()), float(each.std())] for name, each in halves.items()
    }


def add_measures(results: report.Results, columns: list[str], path: Path) -> None:
    """Add the means of the measures over the seeds to what `report.write` wrote."""
    content = read_json(path, "Run the same command again.")
    for name, runs in results.items():
        means = {column: float(np.mean([run[column] for run in runs])) for column in columns}
        content["methods"][name]["measures"] = means
    write_json(path, content)


def draw_measures(results: report.Results, title: str, folder: Path) -> None:
    """Plot the measures of each setting on training and test images, as measures.png."""
    figure, rows = plt.subplots(3, 1, figsize=(8, 8), sharex=True, layout="constrained")
    for axes, measure in zip(rows, separability.MEASURES, strict=True):
        for offset, part in zip((-0.2, 0.2), PARTS, strict=True):
            values = [[run[f"{part}_{measure}"] for run in runs] for runs in results.values()]
            positions = np.arange(len(values)) + offset
            axes.bar(positions, np.mean(values, axis=1), 0.4, label=f"{part} images")
        axes.set_ylabel(measure)
    rows[0].legend()
    rows[0].set_title(f"{title}: means over the classes")
    titles = [METHODS[name].title for name in results]
    rows[-1].set_xticks(range(len(titles)), titles, rotation=30, ha="right")
    figure.savefig(folder / "measures.png", dpi=150)
    plt.close(figure)


def draw_gaussians(results: report.Results, label: int, folder: Path) -> None:
    """Plot a class's logit on test images of the class and the others, seed 0."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    for axes, name in zip(panels, (many_classes.BASELINE, "start_0_1"), strict=True):
        for half, (mean, stddev) in results[name][0]["gaussians"].items():
            x = np.linspace(mean - 4 * stddev, mean + 4 * stddev, 200)
            axes.plot(x, stats.norm.pdf(x, mean, stddev), label=half)
        axes.set(title=METHODS[name].title, xlabel=f"logit of class {label}")
        axes.legend()
    panels[0].set_ylabel("density")
    figure.savefig(folder / "gaussians.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
