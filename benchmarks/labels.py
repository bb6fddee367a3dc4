"""What soft and one-hot labels cost in each loss of classes, as a ratio to integers.

    python benchmarks/labels.py

Loss and gradient of what a head would return, through the public class in a graph, 256 examples of
1,000 classes. The labels are measured in turns in one run. Prints the median and the middle half of
the ratios; writes benchmarks/results/labels.json.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples"))

import turns  # noqa: E402
from runs import write_json  # noqa: E402

import keras_softmaxes as ks  # noqa: E402

SHAPE = (256, 1000)
BASELINE = "integers"
REPEATS = 5
LOSSES = [
    ks.losses.LargeMarginCrossentropy(),
    ks.losses.SparsemaxLoss(),
    ks.losses.DropMaxLoss(),
    ks.losses.MaskedCrossentropy(),
    ks.losses.AttentionCrossentropy(supervised=True),
    ks.losses.LSoftmaxLoss(),
    ks.losses.GaussianMixtureLoss(),
    ks.losses.MeanMulticlassHinge(),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=40)
    args = parser.parse_args()
    results = {
        type(loss).__name__: turns.measure(
            {name: stepper(loss, each) for name, each in labels().items()},
            BASELINE,
            args.turns,
            type(loss).__name__,
        )
        for loss in LOSSES
    }
    turns.show(results, "loss and gradient", BASELINE)
    write_json(HERE / "results" / "labels.json", turns.report({"turns": args.turns}, results))


def labels() -> dict[str, np.ndarray]:
    """Return the same classes as integers and one-hot, and mixtures of two of them."""
    examples, classes = SHAPE
    integers = np.random.default_rng(0).integers(0, classes, examples)
    one_hot = np.eye(classes, dtype="float32")[integers]
    return {
        BASELINE: integers,
        "one-hot": one_hot,
        "mixed": 0.7 * one_hot + 0.3 * one_hot[::-1],
    }


def stepper(loss: ks.losses.HeadLoss, labels: np.ndarray) -> Callable[[], float]:
    """Return a function that computes loss and gradient and returns the seconds of one."""
    rng = np.random.default_rng(1)
    variables = {
        name: tf.Variable(rng.normal(size=SHAPE).astype("float32"))
        for name in (*loss.reads, *loss.may_read)
        if name != "reserve_log_mask"
    }
    for name, sign in (("log_mask", -1), ("distances", 1)):
        if name in variables:
            variables[name].assign(sign * tf.abs(variables[name]))
    y = tf.constant(labels)

    @tf.function(autograph=False)
    def step() -> tuple[tf.Tensor, list[tf.Tensor]]:
        outputs = {name: each.value() for name, each in variables.items()}
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            value = loss(y, outputs)
        return value, tape.gradient(value, list(outputs.values()))

    def run() -> float:
        start = time.perf_counter()
        for _ in range(REPEATS):
            value, _ = step()
        float(value)
        return (time.perf_counter() - start) / REPEATS

    return run


if __name__ == "__main__":
    main()
