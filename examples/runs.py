"""Runs that survive an interruption: one file each, and only the missing ones are done."""

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

# How the numbers that JSON has no word for are written.
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

PACKAGES = ["keras-softmaxes", "keras", keras.backend.backend(), "numpy"]

if keras.backend.backend() == "tensorflow":
    PACKAGES.append("tensorflow-probability")
    # Each run traces functions anew, of which TensorFlow would warn.
    logging.getLogger("tensorflow").setLevel("ERROR")


class Runs:
    """A folder with one JSON file for each run of a method with a seed, and room for its model.

    A run that diverged is kept like any other, its NaN as `write_json` spells it: the same seed
    would diverge again. A file that is not whole ends the program by its name.

    Args:
        folder: where the files are.
        settings: what all runs share. A folder that holds runs of other settings, or of other
            versions of the packages, ends the program.
    """

    def __init__(self, folder: str | Path, settings: dict[str, Any]) -> None:
        self.folder = Path(folder)
        settings = {**settings, "versions": versions()}
        (self.folder / "runs").mkdir(parents=True, exist_ok=True)
        known = self.folder / "settings.json"
        advice = "Choose another --out, or delete the folder."
        if known.exists() and (changes := _changes(read_json(known, advice), settings)):
            raise SystemExit(
                f"{self.folder} holds runs of other settings: {'; '.join(changes)}.\n{advice}"
            )
        write_json(known, settings)

    def complete(
        self,
        methods: list[str],
        seeds: list[int],
        epochs: int,
        train: Callable[[str, int, list[keras.callbacks.Callback]], dict[str, Any]],
    ) -> dict[str, list[dict[str, Any]]]:
        """Do the runs that are missing and return all of them, in the order of the seeds.

        Args:
            methods: names of the methods.
            seeds: the seeds. All methods get one seed before the next begins.
            epochs: the number of epochs of a run, for the progress bar.
            train: trains a method with a seed and some callbacks, saves its model at
                `self.model_path` if it is needed again, and returns what to remember of the run.
        """
        pairs = [(method, seed) for seed in seeds for method in methods]
        missing = [pair for pair in pairs if not self._result_path(*pair).exists()]
        for pair in pairs:
            if pair not in missing:
                self.result(*pair)  # a broken file is told of before hours of training, not after
        with _progress() as progress:
            total = len(pairs)
            overall = progress.add_task("runs", total=total, completed=total - len(missing))
            for method, seed in missing:
                task = progress.add_task(f"{method}, seed {seed}", total=epochs)
                keras.utils.set_random_seed(seed)
                start = time.perf_counter()
                try:
                    result = train(method, seed, [_Epochs(progress, task)])
                except KeyboardInterrupt:
                    raise SystemExit("\nInterrupted. The same command continues.") from None
                result["seconds"] = round(time.perf_counter() - start, 1)
                result = {"method": method, "seed": seed, **result}
                write_json(self._result_path(method, seed), result)
                progress.remove_task(task)
                progress.advance(overall)
        return {method: [self.result(method, seed) for seed in seeds] for method in methods}

    def result(self, method: str, seed: int) -> dict[str, Any]:
        """Return what was remembered of a run."""
        path = self._result_path(method, seed)
        advice = "Delete it, and the same command does that run again."
        result = read_json(path, advice)
        if not isinstance(result, dict) or (method, seed) != (
            result.get("method"),
            result.get("seed"),
        ):
            raise SystemExit(f"{path} is not the result of {method}, seed {seed}.\n{advice}")
        return result

    def model_path(self, method: str, seed: int) -> Path:
        """Return where the model of a run is."""
        return self.folder / "runs" / f"{method}-{seed}.keras"

    def _result_path(self, method: str, seed: int) -> Path:
        return self.folder / "runs" / f"{method}-{seed}.json"


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file at once or not at all.

    JSON has no NaN and no infinity: they are written as the strings "NaN", "Infinity" and
    "-Infinity", which `read_json` makes numbers again.
    """

    def spelled(value: Any) -> Any:
        is_number = isinstance(value, float) and not math.isfinite(value)
        return json.dumps(value) if is_number else value

    text = json.dumps(keras.tree.map_structure(spelled, content), indent=1, allow_nan=False)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text + "\n")
    os.replace(unfinished, path)


def read_json(path: Path, advice: str) -> Any:
    """Read what `write_json` wrote.

    Args:
        path: the file.
        advice: what to do about a file that is cut off or otherwise broken, which ends the program.
    """

    def number(value: Any) -> Any:
        return NOT_FINITE.get(value, value) if isinstance(value, str) else value

    try:
        return keras.tree.map_structure(number, json.loads(path.read_text()))
    except ValueError as error:
        raise SystemExit(f"{path} is broken: {error}.\n{advice}") from error


def versions() -> dict[str, str]:
    """Return the versions of what the results depend on."""
    return {package: metadata.version(package) for package in PACKAGES}


def _changes(known: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    before, now = (dict(keras.tree.flatten_with_path(each)) for each in (known, settings))
    return [
        f"{' '.join(path)} was {before.get(path)}, is {now.get(path)}"
        for path in before | now
        if before.get(path) != now.get(path)
    ]


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as progress:
        yield progress


class _Epochs(keras.callbacks.Callback):
    def __init__(self, progress: Progress, task: Any) -> None:
        super().__init__()
        self.progress, self.task = progress, task

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.progress.advance(self.task)
