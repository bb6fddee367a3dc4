"""The experiments of the large-margin paper: its loss against softmax and label smoothing.

    python examples/large_margin.py --dataset fashion_mnist --train-size 10000 --experiment ablation
    python examples/large_margin.py --dataset cifar100 --network thirteen --experiment noise

`ablation` compares the three divergences at several weights (Table 1), and label smoothing (Table
2); `samples` trains on fewer images and `noise` on wrong labels (Table 3). With one seed all
methods start from the same weights and see the same images and labels in the same order. Trains
what is missing, so it can be interrupted and run again. Prints each method's test error and its
ratio to softmax, with 95 % intervals over the seeds, and writes them as JSON, CSV and PNG; draws
the margin bias over the epochs (Fig. 3), and the losses and divergences as functions of a logit
(Figs. 1 and 4).
"""

import argparse
import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import data
import keras
import large_margin_plots
import methods
import networks
from intervals import Interval, mean_interval, ratio_interval
from report import counted
from rich.console import Console
from rich.table import Table
from runs import Runs, versions, write_json

import keras_softmaxes as ks

BATCH_SIZE = 128
ABLATION_WEIGHTS = (0.1, 0.3, 0.5, 1.0)
DIVERGENCES = {"symmetric": "Large margin", "forward": "D(q || u)", "reverse": "D(u || q)"}
BASELINES = (methods.BASELINE, "label_smoothing")

Results = dict[float, dict[str, list[dict[str, Any]]]]


@dataclass(frozen=True)
class Objective:
    """A loss and what plots and tables call it."""

    title: str
    loss: Callable[[], keras.Loss]


def _large_margin(**arguments: Any) -> Callable[[], keras.Loss]:
    return lambda: ks.losses.LargeMarginCrossentropy(**arguments)


OBJECTIVES = {
    **{
        name: Objective(methods.METHODS[name].title, methods.METHODS[name].loss)
        for name in BASELINES
    },
    **{
        f"{divergence}_{weight:g}": Objective(
            f"{title} {weight:g}", _large_margin(weight=weight, divergence=divergence)
        )
        for divergence, title in DIVERGENCES.items()
        for weight in ABLATION_WEIGHTS
    },
}
OURS = ("symmetric_0.3", "symmetric_0.5", "symmetric_1")


@dataclass(frozen=True)
class Experiment:
    """What is compared on which training images.

    Attributes:
        noun: what the share is of.
        shares: the shares to train with.
        unaltered: the share that leaves the images as they are.
        objectives: names in `OBJECTIVES`.
        altered: makes the training images from those of the dataset, a share and a seed.
    """

    noun: str
    shares: tuple[float, ...]
    unaltered: float
    objectives: tuple[str, ...]
    altered: Callable[[data.Images, float, int], data.Images]


def _fewer(images: data.Images, share: float, seed: int) -> data.Images:
    a_class = round(share * len(images.y_train) / images.classes)
    return data.balanced(images, a_class * images.classes)


EXPERIMENTS = {
    "ablation": Experiment("of the training images", (1.0,), 1.0, tuple(OBJECTIVES), _fewer),
    "samples": Experiment(
        "of the training images", (0.5, 0.6, 0.7, 0.8, 0.9, 1.0), 1.0, BASELINES + OURS, _fewer
    ),
    "noise": Experiment(
        "wrong labels",
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        0.0,
        BASELINES + OURS,
        data.mislabelled,
    ),
}


def _cosine(steps_an_epoch: int, epochs: int) -> keras.optimizers.schedules.LearningRateSchedule:
    return keras.optimizers.schedules.CosineDecay(0.1, steps_an_epoch * epochs)


