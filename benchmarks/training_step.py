"""What a training step costs with each method, as a ratio to plain Keras.

    python benchmarks/training_step.py

The steps of all methods are measured in turns in one run. Prints the median and the middle half of
the ratios, and the step's time for orientation; writes benchmarks/results/training_step.json.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples"))

import methods  # noqa: E402
import networks  # noqa: E402
import turns  # noqa: E402
from runs import write_json  # noqa: E402

BATCH_SIZE = 100


class Problem(NamedTuple):
    """What the methods are measured on, and the training steps in a turn."""

    network: Callable[..., Any]
    shape: tuple[int, ...]
    classes: int
    methods: list[str]
    steps: int = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=60)
    args = parser.parse_args()
    # What perturbations cost is in adversarial_dropout.py.
    names = [name for name, each in methods.METHODS.items() if each.perturbations is None]
    # A super-symmetric classifier needs classes - 1 features.
    others = [name for name in names if name != "super_symmetric"]
    cases = {
        "LeNet, 28 x 28, 10 classes": Problem(networks.lenet, (28, 28, 1), 10, names),
        "features alone, 512 to 1,000 classes": Problem(_no_network, (512,), 1000, others),
        "features alone, 64 to 32,768 classes": Problem(_no_network, (64,), 32_768, others, 1),
    }
    baseline = methods.METHODS[methods.BASELINE].title
    results = {
        case: turns.measure(steppers(problem), baseline, args.turns, case)
        for case, problem in cases.items()
    }
    turns.show(results, "step", baseline)
    write_json(HERE / "results" / "training_step.json", turns.report(vars(args), results))


def _no_network(features: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Identity()(features)


def steppers(problem: Problem) -> dict[str, Callable[[], float]]:
    chosen = [methods.METHODS[name] for name in problem.methods]
    return {method.title: stepper(method, problem) for method in chosen}


def stepper(method: methods.Method, problem: Problem) -> Callable[[], float]:
    """Return a function that trains some steps and returns the seconds of one."""
    network, shape, classes, _, steps = problem
    keras.utils.set_random_seed(0)
    model = methods.build(method, network, shape, classes)
    method.compile(model, "adam")
    return runner(model, shape, classes, steps)


def runner(
    model: keras.Model, shape: tuple[int, ...], classes: int, steps: int = 10
) -> Callable[[], float]:
    """Return a function that trains some steps, as `fit` does, and returns the seconds of one."""
    train = model.make_train_function() or model.train_function
    batches = endless_batches(shape, classes)

    def run() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            logs = train(batches)
        float(logs["loss"])
        return (time.perf_counter() - start) / steps

    return run


def endless_batches(shape: tuple[int, ...], classes: int) -> Iterator[Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH_SIZE, *shape)).astype("float32")
    y = rng.integers(0, classes, BATCH_SIZE)
    return iter(tf.data.Dataset.from_tensors((x, y)).repeat())


if __name__ == "__main__":
    main()
