"""The command of each result, and its rough time on one core, from docs/commands.json."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Command:
    """What makes the files of a folder of docs/results.

    Attributes:
        folder: below docs/results.
        command: the program and its arguments. DATASETS and MULAN stand for folders of data.
        minutes: the sum of its runs, or None where it was not taken.
    """

    folder: str
    command: str
    minutes: int | None

    @property
    def is_cheap(self) -> bool:
        """Whether it takes a few minutes, and no data that has to be there."""
        needs_data = {"DATASETS", "MULAN"} & set(self.words)
        return not needs_data and self.minutes is not None and self.minutes <= 3

    @property
    def words(self) -> list[str]:
        """The program and its arguments, without Python's name."""
        return shlex.split(self.command)


def commands() -> list[Command]:
    """Return the commands, by the folders that they fill."""
    found = json.loads((DOCS / "commands.json").read_text())
    return [Command(folder, **entry) for folder, entry in found.items()]


def table() -> str:
    """Return the commands as a table of Markdown."""
    rows = (
        f"| {each.folder} | {each.minutes or ''} | `python {each.command}` |" for each in commands()
    )
    return "\n".join(["| Folder | Minutes | Command |", "|---|---|---|", *rows])
