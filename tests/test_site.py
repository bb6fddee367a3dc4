"""The pages of docs/: their code runs and learns, and their numbers are those of the files."""

import importlib.util
import re
import subprocess
import sys

import pytest
from conftest import ROOT

import keras_softmaxes as ks

DOCS = ROOT / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "results" not in page.parts]
# Pages whose numbers `test_pages.py` holds to the files.
WRITTEN_OUT = {"choosing.md", "uncertainty.md", "many_classes.md"}
# The first has tests of its own; the second configures devices, which has to come first.
RUN_ELSEWHERE = {"regularization.md", "distribution.md"}

spec = importlib.util.spec_from_file_location("results", DOCS / "_extensions" / "results.py")
results = importlib.util.module_from_spec(spec)
spec.loader.exec_module(results)


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


def test_the_page_of_each_method_measures_what_its_model_learned():
    """Without an accuracy it would pass above, whatever its model learned."""
    for page in (DOCS / "methods").glob("*.md"):
        assert any(re.search(r"\baccuracy\b.* = ", block) for block in blocks(page)), page


def looked_up(expression, value):
    """Return the number that an expression of a page means."""
    for attribute, key in re.findall(r"(?:^|\.)(\w+)|\[\"([^\"]+)\"\]", expression):
        value = value[attribute or key]
    return value


def test_the_numbers_on_the_pages_are_in_the_files():
    expressions = {each for page in PAGES for each in re.findall(r"{{ (.*?) }}", prose(page))}
    numbers = results.numbers()
    assert len(expressions) > 50
    for expression in sorted(expressions):
        assert isinstance(looked_up(expression, numbers), str), expression


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


def test_there_is_a_picture_for_each_method():
    for page in (DOCS / "methods").glob("*.md"):
        assert f"](../pictures/{page.stem}.svg)" in page.read_text(), page


def test_the_citation_is_of_this_version():
    assert f"version: {ks.__version__}\n" in (ROOT / "CITATION.cff").read_text()