def _logspace(steps_an_epoch: int, epochs: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """One rate an epoch, evenly in the logarithm from 0.1 to 0.0001."""
    ratio = 10 ** (-3 / max(epochs - 1, 1))
    return keras.optimizers.schedules.ExponentialDecay(0.1, steps_an_epoch, ratio, staircase=True)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: by SGD with momentum 0.9, in batches of 128.

    Attributes:
        network: leads from the images to the features.
        epochs: as many as it is trained for by default.
        schedule: the learning rate, from the steps of an epoch and the number of epochs.
        head: further arguments of the last layer.
    """

    network: Callable[[keras.KerasTensor], keras.KerasTensor]
    epochs: int
    schedule: Callable[[int, int], keras.optimizers.schedules.LearningRateSchedule]
    head: dict[str, Any]


def _thirteen(inputs: keras.KerasTensor) -> keras.KerasTensor:
    return networks.thirteen_layer_convnet(networks.shifted_and_flipped(inputs), weight_decay=1e-4)


RECIPES = {
    "small": Recipe(networks.batch_normalised_convnet, 12, _cosine, {}),
    "thirteen": Recipe(_thirteen, 50, _logspace, networks.decayed(1e-4)),
}


def main() -> None:
    args = parse_arguments()
    experiment = EXPERIMENTS[args.experiment]
    images = data.load(args.dataset, args.data_dir)
    if args.train_size is not None:
        images = data.balanced(images, args.train_size)
    settings = {
        "dataset": args.dataset,
        "train_size": len(images.y_train),
        "test_size": len(images.y_test),
        "network": args.network,
        "epochs": args.epochs,
        "batch_size": BATCH_SIZE,
    }
    name = f"{args.dataset}-{len(images.y_train)}-{args.network}"
    runs = Runs(args.out or f"results/large_margin/{name}", settings)
    arms = {
        (share, objective): arm_name(args.experiment, share, objective)
        for share in args.shares
        for objective in args.methods
    }
    by_name = {arm: pair for pair, arm in arms.items()}

    def train(arm: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        share, objective = by_name[arm]
        altered = experiment.altered(images, share, seed)
        model = compiled_model(objective, altered, args.network, args.epochs)
        history = model.fit(
            altered.x_train,
            altered.y_train,
            batch_size=BATCH_SIZE,
            epochs=args.epochs,
            callbacks=callbacks,
            verbose=0,
        ).history
        model.save(runs.model_path(arm, seed))
        return {
            "test_error": methods.test_error(model, images),
            "train_error": round(100 * (1 - history["accuracy"][-1]), 4),
            "margin_bias": history["margin_bias"],
        }

    done = runs.complete(list(by_name), list(range(args.seeds)), args.epochs, train)
    results = {
        share: {objective: done[arms[share, objective]] for objective in args.methods}
        for share in args.shares
    }
    write(results, args.experiment, settings, runs.folder)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--dataset", choices=data.DATASETS, default="fashion_mnist", help="fashion_mnist by default"
    )
    parser.add_argument("--data-dir", help="TFDS's folder")
    parser.add_argument("--train-size", type=int, help="training images; all of them by default")
    parser.add_argument(
        "--experiment", choices=EXPERIMENTS, default="noise", help="what varies; noise by default"
    )
    parser.add_argument(
        "--shares",
        type=float,
        nargs="+",
        help="fractions of wrong labels or of training images, as 0.3; the paper's by default",
    )
    parser.add_argument("--network", choices=RECIPES, default="small", help="small by default")
    parser.add_argument("--epochs", type=int, help="training epochs; the network's own by default")
    parser.add_argument("--seeds", type=int, default=5, help="the number of seeds")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=OBJECTIVES,
        metavar="METHOD",
        help=f"some of {', '.join(OBJECTIVES)} (divergence_weight); the experiment's by default",
    )
    parser.add_argument("--out", help="folder of the results; finished runs in it are kept")
    args = parser.parse_args()
    experiment = EXPERIMENTS[args.experiment]
    args.shares = args.shares or list(experiment.shares)
    args.methods = args.methods or list(experiment.objectives)
    if args.epochs is None:
        args.epochs = RECIPES[args.network].epochs
    for argument in ("train_size", "seeds", "epochs"):
        value = getattr(args, argument)
        if value is not None and value < 1:
            parser.error(f"--{argument.replace('_', '-')} must be at least 1, got {value}")
    if not all(0 <= share <= 1 for share in args.shares):
        parser.error(f"--shares must be in [0, 1], got {args.shares}")
    return args


def arm_name(experiment: str, share: float, objective: str) -> str:
    """Name a run's files. Experiments share the runs on unaltered images."""
    if share == EXPERIMENTS[experiment].unaltered:
        return f"{objective}-unaltered"
    return f"{objective}-{experiment}-{share:g}"


def compiled_model(objective: str, images: data.Images, network: str, epochs: int) -> keras.Model:
    recipe = RECIPES[network]
    shape = images.x_train.shape[1:]
    softmax = methods.METHODS[methods.BASELINE]
    model = methods.build(softmax, recipe.network, shape, images.classes, **recipe.head)
    schedule = recipe.schedule(math.ceil(len(images.y_train) / BATCH_SIZE), epochs)
    model.compile(
        keras.optimizers.SGD(schedule, momentum=0.9),
        loss=OBJECTIVES[objective].loss(),
        metrics=["accuracy", ks.metrics.MarginBias()],
    )
    return model


def write(results: Results, experiment: str, settings: dict[str, Any], folder: Path) -> None:
    """Print the results, and write them as <experiment>.json, .csv and .png, with the plots.

    Args:
        results: for each share and each objective, what `Runs.complete` returned of it.
        experiment: its name.
        settings: what all runs share.
        folder: where the files go.
    """
    summaries = {share: summary(objectives) for share, objectives in results.items()}
    captions = {share: f"{100 * share:g} % {EXPERIMENTS[experiment].noun}" for share in results}
    for share, rows in summaries.items():
        show(rows, f"{settings['dataset']}, {captions[share]}")
    seeds = [run["seed"] for run in next(iter(next(iter(results.values())).values()))]
    content = {
        "experiment": experiment,
        "settings": settings,
        "seeds": seeds,
        "versions": versions(),
        "shares": {
            f"{share:g}": {
                objective: {
                    "test_errors": [run["test_error"] for run in results[share][objective]],
                    "train_errors": [run["train_error"] for run in results[share][objective]],
                    "mean": mean.plain(),
                    "ratio_to_softmax": ratio.plain() if ratio else None,
                }
                for objective, (mean, ratio) in rows.items()
            }
            for share, rows in summaries.items()
        },
    }
    write_json(folder / f"{experiment}.json", content)
    write_csv(results, folder / f"{experiment}.csv")
    titles = {name: objective.title for name, objective in OBJECTIVES.items()}
    title = (
        f"{settings['dataset']}, {settings['train_size']:,} training images, "
        f"{counted(settings['epochs'], 'epoch')}, {counted(len(seeds), 'seed')}"
    )
    large_margin_plots.test_errors(summaries, titles, captions, title, folder / f"{experiment}.png")
    large_margin_plots.margin_bias(
        results, titles, captions, title, folder / f"{experiment}_bias.png"
    )
    large_margin_plots.losses(folder / "losses.png")
    print(f"tables and plots in {folder}")


def summary(
    runs: dict[str, list[dict[str, Any]]],
) -> dict[str, tuple[Interval, Interval | None]]:
    """Return each objective's mean test error and its ratio to softmax's."""
    errors = {name: [run["test_error"] for run in each] for name, each in runs.items()}
    return {
        name: (
            mean_interval(values),
            ratio_interval(values, errors[methods.BASELINE])
            if methods.BASELINE in errors and name != methods.BASELINE
            else None,
        )
        for name, values in errors.items()
    }


def show(rows: dict[str, tuple[Interval, Interval | None]], title: str) -> None:
    table = Table("method", "test error, % [95 %]", "ratio to softmax [95 %]", title=title)
    for name, (mean, ratio) in rows.items():
        described = ratio.describe(3) if ratio else ""
        table.add_row(OBJECTIVES[name].title, mean.describe(), described)
    Console().print(table)


def write_csv(results: Results, path: Path) -> None:
    columns = ["share", "method", "seed", "test_error", "train_error", "seconds"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for share, objectives in results.items():
            for objective, runs in objectives.items():
                writer.writerows({**run, "share": share, "method": objective} for run in runs)


if __name__ == "__main__":
    main()
