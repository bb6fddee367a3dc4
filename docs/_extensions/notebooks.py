"""A notebook of each guide that has code, made from its page: build/docs/notebooks/NAME.ipynb."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jupytext
from nbformat import NotebookNode, v4

from .results import look_up

if TYPE_CHECKING:  # tests make the notebooks without Sphinx
    from sphinx.application import Sphinx

# The package is on no index yet; Colab has the rest of what the guides import.
INSTALL = """\
try:
    import keras_softmaxes
except ImportError:  # on Colab: put the wheel of `make build` among the files of the session first
    %pip install --quiet ./keras_softmaxes-{version}-py3-none-any.whl"""

TITLE = re.compile(r"\A# .*\n")
LINK = re.compile(r"\[([^]]*)\]\((?!https?://)[^)]*\)")  # leads nowhere from a notebook


def setup(app: "Sphinx") -> dict[str, bool]:
    """Write the notebook of each guide that is read, and link to it."""
    app.connect("source-read", _offer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def is_guide(page: str, text: str) -> bool:
    """Tell whether a page, by its name and its text, gets a notebook."""
    return "/" not in page and page != "index" and "```python\n" in text


def _offer(app: "Sphinx", page: str, source: list[str]) -> None:
    if not is_guide(page, source[0]):
        return
    found = notebook(source[0], app.config.myst_substitutions, app.config.version)
    path = Path(app.outdir, "notebooks", f"{page}.ipynb")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(v4.writes(found))
    link = f'\n<a href="{path.parent.name}/{path.name}" download>This page as a notebook</a>\n'
    source[0] = TITLE.sub(lambda title: title[0] + link, source[0])


def notebook(text: str, numbers: dict[str, Any], version: str) -> NotebookNode:
    """Return a notebook of a page: its snippets are code cells, all else is text.

    Args:
        text: the page, as Markdown.
        numbers: what the page prints, of the files of results.
        version: that of the package.
    """
    text = re.sub(r"{{ (.*?) }}", lambda found: look_up(found[1], numbers), text)
    read = jupytext.reads(LINK.sub(r"\1", text), fmt="md")
    title, rest = re.match(r"(# .*)\n*((?s:.*))", read.cells[0].source).groups()
    read.cells[:1] = [
        v4.new_markdown_cell(title),
        v4.new_code_cell(INSTALL.format(version=version)),
        *([v4.new_markdown_cell(rest)] if rest else []),
    ]
    for number, cell in enumerate(read.cells):
        cell.id = f"cell-{number}"  # in place of a random one
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=read.cells, metadata={"kernelspec": kernel})
