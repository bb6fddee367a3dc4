"""What a loss and its gradient cost, as a ratio to Keras's sparse cross-entropy.

    python benchmarks/losses.py

Each loss is called through its public class in a graph, on logits that are ready, as `fit` calls it
between the network's forward and backward pass. The losses are measured in turns in one run. The
memory is what a process of its own for each loss reaches above what it held before the first step
at the largest shape, compilation included. Prints the median and the middle half of the ratios;
writes benchmarks/results/losses.json.
"""

import argparse
import subprocess
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
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from runs import write_json  # noqa: E402

import keras_softmaxes as ks  # noqa: E402

SHAPES = ((128, 10), (256, 1_000), (256, 32_768))
ENTRIES_PER_RUN = 300_000
BASELINE = "Keras"
Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def losses() -> dict[str, Loss]:
    keras_own = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return {
        BASELINE: keras_own,
        "Keras, compiled by XLA": tf.function(keras_own.__call__, jit_compile=True),
        "LargeMarginCrossentropy": ks.losses.LargeMarginCrossentropy(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--memory-of", choices=losses(), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        print(peak_memory(losses()[args.memory_of]))
        return
    results = {
        f"{batch:,} x {classes:,}": turns.measure(
            {name: stepper(loss, (batch, classes)) for name, loss in losses().items()},
            BASELINE,
            args.turns,
            f"{batch:,} x {classes:,}",
        )
        for batch, classes in SHAPES
    }
    turns.show(results, "loss and gradient", BASELINE)
    memory = {name: memory_in_a_process(__file__, name) for name in losses()}
    show_memory(memory)
    report = turns.report({"turns": args.turns}, results)
    write_json(HERE / "results" / "losses.json", {**report, "peak_memory_mib": memory})


def stepper(loss: Loss, shape: tuple[int, int]) -> Callable[[], float]:
    """Return a function that computes loss and gradient some times and returns a time's seconds."""
    rng = np.random.default_rng(0)
    logits = tf.Variable(rng.normal(size=shape).astype("float32"))
    labels = tf.constant(rng.integers(0, shape[1], shape[0]))
    repeats = max(1, ENTRIES_PER_RUN // logits.shape.num_elements())

    @tf.function(autograph=False)
    def step() -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            value = loss(labels, logits)
        return value, tape.gradient(value, logits)

    def run() -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            _, gradient = step()
        gradient.numpy()
        return (time.perf_counter() - start) / repeats

    return run


def peak_memory(loss: Loss) -> float:
    """Return how far above its level a process climbs in MiB, at the largest shape (Linux)."""
    run = stepper(loss, SHAPES[-1])
    stepper(loss, (SHAPES[-1][0], 100))()  # loads what any step needs
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = memory_status("VmRSS")
    run()
    return memory_status("VmHWM") - before


def memory_status(entry: str) -> float:
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(entry))
    return int(line.split()[1]) / 1024


def memory_in_a_process(script: str, *words: str) -> int:
    """Return the MiB that a script prints in a process of its own, of what the words name."""
    command = [sys.executable, script, "--memory-of", *words]
    return round(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def show_memory(memory: dict[str, int]) -> None:
    batch, classes = SHAPES[-1]
    table = Table("loss", f"peak memory at {batch:,} x {classes:,}, MiB", "ratio")
    for name, peak in memory.items():
        table.add_row(name, str(peak), f"{peak / memory[BASELINE]:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
