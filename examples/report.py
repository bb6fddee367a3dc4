"""The results of a comparison: a printed table, a JSON file, a CSV file and a chart."""

import csv
from pathlib import Path
from typing import Any

import matplotlib as mpl
import methods
from intervals import describe, mean_interval, ratio_interval
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table
from runs import versions, write_json

BASELINE = "softmax"
Results = dict[str, list[dict[str, Any]]]


def write(results: Results, settings: dict[str, Any], title: str, folder: Path) -> dict[str, Any]:
    """Print the results, write results.json, results.csv and results.png, and return a summary.

    Args:
        results: for each method, what `Runs.complete` returned of it.
        settings: what all runs share.
        title: the setting in words.
        folder: where the files go.
    """
    summary = _summarise(results, settings)
    seeds = len(summary["seeds"])
    title = f"{title}, {seeds} seed{'s' * (seeds > 1)}"
    _show(summary, title)
    write_json(folder / "results.json", summary)
    _write_csv(results, folder / "results.csv")
    _draw(summary, title, folder / "results.png")
    return summary


def _summarise(results: Results, settings: dict[str, Any]) -> dict[str, Any]:
    errors = {method: [run["test_error"] for run in runs] for method, runs in results.items()}
    rows = {}
    for method, values in errors.items():
        ratio = ratio_interval(values, errors[BASELINE]) if BASELINE in errors else None
        rows[method] = {"errors": values, "error": mean_interval(values), "ratio": ratio}
    seeds = [run["seed"] for run in next(iter(results.values()))]
    return {"settings": settings, "seeds": seeds, "versions": versions(), "methods": rows}


def _show(summary: dict[str, Any], title: str) -> None:
    table = Table("method", "test error, % [95 %]", "ratio to softmax [95 %]", title=title)
    for method, row in summary["methods"].items():
        ratio = describe(row["ratio"], 3) if row["ratio"] and method != BASELINE else ""
        table.add_row(methods.METHODS[method].title, describe(row["error"]), ratio)
    Console().print(table)


def _write_csv(results: Results, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(
            file, ["method", "seed", "test_error", "seconds"], extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(run for runs in results.values() for run in runs)


def _draw(summary: dict[str, Any], title: str, path: Path) -> None:
    """Draw each seed's test error, with the mean and its interval."""
    mpl.use("Agg")
    rows = summary["methods"]
    figure, axes = plt.subplots(figsize=(7, 1.2 + 0.5 * len(rows)), layout="constrained")
    for height, row in enumerate(reversed(rows.values())):
        mean, low, high = row["error"]
        axes.plot(row["errors"], [height] * len(row["errors"]), "o", color="0.7")
        axes.errorbar(mean, height, xerr=[[mean - low], [high - mean]], fmt="D", capsize=4)
        axes.annotate(
            f"{mean:.2f}", (mean, height), (0, 8), textcoords="offset points", ha="center"
        )
    axes.set_yticks(range(len(rows)), [methods.METHODS[name].title for name in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.2)
    axes.set_xlabel("test error, %: seeds, mean and 95 % interval")
    axes.set_title(title)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=150)
    plt.close(figure)
