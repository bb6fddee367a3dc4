import re
from pathlib import Path

import numpy as np
import pytest

import keras_softmaxes as ks

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
BLOCKS = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(), flags=re.DOTALL)


def accuracy(model, x, y):
    return np.mean(model.predict(x, verbose=0).argmax(axis=-1) == y)


@pytest.mark.tensorflow
@pytest.mark.thorough
def test_the_examples_of_the_readme_run(tmp_path, monkeypatch):
    import tensorflow as tf

    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    x, y = names["x"], names["y"]
    model, plain = names["model"], names["plain"]
    assert accuracy(model, x, y) > 0.9
    assert accuracy(plain, x, y) > 0.9
    artifact = tf.saved_model.load("digits_served")
    served = artifact.serve(tf.constant(x[:3], "float32"))
    assert abs(served.numpy() - model.predict(x[:3], verbose=0)).max() < 1e-6


def test_every_relative_link_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page}: {target}"


def test_the_pages_name_what_there_is():
    for page in PAGES:
        text = page.read_text()
        for floor, name in re.findall(r"\bks\.(\w+)\.(\w+)", text):
            assert hasattr(getattr(ks, floor), name), f"{page}: ks.{floor}.{name}"
        for program in re.findall(r"\b(?:examples|benchmarks)/\w+\.py", text):
            assert (ROOT / program).exists(), f"{page}: {program}"


def test_the_example_has_fifteen_lines():
    assert len(BLOCKS[0].splitlines()) <= 15
