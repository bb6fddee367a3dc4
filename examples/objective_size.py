"""How hard each term of DropMax's objective pushes the features, against the number of classes.

    python examples/objective_size.py

A head as it starts, on features that tell nothing of the class. A term that pushes all examples the
same way moves the features without telling classes apart; what matters is how it compares with the
cross-entropy. Writes the norm of each term's mean gradient at the features as JSON and PNG: by the
paper's sums over the classes, and with the non-targets counting as 27 at the most.
"""

import argparse
from pathlib import Path

import keras
import matplotlib as mpl
import numpy as np
import tensorflow as tf
from matplotlib import pyplot as plt
from rich.progress import track
from runs import versions, write_json

import keras_softmaxes as ks

CLASSES = (2, 5, 10, 28, 100, 300, 1000, 3000)
FEATURES = 256
EXAMPLES = 512
PAPER, DEFAULT = "all but the cross-entropy, the paper's sums", "the same, the non-targets as 27"
TITLES = {
    "cross_entropy": "cross-entropy",
    "kl": "KL divergence",
    "auxiliary": "auxiliary",
    "negative_entropy": "negative entropy",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/objective_size"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    found = {classes: pushes(classes) for classes in track(CLASSES, "classes")}
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {"seed": args.seed, "features": FEATURES, "examples": EXAMPLES}
    content = {"settings": settings, "versions": versions(), "classes": found}
    write_json(args.out / "results.json", content)
    draw(found, args.out / "results.png")
    print(f"results and plot in {args.out}")


def pushes(classes: int) -> dict[str, float]:
    """Return the norm of the mean gradient at the features, for each term and their sums."""
    features = tf.nn.relu(tf.random.normal((EXAMPLES, FEATURES), seed=0))
    labels = tf.constant(np.random.default_rng(0).integers(0, classes, EXAMPLES))
    head = ks.layers.DropMax(classes, kernel_initializer="glorot_uniform")
    head.build(features.shape)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        outputs = head(features, training=True)
        terms = ks.ops.dropmax_terms(
            labels, **{name: each for name, each in outputs.items() if name != "probabilities"}
        )
        cross_entropy = terms["cross_entropy"]
        sums = {
            name: ks.losses.DropMaxLoss(non_targets=count, reduction=None)(labels, outputs)
            - cross_entropy
            for name, count in ((PAPER, None), (DEFAULT, 27))
        }
        objectives = {name: tf.reduce_mean(each) for name, each in {**terms, **sums}.items()}
    return {
        name: float(tf.norm(tf.reduce_sum(tape.gradient(value, features), axis=0)))
        for name, value in objectives.items()
    }


def draw(found: dict[int, dict[str, float]], path: Path) -> None:
    mpl.use("Agg")
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name in next(iter(found.values())):
        style = {PAPER: "k-", DEFAULT: "k--"}.get(name, "-")
        values = [each[name] for each in found.values()]
        axes.plot(
            list(found), values, style, marker="o", markersize=4, label=TITLES.get(name, name)
        )
    axes.set(xscale="log", yscale="log", xlabel="classes", ylabel="norm of the mean gradient")
    axes.set_title("DropMax at its start: what pushes the features")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
