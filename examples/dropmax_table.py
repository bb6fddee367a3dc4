"""The MNIST columns of the DropMax paper's Table 1: eight ways to end a network.

    python examples/dropmax_table.py --train-size 1000 --data-dir ~/datasets
    python examples/dropmax_table.py --train-size 5000 --data-dir ~/datasets --seeds 3

The setting is that of dropmax_mnist.py. Three methods have a hyper-parameter, searched as the paper
does it: each value is trained with the first seeds, and the one with the lowest error on a holdout
is trained with all seeds. The holdout is 5,000 training images, the next 500 of each class in file
order; no test image is involved. `--chosen` takes what an earlier search found (its search.json),
where another would take too long. Trains what is missing, so it can be interrupted and run again.
Prints each method's test error and its ratio to softmax, with 95 % intervals over the seeds; writes
them beside the paper's as JSON, CSV and PNG.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import data
import dropmax_mnist
import keras
import matplotlib as mpl
import methods
import numpy as np
import report
from intervals import mean_interval, ratio_interval
from matplotlib import pyplot as plt
from runs import Runs, read_json, write_json

HOLDOUT_A_CLASS = 500


@dataclass(frozen=True)
class Row:
    """A row of Table 1.

    Attributes:
        method: its name in `methods.METHODS`.
        paper: the paper's test errors in per cent, by the number of training images.
        searched: builds the method from a value of its hyper-parameter, where it has one.
        values: the values that are tried.
    """

    method: str
    paper: dict[int, float]
    searched: Callable[[float], methods.Method] | None = None
    values: tuple[float, ...] = ()

    def candidates(self) -> dict[str, methods.Method]:
        """Return the method at each value, or as it is, by the name of its runs."""
        if self.searched is None:
            return {self.method: methods.METHODS[self.method]}
        return {f"{self.method}_{value:g}": self.searched(value) for value in self.values}


SHARES = (0.2, 0.4, 0.6)
TABLE = (
    Row("softmax", {1000: 7.09, 5000: 2.13}),
    Row("sparsemax", {1000: 6.57, 5000: 2.05}),
    Row("class_sampling", {1000: 7.36, 5000: 2.31}, methods.class_sampling, SHARES),
    Row("class_dropout", {1000: 7.19, 5000: 2.23}, methods.class_dropout, SHARES),
    Row("attention", {1000: 6.91, 5000: 2.03}),
    Row("deterministic_dropmax", {1000: 6.30, 5000: 1.89}),
    Row("dropmax_prior", {1000: 7.52, 5000: 2.05}, methods.dropmax_prior, (1.0, 0.1, 0.01)),
    Row("dropmax", {1000: 5.32, 5000: 1.64}),
)


def main() -> None:
    args = parse_arguments()
    mnist = data.load("mnist", args.data_dir)
    images, holdout = data.balanced(mnist, args.train_size), held_out(mnist, args.train_size)
    settings = {"dataset": "mnist", "train_size": args.train_size, "epochs": args.epochs}
    runs = Runs(args.out or f"results/dropmax_table/{args.train_size}", settings)
    candidates = {name: method for row in TABLE for name, method in row.candidates().items()}

    def train(name: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        model = dropmax_mnist.compiled_model(candidates[name], args.train_size, args.epochs)
        model.fit(
            images.x_train,
            images.y_train,
            batch_size=dropmax_mnist.BATCH_SIZE,
            epochs=args.epochs,
            verbose=0,
            callbacks=callbacks,
        )
        return {
            "holdout_error": methods.test_error(model, holdout),
            "test_error": methods.test_error(model, images),
        }

    if args.chosen:
        found = read_json(args.chosen, "Name the search.json of another run.")
        chosen = found.get("chosen", {}) if isinstance(found, dict) else {}
        if [row.method for row in TABLE] != list(chosen) or not set(chosen.values()) <= set(
            candidates
        ):
            raise SystemExit(f"{args.chosen} is no search of this program.")
    else:
        searched = [name for row in TABLE if row.searched for name in row.candidates()]
        trials = runs.complete(searched, list(range(args.search_seeds)), args.epochs, train)
        chosen = {row.method: best(row, trials) for row in TABLE}
        write_search(trials, chosen, runs)
    done = runs.complete(list(chosen.values()), list(range(args.seeds)), args.epochs, train)
    results = {method: done[name] for method, name in chosen.items()}
    settings["chosen"] = chosen
    title = f"MNIST, {args.train_size:,} training images, {report.counted(args.epochs, 'epoch')}"
    report.write(results, settings, title, runs.folder)
    draw(results, args.train_size, title, runs)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--train-size", type=int, choices=(1000, 5000), default=1000, help="1000 by default"
    )
    parser.add_argument("--epochs", type=int, default=200, help="200 by default")
    parser.add_argument("--seeds", type=int, default=5, help="the number of seeds, 5 by default")
    parser.add_argument(
        "--search-seeds", type=int, default=1, help="seeds of each searched value, 1 by default"
    )
    parser.add_argument("--chosen", type=Path, help="search.json of another run, for no search")
    parser.add_argument("--data-dir", help="folder of TFDS's prepared datasets")
    parser.add_argument("--out", help="folder of the results; finished runs in it are kept")
    args = parser.parse_args()
    if args.epochs < 3 or not 1 <= args.search_seeds <= args.seeds:
        parser.error("--epochs must be at least 3, and --search-seeds between 1 and --seeds")
    return args


def held_out(mnist: data.Images, train_size: int) -> data.Images:
    """Return 500 training images of each class after the first `train_size`, to be tested on."""
    position, start = data.position_in_class(mnist.y_train), train_size // mnist.classes
    held = (start <= position) & (position < start + HOLDOUT_A_CLASS)
    return replace(mnist, x_test=mnist.x_train[held], y_test=mnist.y_train[held])


def best(row: Row, trials: dict[str, list[dict[str, Any]]]) -> str:
    """Return the candidate with the lowest error on the holdout, the first of equals."""
    names = list(row.candidates())
    if len(names) == 1:
        return names[0]
    return min(names, key=lambda name: np.mean([run["holdout_error"] for run in trials[name]]))


def write_search(
    trials: dict[str, list[dict[str, Any]]], chosen: dict[str, str], runs: Runs
) -> None:
    """Write what was searched, and found, as search.json."""
    errors = {name: [run["holdout_error"] for run in tried] for name, tried in trials.items()}
    write_json(runs.folder / "search.json", {"holdout_errors": errors, "chosen": chosen})
    for name, tried in errors.items():
        mark = ", chosen" if name in chosen.values() else ""
        print(f"{name}: holdout error {np.mean(tried):.2f} %{mark}")


def draw(results: dict[str, list[dict[str, Any]]], train_size: int, title: str, runs: Runs) -> None:
    """Draw each method's ratio to softmax beside the paper's, as table.png."""
    mpl.use("Agg")
    errors = {method: [run["test_error"] for run in done] for method, done in results.items()}
    paper = {row.method: row.paper[train_size] for row in TABLE}
    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    for height, method in enumerate(reversed(errors)):
        ratio, low, high = ratio_interval(errors[method], errors[methods.BASELINE])
        bar = np.nan_to_num([[ratio - low], [high - ratio]])
        axes.errorbar(ratio, height + 0.12, xerr=bar, fmt="o", color="C0", capsize=3)
        axes.plot(paper[method] / paper[methods.BASELINE], height - 0.12, "s", color="C1")
    titles = [
        f"{methods.METHODS[method].title}\n{mean_interval(errors[method]).estimate:.2f} %, "
        f"paper {paper[method]:.2f} %"
        for method in reversed(errors)
    ]
    axes.set_yticks(range(len(titles)), titles)
    axes.axvline(1, color="0.7", zorder=0)
    axes.plot([], [], "o", color="C0", label="here, with 95 % interval")
    axes.plot([], [], "s", color="C1", label="paper, in its own setting")
    axes.legend()
    axes.set_xlabel("test error, as a ratio to softmax's")
    axes.set_title(f"{title}, {report.counted(len(next(iter(errors.values()))), 'seed')}")
    figure.savefig(runs.folder / "table.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
