"""What it costs that a step that raises changes nothing: its ratio to a step without checks.

    python benchmarks/failed_steps.py

Without checks means Keras's own training step, whose labels and weights are read once and are not
looked at, and which writes in an order of its own. Both are measured in turns in one run, each on
three models: one and the same step differs by some hundredths from model to model, as its memory
happens to lie. Prints the median and the middle half of the ratios; writes
benchmarks/results/failed_steps.json.
"""

import argparse
import contextlib
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples"))

import keras  # noqa: E402
import methods  # noqa: E402
import networks  # noqa: E402
import tensorflow as tf  # noqa: E402
import training_step  # noqa: E402
import turns  # noqa: E402
from runs import write_json  # noqa: E402

import keras_softmaxes as ks  # noqa: E402

BASELINE = "without checks"
NAMES = ["dropmax", "class_dropout", "lsoftmax", "gaussian_mixture"]
MODELS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=40)
    args = parser.parse_args()
    cases = {
        "LeNet, 10 classes": training_step.Problem(networks.lenet, (28, 28, 1), 10, NAMES),
        "512 features, 1,000 classes": training_step.Problem(
            keras.layers.Identity(), (512,), 1000, NAMES
        ),
    }
    results = {
        f"{methods.METHODS[name].title}, {title}": turns.measure(
            steppers(name, problem), BASELINE, args.turns, f"{name}, {title}"
        )
        for title, problem in cases.items()
        for name in problem.methods
    }
    turns.show(results, "step", BASELINE)
    write_json(HERE / "results" / "failed_steps.json", turns.report(vars(args), results))


def steppers(name: str, problem: training_step.Problem) -> dict[str, Callable[[], float]]:
    checked, unchecked = [], []
    for _ in range(MODELS):
        checked.append(stepper(name, problem))
        with _without_checks():
            unchecked.append(stepper(name, problem))
    return {"with checks": _mean_of(checked), BASELINE: _mean_of(unchecked)}


def stepper(name: str, problem: training_step.Problem) -> Callable[[], float]:
    """Return a function that trains some steps and returns the seconds of one, traced already."""
    run = training_step.stepper(methods.METHODS[name], problem)
    run()
    return run


def _mean_of(runners: list[Callable[[], float]]) -> Callable[[], float]:
    return lambda: statistics.mean(run() for run in runners)


def _unasserted(condition: tf.Tensor, data: list[tf.Tensor]) -> tf.Operation:
    return tf.no_op()


@contextlib.contextmanager
def _without_checks() -> Iterator[None]:
    """Let what is traced here raise nothing, read no labels ahead and write in Keras's order."""
    with (
        mock.patch.object(tf.raw_ops, "Assert", _unasserted),
        mock.patch.object(ks.models.Classifier, "train_step", keras.Model.train_step),
    ):
        yield


if __name__ == "__main__":
    main()
