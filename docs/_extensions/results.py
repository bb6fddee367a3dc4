"""The numbers that pages print, read from the files that hold them.

A page writes `{{ results["dropmax_mnist/1000"].methods.dropmax.mean }}`: the file, of which
"/results.json" and ".json" at the end are left out, and the way to the number in it. Files of
benchmarks/results are found under `benchmarks`. What has a ratio also has a `verdict` on it.
`{{ commands }}` is the table of the commands that made the files.
"""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .commands import table

if TYPE_CHECKING:  # tests read the numbers without Sphinx
    from sphinx.application import Sphinx
    from sphinx.config import Config

ROOT = Path(__file__).parents[2]


def setup(app: "Sphinx") -> dict[str, bool]:
    """Hand the numbers to MyST."""
    app.connect("config-inited", _substitute)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _substitute(app: "Sphinx", config: "Config") -> None:
    config.myst_substitutions = numbers()


def numbers() -> dict[str, Any]:
    """Return what the pages may print, by the names of the files."""
    return {
        "commands": table(),
        "results": _files(ROOT / "docs" / "results"),
        "benchmarks": _files(ROOT / "benchmarks" / "results"),
    }


def look_up(expression: str, numbers: dict[str, Any]) -> Any:
    """Return the number that an expression of a page means."""
    value: Any = numbers
    for attribute, key in re.findall(r"(?:^|\.)(\w+)|\[\"([^\"]+)\"\]", expression):
        value = value[attribute or key]
    return value


def _files(folder: Path) -> dict[str, Any]:
    found = {}
    for path in sorted(folder.rglob("*.json")):
        name = path.relative_to(folder).with_suffix("").as_posix().removesuffix("/results")
        found[name] = _printed("", json.loads(path.read_text()))
    return found


def _printed(name: str, value: Any) -> Any:
    """Return a value of a file as it is printed, an interval of ratios with three digits."""
    if isinstance(value, dict) and value.keys() == {"estimate", "low", "high"}:
        return _interval(digits=3 if name.startswith("ratio") else 2, **value)
    if isinstance(value, dict):
        printed = {key: _printed(key, each) for key, each in value.items()}
        ratios = [key for key in value if key.startswith("ratio_to_") and value[key]]
        for key in ratios:
            printed |= {"ratio": printed[key], "verdict": _verdict(**value[key])}
        return printed
    if name == "seeds":
        return len(value)
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
    return f"{value:,}" if type(value) is int else value


def _interval(estimate: float, low: float | None, high: float | None, digits: int) -> str:
    """Return "3.63 [3.43, 3.83]", which no line breaks."""
    bounds = "" if low is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{estimate:.{digits}f}{bounds}".replace(" ", "\N{NO-BREAK SPACE}")


def _verdict(estimate: float, low: float | None, high: float | None) -> str:
    """Return what the interval of a ratio of errors shows."""
    if low is None or high is None:
        return "one seed"
    return "better" if high < 1 else "worse" if low > 1 else "no difference shown"
