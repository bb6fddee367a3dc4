"""How large the gradient at the target's logit is while softmax and DropMax train.

    python examples/target_gradient.py --data-dir DATASETS

Appendix B of the DropMax paper: where the retain probabilities tell the target from the other
classes, DropMax's part of the gradient at the target's logit is opposed to the cross-entropy's, so
that a fitted example is pushed less. `TargetGradient` follows its size for a model of any head; the
training is that of `dropmax_mnist.py`. Writes the curves as JSON and PNG.
"""

import argparse
from pathlib import Path
from typing import Any

import data
import dropmax_mnist
import dropmax_plots
import keras
import methods
import numpy as np
import report
import tensorflow as tf
from matplotlib import pyplot as plt
from runs import Runs, versions, write_json

METHODS = ("softmax", "dropmax")


class TargetGradient(keras.callbacks.Callback):
    """Logs "target_gradient", the mean of |d loss / d o_t| over examples, o_t the target's logit.

    The loss is that of a training step, its masks drawn, each example's by itself. What that pass
    changes in the model, as its random numbers, is put back.

    Args:
        x: the examples.
        y: their classes, (examples,) integers.
        every: how many epochs from one measure to the next; the first is measured too.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, every: int = 1) -> None:
        super().__init__()
        self.x, self.y, self.every = tf.constant(x), tf.constant(y), every
        self.points: dict[str, list[float]] = {"epoch": [], "target_gradient": []}

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if (epoch + 1) % self.every and epoch:
            return
        size = self.measure()
        self.points["epoch"].append(epoch + 1)
        self.points["target_gradient"].append(size)
        if logs is not None:
            logs["target_gradient"] = size

    def measure(self) -> float:
        """Return the mean size for the model as it is."""
        state = [variable.numpy() for variable in self.model.non_trainable_variables]
        with tf.GradientTape() as tape:
            outputs = self.model(self.x, training=True)
            logits = outputs["logits"] if isinstance(outputs, dict) else outputs
            tape.watch(logits)
            loss = self.model.loss(self.y, outputs) * len(self.y)
        gradient = tape.gradient(loss, logits)
        for variable, value in zip(self.model.non_trainable_variables, state, strict=True):
            variable.assign(value)
        return float(tf.reduce_mean(tf.abs(tf.gather(gradient, self.y, batch_dims=1))))


def main() -> None:
    args = parse_arguments()
    images = data.balanced(data.load("mnist", args.data_dir), args.train_size)
    settings = {"dataset": "mnist", "train_size": args.train_size, "epochs": args.epochs}
    runs = Runs(args.out or "results/target_gradient", settings)

    def train(method: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        model = dropmax_mnist.compiled_model(methods.METHODS[method], args.train_size, args.epochs)
        x, y, size = images.x_train, images.y_train, dropmax_mnist.BATCH_SIZE
        gradient = TargetGradient(x, y, every=max(args.epochs // 50, 1))
        watched = [*callbacks, gradient]
        model.fit(x, y, batch_size=size, epochs=args.epochs, verbose=0, callbacks=watched)
        return {"test_error": methods.test_error(model, images), **gradient.points}

    results = runs.complete(list(METHODS), list(range(args.seeds)), args.epochs, train)
    content = {"settings": settings, "versions": versions(), "runs": results}
    write_json(runs.folder / "results.json", content)
    draw(results, runs.folder / "results.png", args)
    print(f"results and plot in {runs.folder}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train-size", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3, help="the number of seeds")
    parser.add_argument("--data-dir", help="folder of TFDS's prepared datasets")
    parser.add_argument("--out", help="folder of the results")
    return parser.parse_args()


def draw(results: report.Results, path: Path, args: argparse.Namespace) -> None:
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for method, runs in results.items():
        curves = np.array([run["target_gradient"] for run in runs])
        title = methods.METHODS[method].title
        dropmax_plots.band(axes, runs[0]["epoch"], curves, label=title)
    axes.set(xlabel="epoch", ylabel="mean |d loss / d target's logit|", yscale="log")
    seeds = report.counted(args.seeds, "seed")
    axes.set_title(f"MNIST, {args.train_size:,} training images, {seeds}: mean and range")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
