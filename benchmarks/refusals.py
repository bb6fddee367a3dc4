"""What it costs that a refused batch changes nothing, as a ratio to the same step without checks.

    python benchmarks/refusals.py

Without checks means Keras's own training step, whose labels and weights are read once and are not
looked at, and which writes in an order of its own. Both are measured in turns in one run. Prints
the median and the middle half of the ratios; writes benchmarks/results/refusals.json.
"""

import argparse
import contextlib
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
import turns  # noqa: E402
from runs import write_json  # noqa: E402
from training_step import runner  # noqa: E402

import keras_softmaxes as ks  # noqa: E402

BASELINE = "without checks"
NAMES = ("dropmax", "attention", "class_dropout", "lsoftmax", "gaussian_mixture", "large_margin")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=60)
    args = parser.parse_args()
    results = {
        f"{methods.METHODS[name].title}, {title}": turns.measure(
            {"with checks": stepper(name, *problem), BASELINE: unchecked(name, *problem)},
            BASELINE,
            args.turns,
            f"{name}, {title}",
        )
        for title, problem in {
            "LeNet, 10 classes": (networks.lenet, (28, 28, 1), 10),
            "512 features, 1,000 classes": (keras.layers.Identity(), (512,), 1000),
        }.items()
        for name in NAMES
    }
    turns.show(results, "step", BASELINE)
    write_json(HERE / "results" / "refusals.json", turns.report(vars(args), results))


def stepper(
    name: str, network: Callable, shape: tuple[int, ...], classes: int
) -> Callable[[], float]:
    """Return a function that trains some steps and returns the seconds of one, traced already."""
    keras.utils.set_random_seed(0)
    model = methods.build(methods.METHODS[name], network, shape, classes)
    methods.METHODS[name].compile(model, "adam")
    run = runner(model, shape, classes)
    run()
    return run


def unchecked(*problem: object) -> Callable[[], float]:
    with _without_checks():
        return stepper(*problem)


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
