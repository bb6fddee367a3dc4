import json
import sys

import many_classes_text
import numpy as np
import pytest


def test_words_are_numbered_by_their_frequency_and_rare_ones_are_no_target():
    files, counts = many_classes_text.numbered([["a", "b", "b", "c", "c", "c"], ["d", "b"]])
    assert [each.tolist() for each in files] == [[0, 1, 1, 2, 2, 2], [0, 1]]
    assert counts.tolist() == [2, 3, 3]


def test_an_example_is_a_known_word_and_those_before_it():
    x, y = many_classes_text.examples_of([np.arange(10), np.arange(3)])
    assert y.tolist() == [8, 9]
    assert x.tolist() == [list(range(8)), list(range(1, 9))]


@pytest.mark.slow
@pytest.mark.tensorflow
def test_it_trains_both_ways_and_compares(tmp_path, monkeypatch):
    arguments = ["--steps", "3", "--test-size", "60", "--sampled", "16", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["", *arguments])
    monkeypatch.setattr(
        many_classes_text,
        "words_of_files",
        lambda: [[f"w{n * n % 97}" for n in range(start, start + 400)] for start in range(20)],
    )
    many_classes_text.main()
    methods = json.loads((tmp_path / "results.json").read_text())["methods"]
    assert list(methods) == ["exact", "16 drawn"]
    for row in methods.values():
        assert 0 <= row["accuracy"] <= row["accuracy among ten"] <= 1
        assert row["negative log-likelihood"] > 0
