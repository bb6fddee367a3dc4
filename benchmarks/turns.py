"""Timings in turns: ratios that a change in the machine's speed does not touch."""

import os
import platform
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from runs import versions

Rows = dict[str, dict[str, float]]


def measure(runners: dict[str, Callable[[], float]], baseline: str, turns: int, title: str) -> Rows:
    """Let the runners take turns, and return each one's time and its ratio to the baseline.

    Args:
        runners: by name, functions that do the work once and return the seconds it took.
        baseline: the name of the runner that the ratios refer to. A ratio is taken within a turn.
        turns: the number of turns, each in an order of its own.
        title: what the progress bar says.

    Returns:
        By name, the median time in milliseconds and the ratio's median and quartiles.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for runner in runners.values():
        runner()  # traces and compiles
    rng = np.random.default_rng(0)
    for _ in track(range(turns), title):
        for name in rng.permutation(list(runners)):
            seconds[name].append(runners[name]())
    rows = {}
    for name, times in seconds.items():
        ratios = np.array(times) / np.array(seconds[baseline])
        low, median, high = np.percentile(ratios, [25, 50, 75])
        rows[name] = {
            "milliseconds": 1e3 * float(np.median(times)),
            "ratio": float(median),
            "ratio_lower_quartile": float(low),
            "ratio_upper_quartile": float(high),
        }
    return rows


def show(results: dict[str, Rows], what: str, baseline: str) -> None:
    """Print the results of the cases."""
    table = Table("case", "method", f"{what}, ms", f"ratio to {baseline}", "middle half")
    for case, rows in results.items():
        for name, row in rows.items():
            spread = f"{row['ratio_lower_quartile']:.3f} - {row['ratio_upper_quartile']:.3f}"
            table.add_row(case, name, f"{row['milliseconds']:.3g}", f"{row['ratio']:.3f}", spread)
    Console().print(table)


def report(settings: dict[str, Any], results: dict[str, Rows]) -> dict[str, Any]:
    """Return the results with all that they depend on."""
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    return {"settings": settings, "machine": machine, "versions": versions(), "cases": results}
