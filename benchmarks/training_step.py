"""What a training step costs with each method, as a ratio to plain Keras.

    python benchmarks/training_step.py

The steps of all methods are measured in turns in one run, so that a change in the machine's speed
falls on all of them, and each ratio is taken within a turn. Prints the median and the middle half
of the ratios, and the step's time for orientation; writes benchmarks/results/training_step.json.
"""

import argparse
import itertools
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples"))

import methods  # noqa: E402
import networks  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402
from runs import versions, write_json  # noqa: E402

BATCH_SIZE = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--steps", type=int, default=10, help="training steps in a turn")
    args = parser.parse_args()
    cases = {
        "LeNet, 28 x 28, 10 classes": (networks.lenet, (28, 28, 1), 10),
        "features alone, 512 to 1,000 classes": (lambda inputs: inputs, (512,), 1000),
    }
    results = {
        case: measure(problem, args.turns, args.steps, case) for case, problem in cases.items()
    }
    show(results)
    (HERE / "results").mkdir(exist_ok=True)
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    report = {"settings": vars(args), "machine": machine, "versions": versions(), "cases": results}
    write_json(HERE / "results" / "training_step.json", report)


def measure(
    problem: tuple[Callable[..., Any], tuple[int, ...], int], turns: int, steps: int, title: str
) -> dict[str, dict[str, float]]:
    """Return each method's step time and its ratio to the baseline."""
    runners = {method: stepper(method, problem, steps) for method in methods.METHODS}
    seconds: dict[str, list[float]] = {method: [] for method in runners}
    for runner in runners.values():
        runner()  # traces and compiles
    for turn in track(range(turns), title):
        # Each turn begins with another method: none always follows the same one.
        order = list(itertools.islice(itertools.cycle(runners), turn, turn + len(runners)))
        for method in order:
            seconds[method].append(runners[method]() / steps)
    rows = {}
    for method, times in seconds.items():
        ratios = np.array(times) / np.array(seconds[methods.BASELINE])
        low, median, high = np.percentile(ratios, [25, 50, 75])
        rows[method] = {
            "milliseconds": 1e3 * float(np.median(times)),
            "ratio": float(median),
            "ratio_lower_quartile": float(low),
            "ratio_upper_quartile": float(high),
        }
    return rows


def stepper(
    method: str, problem: tuple[Callable[..., Any], tuple[int, ...], int], steps: int
) -> Callable[[], float]:
    """Return a function that trains some steps, as `fit` does, and returns the seconds."""
    network, shape, classes = problem
    keras.utils.set_random_seed(0)
    model = methods.build(method, network, shape, classes)
    model.compile("adam", loss=methods.METHODS[method].loss())
    train = model.make_train_function() or model.train_function
    batches = endless_batches(shape, classes)

    def run() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            logs = train(batches)
        float(logs["loss"])
        return time.perf_counter() - start

    return run


def endless_batches(shape: tuple[int, ...], classes: int) -> Iterator[Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH_SIZE, *shape)).astype("float32")
    y = rng.integers(0, classes, BATCH_SIZE)
    return iter(tf.data.Dataset.from_tensors((x, y)).repeat())


def show(results: dict[str, dict[str, dict[str, float]]]) -> None:
    table = Table("case", "method", "step, ms", "ratio to softmax", "middle half")
    for case, rows in results.items():
        for method, row in rows.items():
            spread = f"{row['ratio_lower_quartile']:.3f} - {row['ratio_upper_quartile']:.3f}"
            title = methods.METHODS[method].title
            table.add_row(case, title, f"{row['milliseconds']:.2f}", f"{row['ratio']:.3f}", spread)
    Console().print(table)


if __name__ == "__main__":
    main()
