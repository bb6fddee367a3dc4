"""How the cost of many classes grows with classes and rows, by tiles and of all logits at once.

    python benchmarks/many_classes_growth.py

The plain cross-entropy and its gradients, as in `many_classes.py`, for 64 and 256 features: time,
and the memory of a process of its own (Linux). The dense ways leave out what has more than a GiB of
logits. Writes benchmarks/results/many_classes_growth.json and .svg.
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import many_classes  # makes the modules of examples/ known
import matplotlib as mpl
import turns
from losses import memory_in_a_process
from matplotlib import pyplot as plt
from runs import write_json

HERE = Path(__file__).parent
CLASSES = [2**14, 2**16, 2**18, 2**20]
ROWS = [256, 2048]
FEATURES = [64, 256]
WAYS = ("tiles", "dense", "dense, compiled")
MOST = 2**28  # logits of the dense ways


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--classes", type=int, nargs="+", default=CLASSES)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        way, case = args.memory_of
        print(many_classes.peak_memory(way, tuple(json.loads(case))))
        return
    results, memory = {}, {}
    for size, rows, classes in itertools.product(FEATURES, args.rows, args.classes):
        case = rows, size, classes, 0.0
        ways = WAYS if rows * classes <= MOST else WAYS[:1]
        runners = {way: many_classes.stepper(way, case) for way in ways}
        results[many_classes.describe(case)] = turns.measure(
            runners, ways[0], args.turns, many_classes.describe(case)
        )
        memory[many_classes.describe(case)] = {
            way: memory_in_a_process(__file__, way, json.dumps(case)) for way in ways
        }
    settings = {"turns": args.turns, "classes": args.classes, "rows": args.rows}
    report = {**turns.report(settings, results), "peak_memory_mib": memory}
    write_json(HERE / "results" / "many_classes_growth.json", report)
    draw(report, HERE / "results" / "many_classes_growth.svg")


def draw(report: dict[str, Any], path: Path) -> None:
    """Plot seconds and MiB against the classes, a line for each way and number of rows."""
    mpl.rcParams.update({"svg.hashsalt": "keras_softmaxes", "axes.spines.top": False})
    figure, panels = plt.subplots(
        2, len(FEATURES), figsize=(9, 7), sharex=True, sharey="row", layout="constrained"
    )
    settings = report["settings"]
    for column, size in zip(panels.T, FEATURES, strict=True):
        for (line, way), (shade, rows) in itertools.product(
            zip(("-", ":", "--"), WAYS, strict=True), enumerate(settings["rows"])
        ):
            cases = [
                (each, many_classes.describe((rows, size, each, 0.0)))
                for each in settings["classes"]
            ]
            cases = [(each, case) for each, case in cases if way in report["cases"][case]]
            numbers = [each for each, _ in cases]
            seconds = [report["cases"][case][way]["milliseconds"] / 1e3 for _, case in cases]
            peaks = [report["peak_memory_mib"][case][way] for _, case in cases]
            for panel, values in zip(column, (seconds, peaks), strict=True):
                panel.loglog(
                    numbers, values, line, color=f"C{shade}", marker="o", label=f"{way}, {rows:,}"
                )
        column[0].set_title(f"{size} features")
        column[1].set_xlabel("classes")
    panels[0, 0].set_ylabel("loss and gradients, s")
    panels[1, 0].set_ylabel("peak above the weights, MiB")
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, title="way, rows")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
