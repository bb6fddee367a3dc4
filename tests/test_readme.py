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


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_examples_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    x, y = names["x"], names["y"]
    assert names["result"]["mean"].shape == (5, 10)
    served = names["probabilities"].numpy()
    assert abs(served - names["model"].predict(x[:3], verbose=0)).max() < 1e-6
    _, accuracy_in_evaluation = names["model"].evaluate(x, y, verbose=0)
    assert accuracy_in_evaluation > 0.9
    for model in ("looped", "cosine", "robust", "cut", "hooked"):
        assert accuracy(names[model], x, y) > 0.8, model
    assert accuracy(names["learner"], *names["unseen"]) > 0.7
    pixels = names["segmenter"].predict(x, verbose=0).argmax(axis=-1)
    counted = names["pixel_labels"] != 255
    assert (pixels == names["pixel_labels"])[counted].mean() > 0.8
    terms = {"virtual_adversarial_dropout", "virtual_adversarial_training"}
    assert set(names["logs"]) == {"loss", "accuracy", *terms}


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
