"""G-softmax with several labels an example: scene and yeast, as in the paper's Tables III, V, VI.

    python examples/gsoftmax_multilabel.py --dataset scene --data-dir ~/mulan

Three ways to score a label, each with and without the Gaussian term: a pair of numbers and a
softmax of it, as in the authors' code; a pair and Eq. 15; one number and Eq. 14. The first with the
starts of mu and sigma that the paper tries, and with the data-driven one: after five epochs they
are set to the moments of the logits. One hidden layer of 256, dropout 0.5, Adam with 1e-3, batches
of 32. Trains what is missing, so it can be interrupted and run again. Prints, over the seeds, the
means of Eqs. 21 and 22 with 95 % intervals; writes results.json, results.csv and results.png.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import matplotlib as mpl
import mulan
import numpy as np
import separability
from intervals import Interval, mean_interval
from matplotlib import pyplot as plt
from report import counted, write_csv
from rich.console import Console
from rich.table import Table
from runs import Runs, versions, write_json
from sklearn.metrics import average_precision_score

import keras_softmaxes as ks

ADAPTED_AFTER = 5
BATCH_SIZE = 32
LEARNING_RATE = 1e-3
SCORES = ("mAP", "C-P", "C-R", "C-F1", "O-P", "O-R", "O-F1")
# Where a run holds what it says of each label.
LABEL_MEASURES = [
    ("average_precision",),
    *(("measured", measure) for measure in separability.MEASURES),
]


@dataclass(frozen=True)
class Method:
    """A way to score labels.

    Attributes:
        title: what tables and plots call it.
        baseline: the method without its Gaussian term.
        form: of `PairedGSoftmax`, or "single" for one number a label.
        scale: of the Gaussian term.
        mean: where mu starts.
        stddev: where sigma starts.
        adapts: whether mu and sigma start anew from data.
    """

    title: str
    baseline: str
    form: str = "softmax"
    scale: float = 1.0
    mean: float = 0.0
    stddev: float = 1.0
    adapts: bool = False


def _starts(
    name: str, title: str, form: str, starts: list[tuple[float, float]]
) -> dict[str, Method]:
    """Return the method without the Gaussian term, with each start, and with the data's."""
    return {
        name: Method(title, name, form, scale=0.0),
        **{
            f"{name}_{mean:g}_{stddev:g}": Method(
                f"{title}, G ({mean:g}, {stddev:g})", name, form, mean=mean, stddev=stddev
            )
            for mean, stddev in starts
        },
        f"{name}_adapted": Method(f"{title}, G (data)", name, form, adapts=True),
    }


METHODS = {
    **_starts("pair", "Pair, softmax", "softmax", [(0, 1), (0, 0.5), (0, 5), (-0.1, 1), (0.1, 1)]),
    **_starts("eq15", "Pair, Eq. 15", "sigmoids", [(0, 1)]),
    **_starts("single", "One, Eq. 14", "single", [(0, 1)]),
}


def main() -> None:
    args = parse_arguments()
    data = mulan.load(args.dataset, args.data_dir)
    settings = {
        "dataset": args.dataset,
        "epochs": args.epochs,
        "learning_rate": LEARNING_RATE,
        "separability": "present against absent",  # earlier runs measured labels against others
    }
    runs = Runs(args.out or f"results/gsoftmax_multilabel/{args.dataset}", settings)

    def train(name: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        model = compiled_model(METHODS[name], data)
        fit(model, METHODS[name], data, args.epochs, callbacks)
        return evaluate(model, data)

    results = runs.complete(list(METHODS), list(range(args.seeds)), args.epochs, train)
    title = f"{args.dataset}, {counted(args.epochs, 'epoch')}, {counted(args.seeds, 'seed')}"
    summary = summarise(results)
    show(summary, title)
    analysis = analyse(results)
    write_json(
        runs.folder / "results.json",
        {"settings": settings, "versions": versions(), "methods": summary, "analysis": analysis},
    )
    write_csv(results, SCORES, runs.folder / "results.csv")
    draw(results, title, runs.folder / "results.png")
    draw_classes(results, data.labels, title, runs.folder / "classes.png")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--dataset", choices=mulan.DATASETS, default="scene", help="scene by default"
    )
    parser.add_argument("--data-dir", required=True, help="folder of Mulan's files")
    parser.add_argument("--epochs", type=int, default=30, help="30 by default")
    parser.add_argument("--seeds", type=int, default=5, help="the number of seeds, 5 by default")
    parser.add_argument("--out", help="folder of the results; finished runs in it are kept")
    args = parser.parse_args()
    if args.epochs <= ADAPTED_AFTER or args.seeds < 1:
        parser.error(f"--epochs must be above {ADAPTED_AFTER}, and --seeds at least 1")
    return args


