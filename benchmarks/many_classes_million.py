"""What a million classes take to train: the peak memory of a process, and what dense logits do.

    python benchmarks/many_classes_million.py

128 features, Adam, batches of 4,096, by tiles and with all logits at once, each in a process of its
own (Linux) whose address space ends at the memory that the machine has left: one that wants more
fails, and nothing else does. Writes benchmarks/results/many_classes_million.json.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples"))

from losses import memory_status  # noqa: E402
from runs import versions, write_json  # noqa: E402

import keras_softmaxes as ks  # noqa: E402

FEATURES = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--way", choices=("tiles", "dense"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(json.dumps(train(args.way, args.classes, args.batch, args.steps)))
        return
    settings = {name: getattr(args, name) for name in ("classes", "batch", "steps")}
    found: dict[str, Any] = {
        "settings": settings | {"features": FEATURES},
        "versions": versions(),
        "available_mib": available_memory() // 2**20,
        "logits_mib": args.classes * args.batch * 4 // 2**20,
    }
    for way in ("tiles", "dense"):
        found[way] = in_a_process(way, settings)
        print(way, found[way])
    write_json(HERE / "results" / "many_classes_million.json", found)


def in_a_process(way: str, settings: dict[str, int]) -> dict[str, Any]:
    """Return what a training reports, or how its process ended."""
    options = [f"--{name}={value}" for name, value in settings.items()]
    command = [sys.executable, __file__, f"--way={way}", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"exit_status": done.returncode}
    return json.loads(done.stdout.splitlines()[-1])


def train(way: str, classes: int, batch: int, steps: int) -> dict[str, float]:
    """Return the seconds of a step, and the peak of the process, in MiB."""
    limit = available_memory()
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    head = ks.layers.ManyClasses(classes, dense=way == "dense")
    model = ks.models.Classifier(keras.layers.Identity(), head)
    model.compile("adam")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, FEATURES)).astype("float32")
    y = rng.integers(0, classes, batch)
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        loss = float(model.train_on_batch(x, y))
        seconds.append(time.perf_counter() - start)
    return {"loss": loss, "step_seconds": min(seconds), "peak_mib": round(memory_status("VmHWM"))}


def available_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
