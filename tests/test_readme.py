import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.tensorflow
def test_the_examples_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    assert names["result"]["mean"].shape == (5, 10)
    served = names["probabilities"].numpy()
    assert abs(served - names["model"].predict(names["x"][:3], verbose=0)).max() < 1e-6
    _, accuracy = names["model"].evaluate(names["x"], names["y"], verbose=0)
    assert accuracy > 0.9


def test_every_relative_link_leads_somewhere():
    root = Path(__file__).parent.parent
    for page in [root / "README.md", *root.glob("docs/**/*.md"), *root.glob("benchmarks/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page}: {target}"


def test_the_example_has_fifteen_lines():
    assert len(BLOCKS[0].splitlines()) <= 15
