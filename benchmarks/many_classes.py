"""What a loss of many classes and its gradients cost by tiles, and of all logits at once.

    python benchmarks/many_classes.py

Loss and gradients for features, kernel and bias, in a graph, as `fit` computes them: the dense ways
as Keras runs them and compiled by XLA, and by tiles, in turns. The memory is what a process of its
own for each climbs above what it held before the first step, compilation and the kernel's gradient
included (Linux). Where torch 2.13 is installed, its `linear_cross_entropy` in chunks takes turns
too, of the plain cross-entropy. Then a whole training step of drawn classes beside one of all.
Prints the median ratios; writes benchmarks/results/many_classes.json.
"""

import argparse
import importlib.util
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
from losses import memory_in_a_process, memory_status  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from runs import write_json  # noqa: E402

import keras_softmaxes as ks  # noqa: E402

# Rows, features, classes and the weight of the large margin.
CASES = (
    (256, 64, 10_000, 0.0),
    (2048, 64, 2**14, 0.0),
    (2048, 64, 2**16, 0.0),
    (2048, 256, 2**16, 0.0),
    (256, 64, 2**18, 0.0),
    (256, 64, 2**18, 0.3),
    (256, 64, 2**20, 0.3),
)
WAYS = ("dense", "dense, compiled", "tiles")
TORCH = "torch, chunks"
SAMPLED = (256, 64, 2**20, 8192)  # rows, features, classes, drawn
Case = tuple[int, int, int, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--cases", type=int, nargs="+", default=range(len(CASES)))
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        way, case = args.memory_of
        print(peak_memory(way, CASES[int(case)]))
        return
    results, memory = {}, {}
    for number in args.cases:
        title = describe(CASES[number])
        ways = ways_of(CASES[number])
        runners = {way: stepper(way, CASES[number]) for way in ways}
        results[title] = turns.measure(runners, WAYS[0], args.turns, title)
        memory[title] = {way: memory_in_a_process(__file__, way, str(number)) for way in ways}
    turns.show(results, "loss and gradients", WAYS[0])
    show_memory(memory)
    rows, features, classes, drawn = SAMPLED
    title = f"{rows:,} x {features} x {classes:,}, step of Adam"
    runners = {"all": training_step(None), f"{drawn:,} drawn": training_step(drawn)}
    results[title] = turns.measure(runners, "all", args.turns, title)
    turns.show({title: results[title]}, "training step", "all")
    report = turns.report({"turns": args.turns, "sampled": SAMPLED}, results)
    write_json(HERE / "results" / "many_classes.json", {**report, "peak_memory_mib": memory})


def ways_of(case: Case) -> tuple[str, ...]:
    """Return the ways that can compute a case here."""
    has_torch = importlib.util.find_spec("torch") and not case[-1]
    return (*WAYS, TORCH) if has_torch else WAYS


def describe(case: Case) -> str:
    rows, features, classes, weight = case
    return f"{rows:,} x {features} x {classes:,}, {'large margin' if weight else 'plain'}"


def stepper(way: str, case: Case) -> Callable[[], float]:
    """Return a function that computes the loss and its gradients, and returns its seconds."""
    if way == TORCH:
        return torch_stepper(case)
    rows, size, classes, weight = case
    rng = np.random.default_rng(0)
    features = tf.constant(rng.normal(size=(rows, size)).astype("float32"))
    labels = tf.constant(rng.integers(0, classes, rows))
    shape = (classes, size) if way == "tiles" else (size, classes)
    kernel = tf.Variable(rng.normal(0, 0.1, shape).astype("float32"))
    bias = tf.Variable(tf.zeros(classes))
    loss = ks.losses.LargeMarginCrossentropy(weight=weight)
    dense = loss if weight else keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def value(features: tf.Tensor) -> tf.Tensor:
        if way != "tiles":
            return dense(labels, tf.matmul(features, kernel) + bias)
        outputs = {"features": features, "kernel": kernel.read_value(), "bias": bias.read_value()}
        return loss(labels, outputs)

    @tf.function(autograph=False, jit_compile=True if way == "dense, compiled" else None)
    def step(features: tf.Tensor) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            tape.watch(features)
            total = value(features)
        return total, *tape.gradient(total, [features, kernel, bias])

    def run() -> float:
        start = time.perf_counter()
        step(features)[0].numpy()
        return time.perf_counter() - start

    return run


def torch_stepper(case: Case) -> Callable[[], float]:
    """Return the same of torch's chunks, whose gradients are taken with the loss."""
    import torch

    rows, size, classes, _ = case
    rng = np.random.default_rng(0)
    tensors = rng.normal(size=(rows, size)), rng.normal(0, 0.1, (classes, size)), np.zeros(classes)
    features, kernel, bias = (
        torch.tensor(each, dtype=torch.float32, requires_grad=True) for each in tensors
    )
    labels = torch.tensor(rng.integers(0, classes, rows))
    options = torch.nn.LinearCrossEntropyOptions()

    def run() -> float:
        start = time.perf_counter()
        loss = torch.nn.functional.linear_cross_entropy(
            features, kernel, labels, linear_bias=bias, options=options
        )
        torch.autograd.grad(loss, [features, kernel, bias])
        return time.perf_counter() - start

    return run


def training_step(drawn: int | None) -> Callable[[], float]:
    """Return a function that trains a batch by Adam or by its row-wise twin."""
    rows, size, classes, _ = SAMPLED
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, size)).astype("float32"), rng.integers(0, classes, rows)
    head = ks.layers.ManyClasses(classes, sampled=drawn)
    model = ks.models.Classifier(keras.layers.Identity(), head)
    model.compile(ks.optimizers.RowWiseAdam() if drawn else keras.optimizers.Adam())

    def run() -> float:
        start = time.perf_counter()
        float(model.train_on_batch(x, y))
        return time.perf_counter() - start

    return run


def peak_memory(way: str, case: Case) -> float:
    """Return how far above its level a process climbs in MiB (Linux)."""
    run = stepper(way, case)
    stepper(way, (8, 4, 100, case[-1]))()  # loads what any step needs
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = memory_status("VmRSS")
    run()
    return memory_status("VmHWM") - before


def show_memory(memory: dict[str, dict[str, int]]) -> None:
    table = Table("case", "way", "peak, MiB", "ratio to dense")
    for case, peaks in memory.items():
        for way, peak in peaks.items():
            table.add_row(case, way, f"{peak:.0f}", f"{peak / peaks['dense']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
