"""Names the command of each result, and redoes those that take a few minutes: `make results`."""

import subprocess
import sys

from _extensions.commands import commands


def main() -> None:
    """Print all commands, and run the cheap ones into results/."""
    for each in commands():
        print(f"{each.folder:45} {each.minutes or '?':>4} min  python {each.command}")
    for each in commands():
        if each.is_cheap:
            print(f"\nresults/{each.folder}, compare docs/results/{each.folder}", flush=True)
            program = [sys.executable, *each.words, "--out", f"results/{each.folder}"]
            subprocess.run(program, check=True)


if __name__ == "__main__":
    main()