def compiled_model(method: Method, data: mulan.MultiLabel) -> keras.Model:
    inputs = keras.Input(data.x_train.shape[1:])
    hidden = keras.layers.Dense(256, activation="relu")(inputs)
    hidden = keras.layers.Dropout(0.5)(hidden)
    gaussians = {"scale": method.scale, "mean": method.mean, "stddev": method.stddev}
    labels = len(data.labels)
    if method.form == "single":
        outputs = ks.layers.GSoftmax(**gaussians)(keras.layers.Dense(labels)(hidden))
        model = keras.Model(inputs, outputs)
        loss: keras.Loss = keras.losses.BinaryCrossentropy(from_logits=True)
    else:
        head = ks.layers.PairedGSoftmax(labels, form=method.form, **gaussians)
        model = ks.models.Classifier(keras.Model(inputs, hidden), head)
        loss = ks.losses.PairedCrossentropy()
    model.compile(keras.optimizers.Adam(LEARNING_RATE), loss=loss)
    return model


def fit(
    model: keras.Model,
    method: Method,
    data: mulan.MultiLabel,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Train, and set mu and sigma to the moments of the logits on the way, where that is meant."""

    def train(first: int, last: int) -> None:
        model.fit(
            data.x_train,
            data.y_train,
            batch_size=BATCH_SIZE,
            initial_epoch=first,
            epochs=last,
            verbose=0,
            callbacks=callbacks,
        )

    if method.adapts:
        train(0, ADAPTED_AFTER)
        network, layer = parts(model)
        layer.adapt(network.predict(data.x_train, verbose=0))
    train(ADAPTED_AFTER if method.adapts else 0, epochs)


def parts(model: keras.Model) -> tuple[keras.Model, keras.layers.Layer]:
    """Return the network below the layer with the Gaussian term, and that layer."""
    if isinstance(model, ks.models.Classifier):
        return model.network, model.head
    layer = model.layers[-1]
    return keras.Model(model.input, layer.input), layer


def evaluate(model: keras.Model, data: mulan.MultiLabel) -> dict[str, Any]:
    """Return the scores of Eqs. 21 and 22 in per cent, and what the analysis needs of each label.

    That is compactness, separability and their ratio of x+, the number that speaks for a label, on
    the test examples that have it against those that do not; and, of a pair, those of the learned
    Gaussian of x+ against that of x-, the number that speaks for the label's absence. Of a model
    that has diverged all is NaN.
    """
    predicted = model.predict(data.x_test, verbose=0)
    if not np.isfinite(predicted).all():
        return diverged(len(data.labels))
    network, layer = parts(model)
    is_pair = isinstance(layer, ks.layers.PairedGSoftmax)
    logits = network.predict(data.x_test, verbose=0)
    gaussians = {}
    if is_pair:
        logits = keras.ops.convert_to_numpy(layer.logits(logits))
        gaussians["learned"] = [learned(each) for each in (layer.positive, layer.negative)]
    gaussians["measured"] = [
        separability.class_gaussians(logits, present) for present in (data.y_test, 1 - data.y_test)
    ]
    precision = average_precision_score(data.y_test, predicted, average=None)
    return {
        **{name: 100 * value for name, value in scores(data.y_test, predicted, is_pair).items()},
        "average_precision": precision.tolist(),
        **{
            source: {
                name: values.tolist() for name, values in separability.label_measures(*pair).items()
            }
            for source, pair in gaussians.items()
        },
    }


def diverged(labels: int) -> dict[str, Any]:
    """Return what `evaluate` does, without a number in it."""
    values = [math.nan] * labels
    measures = dict.fromkeys(separability.MEASURES, values)
    per_label = {"average_precision": values, "measured": measures, "learned": measures}
    return {**dict.fromkeys(SCORES, math.nan), **per_label}


def learned(layer: ks.layers.GSoftmax) -> tuple[np.ndarray, np.ndarray]:
    """Return mu and sigma of each label as they were learned."""
    mean, stddev = map(keras.ops.convert_to_numpy, (layer.mean, layer.stddev))
    return mean, stddev


def scores(labels: np.ndarray, predicted: np.ndarray, are_probabilities: bool) -> dict[str, float]:
    """Return Eqs. 21 and 22, by the names of `SCORES`."""
    counts = (
        ks.metrics.MultiLabelPrecision,
        ks.metrics.MultiLabelRecall,
        ks.metrics.MultiLabelF1,
    )
    threshold = 0.5 if are_probabilities else 0.0
    metrics = [ks.metrics.MeanAveragePrecision()] + [
        count(average, threshold) for average in ("class", "overall") for count in counts
    ]
    for metric in metrics:
        metric.update_state(labels, predicted)
    return {name: float(metric.result()) for name, metric in zip(SCORES, metrics, strict=True)}


def summarise(results: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return each method's mean scores, and its gain in mAP over its baseline, paired by seed.

    And of each label the means over the seeds of its average precision and of what was measured of
    it on test examples.
    """
    summary: dict[str, dict[str, Any]] = {}
    for name, done in results.items():
        means = {score: mean_interval([run[score] for run in done]) for score in SCORES}
        summary[name] = {score: interval.plain() for score, interval in means.items()}
        for source in LABEL_MEASURES:
            summary[name][source[-1]] = label_means(done, *source).round(6).tolist()
        baseline = METHODS[name].baseline
        if name != baseline:
            summary[name]["gain in mAP"] = gain(done, results[baseline]).plain()
    return summary


def gain(done: list[dict[str, Any]], baseline: list[dict[str, Any]]) -> Interval:
    """Return the mean gain in mAP over the runs of the same seeds."""
    return mean_interval([a["mAP"] - b["mAP"] for a, b in zip(done, baseline, strict=True)])


def show(summary: dict[str, dict[str, Any]], title: str) -> None:
    """Print the mean scores, and the gain in mAP with its interval."""
    table = Table("method", "mAP [95 %]", "gain [95 %]", *SCORES[1:], title=title)
    for name, row in summary.items():
        over_baseline = describe(row["gain in mAP"]) if "gain in mAP" in row else ""
        others = [f"{number(row[score]['estimate']):.1f}" for score in SCORES[1:]]
        table.add_row(METHODS[name].title, describe(row["mAP"]), over_baseline, *others)
    Console(width=140).print(table)


def describe(interval: dict[str, float | None]) -> str:
    return Interval(**{name: number(value) for name, value in interval.items()}).describe()


def number(value: float | None) -> float:
    return math.nan if value is None else value


def analyse(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the paper's Tables V and VI, of the labels' means over the seeds.

    The correlation is over the starts of the first way to score, as in the paper.
    """
    precision = {name: label_means(done, "average_precision") for name, done in results.items()}
    gaussian = [name for name in results if name != METHODS[name].baseline]
    starts = [name for name in gaussian if METHODS[name].baseline == "pair"]
    return {
        "p-value of the paired t-test against the baseline": {
            name: separability.significance(precision[name], precision[METHODS[name].baseline])
            for name in gaussian
        },
        **{
            f"correlation with average precision, {source}": {
                measure: dict(
                    zip(
                        ("label", "Pearson", "p-value"),
                        separability.correlation(
                            {name: label_means(results[name], source, measure) for name in starts},
                            precision,
                        ),
                        strict=True,
                    )
                )
                for measure in separability.MEASURES
            }
            for source in ("measured", "learned")
        },
    }


def label_means(done: list[dict[str, Any]], *path: str) -> np.ndarray:
    """Return the mean over the seeds of what a run holds for each label."""
    values = []
    for run in done:
        for key in path:
            run = run[key]
        values.append(run)
    return np.mean(values, axis=0)


def draw(results: dict[str, list[dict[str, Any]]], title: str, path: Path) -> None:
    """Draw the mAP of each method: the seeds, their mean and its interval."""
    mpl.use("Agg")
    figure, axes = plt.subplots(figsize=(7, 1.2 + 0.45 * len(results)), layout="constrained")
    baselines = [name for name, method in METHODS.items() if name == method.baseline]
    for height, (name, done) in enumerate(reversed(results.items())):
        values = [run["mAP"] for run in done]
        mean, low, high = mean_interval(values)
        color = f"C{baselines.index(METHODS[name].baseline)}"
        axes.plot(values, np.full(len(values), height - 0.25), "o", color="0.7", markersize=4)
        axes.errorbar(
            mean, height, xerr=[[mean - low], [high - mean]], fmt="D", capsize=4, color=color
        )
    axes.set_yticks(range(len(results)), [METHODS[name].title for name in reversed(results)])
    axes.set_xlabel("mAP, %: seeds, mean and 95 % interval")
    axes.set_title(title)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_classes(
    results: dict[str, list[dict[str, Any]]], labels: list[str], title: str, path: Path
) -> None:
    """Draw what is measured of each label, without and with the Gaussian term (Fig. 6)."""
    figure, rows = plt.subplots(4, 1, figsize=(8, 8), sharex=True, layout="constrained")
    for axes, source in zip(rows, LABEL_MEASURES, strict=True):
        for offset, name in ((-0.2, "pair"), (0.2, "pair_0_1")):
            heights = label_means(results[name], *source)
            axes.bar(np.arange(len(labels)) + offset, heights, 0.4, label=METHODS[name].title)
        axes.set_ylabel(source[-1].replace("_", " "))
    figure.suptitle(f"{title}: test examples with the label against those without")
    figure.legend(*rows[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    rows[-1].set_xticks(range(len(labels)), labels, rotation=30)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
