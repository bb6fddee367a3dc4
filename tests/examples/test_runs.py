import json
import math

import pytest
import report
from intervals import mean_interval
from runs import Runs, read_json, write_json

SETTINGS = {"epochs": 1}
METHODS = ["softmax", "dropmax"]


class Trainer:
    """Trains nothing, and remembers what it was asked for."""

    def __init__(self, results):
        self.results, self.asked = results, []

    def __call__(self, method, seed, callbacks):
        self.asked.append((method, seed))
        return dict(self.results[method])


@pytest.fixture
def trainer():
    return Trainer({"softmax": {"test_error": 5.0}, "dropmax": {"test_error": 4.0}})


def complete(folder, trainer, seeds=(0, 1)):
    return Runs(folder, SETTINGS).complete(METHODS, list(seeds), 1, trainer)


def test_only_what_is_missing_is_done(tmp_path, trainer):
    first = complete(tmp_path, trainer, seeds=[0])
    assert trainer.asked == [("softmax", 0), ("dropmax", 0)]
    both = complete(tmp_path, trainer)
    assert trainer.asked[2:] == [("softmax", 1), ("dropmax", 1)]
    assert both["dropmax"][:1] == first["dropmax"]
    assert [run["seed"] for run in both["dropmax"]] == [0, 1]


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"method": "dropmax", "se',
        "[]",
        "{}",
        '{"method": "softmax", "seed": 1}',
        '{"method": "dropmax", "seed": 0}',
    ],
)
def test_a_broken_result_is_named_before_anything_is_trained(tmp_path, trainer, content):
    complete(tmp_path, trainer)
    broken = tmp_path / "runs" / "dropmax-1.json"
    broken.write_text(content)
    (tmp_path / "runs" / "softmax-0.json").unlink()
    trainer.asked.clear()
    with pytest.raises(SystemExit) as error:
        complete(tmp_path, trainer)
    assert str(broken) in str(error.value)
    assert "Delete it, and the same command does that run again." in str(error.value)
    assert trainer.asked == []
    broken.unlink()
    complete(tmp_path, trainer)
    assert trainer.asked == [("softmax", 0), ("dropmax", 1)]


def test_bytes_that_are_no_text_are_named_too(tmp_path, trainer):
    complete(tmp_path, trainer)
    (tmp_path / "runs" / "dropmax-1.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SystemExit, match=r"dropmax-1\.json is broken"):
        complete(tmp_path, trainer)


def test_broken_settings_are_named_and_not_replaced(tmp_path, trainer):
    complete(tmp_path, trainer)
    (tmp_path / "settings.json").write_text('{"epochs"')
    with pytest.raises(SystemExit, match=r"settings\.json is broken(.|\n)*Choose another --out"):
        Runs(tmp_path, SETTINGS)
    assert (tmp_path / "settings.json").read_text() == '{"epochs"'


def test_a_run_that_diverged_is_kept_and_not_trained_again(tmp_path, trainer):
    trainer.results["dropmax"] = {"test_error": math.nan, "history": [[1.0, math.inf], -math.inf]}
    complete(tmp_path, trainer)
    trainer.asked.clear()
    run = complete(tmp_path, trainer)["dropmax"][0]
    assert trainer.asked == []
    assert math.isnan(run["test_error"])
    assert run["history"] == [[1.0, math.inf], -math.inf]


def test_what_is_not_finite_is_written_as_strict_json(tmp_path):
    content = {"b": [math.nan, 1.5, None], "a": {"z": -math.inf, "y": "NaNcy", "x": True}}
    write_json(tmp_path / "a.json", content)

    def fail(constant):
        raise AssertionError(constant)

    written = json.loads((tmp_path / "a.json").read_text(), parse_constant=fail)
    expected = {"b": ["NaN", 1.5, None], "a": {"z": "-Infinity", "y": "NaNcy", "x": True}}
    assert written == expected
    assert list(written) == ["b", "a"]  # the order of methods is the order of tables
    assert list(written["a"]) == ["z", "y", "x"]
    read = read_json(tmp_path / "a.json", advice="")
    assert math.isnan(read["b"][0])
    assert read["b"][1:] == [1.5, None]
    assert read["a"] == content["a"]


def test_the_report_shows_that_a_run_diverged(tmp_path, trainer, capsys):
    trainer.results["dropmax"] = {"test_error": math.nan}
    results = complete(tmp_path, trainer)
    means = report.write(results, SETTINGS, "title", tmp_path)
    assert math.isnan(means["dropmax"].estimate)
    assert means["softmax"] == mean_interval([5.0, 5.0])
    row = next(line for line in capsys.readouterr().out.splitlines() if "DropMax" in line)
    assert "nan" in row
    methods = json.loads((tmp_path / "results.json").read_text())["methods"]
    assert methods["dropmax"]["test_errors"] == ["NaN", "NaN"]
    assert methods["dropmax"]["mean"]["estimate"] is None
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
