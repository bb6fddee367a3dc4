"""The results of a comparison: a printed table, a JSON file, a CSV file and a chart."""

import csv
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from intervals import Interval, holm, mean_interval, p_value, ratio_interval
from matplotlib import pyplot as plt
from methods import BASELINE, METHODS
from rich.console import Console
from rich.table import Table
from runs import versions, write_json

Results = dict[str, list[dict[str, Any]]]


def write(
    results: Results,
    settings: dict[str, Any],
    title: str,
    folder: Path,
    titles: dict[str, str] | None = None,
    baseline: str = BASELINE,
    measured: Sequence[str] = ("test_error",),
) -> dict[str, Interval]:
    """Print the results and write results.json, results.csv and results.png.

    Args:
        results: for each method, what `Runs.complete` returned of it.
        settings: what all runs share.
        title: the setting in words.
        folder: where the files go.
        titles: what to call the methods; None takes it from `methods.METHODS`.
        baseline: the method that the others are compared with.
        measured: what the CSV file has of each run.

    Returns:
        Each method's mean test error in per cent, with its interval over the seeds.
    """
    titles = titles or {method: METHODS[method].title for method in results}
    errors = {method: [run["test_error"] for run in runs] for method, runs in results.items()}
    seeds = [run["seed"] for run in next(iter(results.values()))]
    title = f"{title}, {counted(len(seeds), 'seed')}"
    means = {method: mean_interval(values) for method, values in errors.items()}
    ratios = {
        method: ratio_interval(values, errors[baseline])
        for method, values in errors.items()
        if baseline in errors and method != baseline
    }
    tests = [p_value(errors[method], errors[baseline]) for method in ratios]
    p_values = dict(zip(ratios, holm(tests), strict=True))
    _show(means, ratios, p_values, titles, Table(title=title))
    rows = {
        method: {
            "test_errors": values,
            "mean": means[method].plain(),
            f"ratio_to_{baseline}": ratios[method].plain() if method in ratios else None,
            "p_holm": _finite(p_values.get(method, math.nan)),
        }
        for method, values in errors.items()
    }
    summary = {"settings": settings, "seeds": seeds, "versions": versions(), "methods": rows}
    write_json(folder / "results.json", summary)
    write_csv(results, measured, folder / "results.csv")
    _draw(errors, means, title, titles, folder / "results.png")
    return means


def counted(count: int, noun: str) -> str:
    """Write "1 seed" or "5 seeds"."""
    return f"{count} {noun}{'s' * (count != 1)}"


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _show(
    means: dict[str, Interval],
    ratios: dict[str, Interval],
    p_values: dict[str, float],
    titles: dict[str, str],
    table: Table,
) -> None:
    for column in ("method", "test error, % [95 %]", "ratio [95 %]", "p, by Holm"):
        table.add_column(column)
    for method, mean in means.items():
        ratio = ratios[method].describe(3) if method in ratios else ""
        p = f"{p_values[method]:.3f}" if math.isfinite(p_values.get(method, math.nan)) else ""
        table.add_row(titles[method], mean.describe(), ratio, p)
    Console().print(table)


def write_csv(results: Results, measured: Sequence[str], path: Path) -> None:
    """Write a line for each run: its method and seed, what was measured, and the seconds."""
    columns = ["method", "seed", *measured, "seconds"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(run for runs in results.values() for run in runs)


def _draw(
    errors: dict[str, list[float]],
    means: dict[str, Interval],
    title: str,
    titles: dict[str, str],
    path: Path,
) -> None:
    """Draw the mean test error and its interval, and below it each seed's, the first one lowest."""
    mpl.use("Agg")
    figure, axes = plt.subplots(figsize=(7, 1.2 + 0.5 * len(means)), layout="constrained")
    for height, method in enumerate(reversed(means)):
        mean, low, high = means[method]
        heights = height + np.linspace(-0.45, -0.15, len(errors[method]))
        axes.plot(errors[method], heights, "o", color="0.7", markersize=4)
        axes.errorbar(mean, height, xerr=[[mean - low], [high - mean]], fmt="D", capsize=4)
        axes.annotate(
            f"{mean:.2f}", (mean, height), (0, 8), textcoords="offset points", ha="center"
        )
    axes.set_yticks(range(len(means)), [titles[method] for method in reversed(means)])
    axes.set_ylim(-0.6, len(means) - 0.2)
    axes.set_xlabel("test error, %: seeds, mean and 95 % interval")
    axes.set_title(textwrap.fill(title, 50))
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=150)
    plt.close(figure)
