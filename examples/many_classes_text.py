"""Predict the next word of Python's own sources, over a vocabulary of 50,000 words and more.

    python examples/many_classes_text.py

The text is that of the standard library which runs this program, so that nothing is downloaded: the
words of its modules, of which each that occurs twice is a class. A network of the eight words
before is trained for as many steps by the exact cross-entropy, whose logits are never all there,
and by the sampled softmax; whole files are held out to test on. Prints accuracy, accuracy among
ten, the negative log-likelihood and the seconds of training side by side, and writes them as JSON.
It takes a few minutes on two cores.
"""

import argparse
import re
import sysconfig
import time
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.table import Table
from runs import versions, write_json

import keras_softmaxes as ks

CONTEXT = 8
FEATURES = 64
UNKNOWN = 0  # the class of all words that occur once, which is no target


def words_of_files() -> list[list[str]]:
    """Return the words of each module of the standard library, in the order of their paths."""
    library = Path(sysconfig.get_paths()["stdlib"])
    paths = sorted(path for path in library.rglob("*.py") if "site-packages" not in path.parts)
    texts = (path.read_text(errors="ignore") for path in paths)
    return [re.findall(r"\w+", text) for text in texts]


def numbered(files: list[list[str]]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the words as numbers, from the most frequent to the rarest, and their counts."""
    counts = Counter(word for words in files for word in words).most_common()
    known = [(word, count) for word, count in counts if count > 1]
    number = {word: place for place, (word, _) in enumerate(known, start=1)}
    arrays = [np.array([number.get(word, UNKNOWN) for word in words], "int32") for words in files]
    return arrays, np.array([len(counts) - len(known), *(count for _, count in known)])


def examples_of(files: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the words before each known word, and that word."""
    windows = [
        np.lib.stride_tricks.sliding_window_view(words, CONTEXT + 1)
        for words in files
        if len(words) > CONTEXT
    ]
    examples = np.concatenate(windows)
    examples = examples[examples[:, -1] != UNKNOWN]
    return examples[:, :-1], examples[:, -1]


def make_model(counts: np.ndarray, sampled: int | None) -> ks.models.Classifier:
    """Return a network of the words before and a head of all words, compiled."""
    classes = len(counts)
    network = keras.Sequential(
        [
            keras.Input((CONTEXT,), dtype="int32"),
            keras.layers.Embedding(classes, FEATURES // 2),
            keras.layers.Flatten(),
            keras.layers.Dense(256, "relu"),
            keras.layers.Dense(FEATURES),
        ]
    )
    # By the square root of the counts: by these the rare words would hardly ever be drawn.
    by = np.sqrt(np.maximum(counts, 1)) if sampled else "uniform"
    head = ks.layers.ManyClasses(classes, sampled=sampled, sampled_by=by)
    model = ks.models.Classifier(network, head)
    model.compile(ks.optimizers.RowWiseAdam(2e-3))
    return model


def measured(model: ks.models.Classifier, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return what the model makes of words that it has not seen."""
    first = ks.models.top_k(model, x, k=10)["classes"] == y[:, None]
    return {
        "accuracy": float(first[:, 0].mean()),
        "accuracy among ten": float(first.any(axis=1).mean()),
        "negative log-likelihood": float(model.evaluate(x, y, batch_size=256, verbose=0)),
    }


def run(sampled: int | None, counts: np.ndarray, data: Any, args: Any) -> dict[str, float]:
    """Train and test a model."""
    keras.utils.set_random_seed(args.seed)
    (x, y), test = data
    model = make_model(counts, sampled)
    order = np.random.default_rng(args.seed).permutation(len(x))[: args.steps * args.batch_size]
    x, y = x[order], y[order]
    model.train_on_batch(x[: args.batch_size], y[: args.batch_size])  # compiles
    start = time.perf_counter()
    model.fit(x, y, args.batch_size, shuffle=False, verbose=2)
    seconds = time.perf_counter() - start
    return {**measured(model, *test), "seconds": round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--sampled", type=int, default=2048)
    parser.add_argument("--test-size", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/many_classes_text"))
    args = parser.parse_args()
    files, counts = numbered(words_of_files())
    tests = [words for place, words in enumerate(files) if place % 10 == 0]
    train = examples_of([words for place, words in enumerate(files) if place % 10])
    x, y = examples_of(tests)
    chosen = np.random.default_rng(0).permutation(len(x))[: args.test_size]
    data = train, (x[chosen], y[chosen])
    ways = {"exact": None, f"{args.sampled:,} drawn": args.sampled}
    results = {name: run(sampled, counts, data, args) for name, sampled in ways.items()}
    table = Table(f"{len(counts):,} words", *next(iter(results.values())))
    for name, row in results.items():
        table.add_row(name, *(f"{value:.4g}" for value in row.values()))
    Console().print(table)
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    settings |= {"words": len(counts), "examples": len(train[0]), "versions": versions()}
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "results.json", {"settings": settings, "methods": results})


if __name__ == "__main__":
    main()
