"""What the Gaussian term adds to a cross-entropy, and what mean average precision costs.

    python benchmarks/gsoftmax.py

The cross-entropy and its gradients, of the logits and of the Gaussians, at 256 x 32,768: Keras's
own, and after `GSoftmax`; both as a user runs them in a graph, and both compiled by XLA. Then the
update of `MeanAveragePrecision` beside that of `keras.metrics.AUC(multi_label=True)`, 256 examples
of 80 labels. All take turns in one run. Prints the median and the middle half of the ratios; writes
benchmarks/results/gsoftmax.json.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples"))

import turns  # noqa: E402
from runs import write_json  # noqa: E402

import keras_softmaxes as ks  # noqa: E402

SHAPE = (256, 32_768)
LABELS = (256, 80)
UPDATES_A_TURN = 20
BASELINE = "Keras"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=40)
    args = parser.parse_args()
    batch, classes = SHAPE
    pairs = {
        f"{batch} x {classes:,}, in a graph": {
            BASELINE: plain(False),
            "Keras after GSoftmax": gaussian(False),
        },
        f"{batch} x {classes:,}, compiled by XLA": {
            BASELINE: plain(True),
            "Keras after GSoftmax": gaussian(True),
        },
        "{} x {}, update of AUC".format(*LABELS): {
            BASELINE: updater(keras.metrics.AUC(multi_label=True, num_labels=LABELS[1])),
            "MeanAveragePrecision": updater(ks.metrics.MeanAveragePrecision()),
        },
    }
    results = {
        case: turns.measure(runners, BASELINE, args.turns, case) for case, runners in pairs.items()
    }
    turns.show(results, "time", BASELINE)
    write_json(HERE / "results" / "gsoftmax.json", turns.report({"turns": args.turns}, results))


def plain(jit_compile: bool) -> Callable[[], float]:
    logits, labels, loss = problem()
    return timer(lambda: loss(labels, logits), [logits], jit_compile)


def gaussian(jit_compile: bool) -> Callable[[], float]:
    logits, labels, loss = problem()
    layer = ks.layers.GSoftmax()
    layer.build(SHAPE)
    variables = [logits, layer.mean.value, layer.stddev.value]
    return timer(lambda: loss(labels, layer(logits, training=True)), variables, jit_compile)


def problem() -> tuple[tf.Variable, tf.Tensor, keras.Loss]:
    rng = np.random.default_rng(0)
    logits = tf.Variable(rng.normal(size=SHAPE).astype("float32"))
    labels = tf.constant(rng.integers(0, SHAPE[1], SHAPE[0]))
    return logits, labels, keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def timer(
    loss: Callable[[], tf.Tensor], variables: list[tf.Variable], jit_compile: bool
) -> Callable[[], float]:
    """Return a function that computes loss and gradients and returns the seconds it took."""

    @tf.function(autograph=False, jit_compile=jit_compile)
    def step() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            value = loss()
        return value, tape.gradient(value, variables)

    def run() -> float:
        start = time.perf_counter()
        value, _ = step()
        value.numpy()
        return time.perf_counter() - start

    return run


def updater(metric: keras.Metric) -> Callable[[], float]:
    """Return a function that updates a metric some times and returns a time's seconds."""
    rng = np.random.default_rng(0)
    labels = tf.constant(rng.integers(0, 2, LABELS))
    scores = tf.constant(rng.uniform(size=LABELS).astype("float32"))
    metric.update_state(labels, scores)

    @tf.function(autograph=False)
    def update() -> None:
        metric.update_state(labels, scores)

    def run() -> float:
        metric.reset_state()
        start = time.perf_counter()
        for _ in range(UPDATES_A_TURN):
            update()
        return (time.perf_counter() - start) / UPDATES_A_TURN

    return run


if __name__ == "__main__":
    main()
