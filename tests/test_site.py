"""The pages of docs/: their code runs and learns, and their numbers are those of the files."""

import csv
import os
import re
import subprocess
import sys

import nbformat
import pytest
from _extensions import commands, notebooks, results
from conftest import ROOT

import keras_softmaxes as ks

DOCS = ROOT / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "results" not in page.parts]
# Pages whose numbers `test_pages.py` holds to the files.
WRITTEN_OUT = {"choosing.md", "uncertainty.md", "many_classes.md"}
# Two run beside the tests of their examples, one as a notebook; the last configures devices, which
# has to come first.
RUN_ELSEWHERE = {"regularization.md", "uncertainty.md", "getting_started.md", "distribution.md"}


def blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)


def prose(page):
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


RUN = [page for page in PAGES if blocks(page) and page.name not in RUN_ELSEWHERE]


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)
    assert names.get("accuracy", 1.0) > 0.75


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_page_of_distribution_runs(tmp_path):
    """Each block configures the devices of a process of its own."""
    replicas, shards = blocks(DOCS / "distribution.md")
    replicas += "\nassert strategy.num_replicas_in_sync == 2 and accuracy > 0.75"
    shards += "\nassert model.head.kernel.value.addressable_shards[0].data.shape == (10000, 32)"
    for program in (replicas, shards):
        run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True)
        assert run.returncode == 0, run.stderr.decode()


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_type_checker_accepts_the_pages(tmp_path):
    """As a user runs it, who has not turned on its strict ways."""
    for number, page in enumerate(page for page in PAGES if blocks(page)):
        (tmp_path / f"page_{number}_{page.stem}.py").write_text("\n".join(blocks(page)))
    options = ["--check-untyped-defs", "--ignore-missing-imports", "--config-file", ""]
    program = [sys.executable, "-m", "mypy", *options, *tmp_path.glob("*.py")]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    run = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True)
    assert run.returncode == 0, run.stdout.decode()


GUIDES = [
    page
    for page in PAGES
    if page.parent == DOCS and notebooks.is_guide(page.stem, page.read_text())
]


def notebook(page):
    return notebooks.notebook(page.read_text(), results.numbers(), ks.__version__)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_notebook_holds_the_code_of_its_page(page):
    """Its page runs above, and so it would."""
    found = notebook(page)
    nbformat.validate(found)
    install, *code = (cell.source for cell in found.cells if cell.cell_type == "code")
    assert "%pip install" in install
    assert code == [block.rstrip("\n") for block in blocks(page)]
    text = "\n".join(cell.source for cell in found.cells if cell.cell_type == "markdown")
    assert text.startswith(page.read_text().splitlines()[0])
    assert "{{" not in text
    assert not re.search(r"\]\((?!https?://)", text)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_notebook_runs(tmp_path):
    from nbclient import NotebookClient  # which slow tests alone need

    found = notebook(DOCS / "getting_started.md")
    NotebookClient(found, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    (printed,) = (
        output.text
        for cell in found.cells
        for output in cell.get("outputs", ())
        if "accuracy 0.9" in output.get("text", "")
    )
    assert "negative log-likelihood" in printed


def test_the_page_of_each_method_measures_what_its_model_learned():
    """Without an accuracy it would pass above, whatever its model learned."""
    for page in (DOCS / "methods").glob("*.md"):
        assert any(re.search(r"\baccuracy\b.* = ", block) for block in blocks(page)), page


def test_the_numbers_on_the_pages_are_in_the_files():
    expressions = {each for page in PAGES for each in re.findall(r"{{ (.*?) }}", prose(page))}
    numbers = results.numbers()
    assert len(expressions) > 50
    for expression in sorted(expressions):
        assert isinstance(results.look_up(expression, numbers), str), expression


def test_no_page_writes_an_interval_out():
    for page in PAGES:
        if page.name not in WRITTEN_OUT:
            assert not re.search(r"\[-?\d+\.\d+, -?\d+\.\d+\]", prose(page)), page


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.8, 0.9, "better"),
        (1.1, 1.3, "worse"),
        (0.9, 1.2, "no difference shown"),
        (None, None, "one seed"),
    ],
)
def test_a_ratio_is_printed_with_what_its_interval_shows(low, high, expected):
    ratio = {"estimate": 0.98765, "low": low, "high": high}
    printed = results._printed("", {"ratio_to_softmax": ratio})
    assert printed["verdict"] == expected
    bounds = "" if low is None else f" [{low:.3f}, {high:.3f}]"
    assert printed["ratio"].replace("\N{NO-BREAK SPACE}", " ") == f"0.988{bounds}"


def test_each_result_has_its_command():
    folders = {path.parent.relative_to(DOCS / "results") for path in DOCS.glob("results/**/*.json")}
    found = commands.commands()
    assert {each.folder for each in found} == {folder.as_posix() for folder in folders}
    for each in found:
        assert (ROOT / each.words[0]).exists(), each.command
    assert sum(each.is_cheap for each in found) >= 5


def test_each_benchmark_has_its_command():
    targets = (ROOT / "Makefile").read_text()
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        assert f"python benchmarks/{path.stem}.py\n" in targets, path


def test_the_minutes_of_a_command_are_those_of_its_runs():
    for each in commands.commands():
        rows = [
            row
            for path in (DOCS / "results" / each.folder).glob("*.csv")
            for row in csv.DictReader(path.read_text().splitlines())
        ]
        if seconds := sum(float(row["seconds"] or 0) for row in rows):
            assert each.minutes == round(seconds / 60), each.folder


def test_there_is_a_picture_for_each_method():
    for page in (DOCS / "methods").glob("*.md"):
        assert f"](../pictures/{page.stem}.svg)" in page.read_text(), page


def test_the_citation_is_of_this_version():
    assert f"version: {ks.__version__}\n" in (ROOT / "CITATION.cff").read_text()
