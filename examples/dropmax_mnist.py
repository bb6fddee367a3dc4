"""DropMax on few images of MNIST, in the setting that its authors released.

    python examples/dropmax_mnist.py --train-size 1000 --seeds 5

The first 100 (500) training images of each class in file order, pixels in [0, 1]; LeNet; Adam with
1e-3, 1e-4 and 1e-5 in thirds of the steps; batches of 100; 200 epochs; weight decay 1e-4 on every
variable but DropMax's two extra branches; the last model tested on all 10,000 images. The authors'
code, run in this setting over five seeds of 1K: softmax 4.99 %, DropMax 3.61 %, ratio 0.72.
"""

import argparse
from typing import Any

import data
import dropmax_plots
import keras
import methods
import networks
import numpy as np
import report
from runs import Runs

WEIGHT_DECAY = 1e-4
BATCH_SIZE = 100
EPOCHS_BETWEEN_CURVE_POINTS = 10


def main() -> None:
    args = parse_arguments()
    images = data.balanced(data.load("mnist", args.data_dir), args.train_size)
    settings = {"dataset": "mnist", "train_size": args.train_size, "epochs": args.epochs}
    runs = Runs(args.out or f"results/dropmax_mnist/{args.train_size}", settings)

    def train(method: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        model = compiled_model(methods.METHODS[method], args.train_size, args.epochs)
        curve = Convergence(images)
        model.fit(
            images.x_train,
            images.y_train,
            batch_size=BATCH_SIZE,
            epochs=args.epochs,
            verbose=0,
            callbacks=[*callbacks, curve],
        )
        model.save(runs.model_path(method, seed))
        return {"test_error": methods.test_error(model, images), "convergence": curve.points}

    results = runs.complete(args.methods, list(range(args.seeds)), args.epochs, train)
    title = f"MNIST, {args.train_size:,} training images, {report.counted(args.epochs, 'epoch')}"
    report.write(results, settings, title, runs.folder)
    if {"softmax", "dropmax"} <= set(args.methods):
        draw(runs, results, images)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train-size", type=int, default=1000, help="1000 or 5000 in the paper")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5, help="the number of seeds")
    names = list(methods.METHODS)
    default = ["softmax", "dropmax"]
    parser.add_argument("--methods", nargs="+", choices=names, default=default, metavar="METHOD")
    parser.add_argument("--data-dir", help="folder of TFDS's prepared datasets")
    parser.add_argument("--out", help="folder of the results")
    args = parser.parse_args()
    if args.train_size < BATCH_SIZE or args.epochs < 3:
        parser.error(f"--train-size must be at least {BATCH_SIZE}, and --epochs 3")
    return args


def compiled_model(method: methods.Method, train_size: int, epochs: int) -> keras.Model:
    model = methods.build(
        method,
        lambda inputs: networks.lenet(inputs, WEIGHT_DECAY),
        (28, 28, 1),
        10,
        kernel_initializer="glorot_uniform",  # the authors', of all kernels alike
        **networks.decayed(WEIGHT_DECAY),
    )
    third = train_size // BATCH_SIZE * epochs // 3
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([third, 2 * third], [1e-3, 1e-4, 1e-5])
    # 1e-8 is Adam's epsilon in the TensorFlow that the authors used.
    method.compile(model, keras.optimizers.Adam(rate, epsilon=1e-8))
    return model


class Convergence(keras.callbacks.Callback):
    """Follows the cross-entropy of training and test images, with the mask at its expectation."""

    def __init__(self, images: data.Images) -> None:
        super().__init__()
        self.images = images
        self.points: dict[str, list[float]] = {"epoch": [], "train": [], "test": []}

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.serving = methods.serving(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if (epoch + 1) % EPOCHS_BETWEEN_CURVE_POINTS and epoch >= EPOCHS_BETWEEN_CURVE_POINTS:
            return
        images = self.images
        self.points["epoch"].append(epoch + 1)
        self.points["train"].append(self._cross_entropy(images.x_train, images.y_train))
        self.points["test"].append(self._cross_entropy(images.x_test, images.y_test))

    def _cross_entropy(self, x: np.ndarray, y: np.ndarray) -> float:
        probabilities = self.serving.predict(x, batch_size=1000, verbose=0)
        of_target = probabilities[np.arange(len(y)), y]
        return -float(np.log(np.maximum(of_target, np.finfo("float32").tiny)).mean())


def draw(runs: Runs, results: dict[str, list[dict[str, Any]]], images: data.Images) -> None:
    """Draw the paper's Figs. 3, 4 and 7 from the models of seed 0."""
    dropmax = keras.saving.load_model(runs.model_path("dropmax", 0))
    softmax = keras.saving.load_model(runs.model_path("softmax", 0))
    base = methods.serving(softmax).predict(images.x_test, batch_size=1000, verbose=0)
    dropmax_plots.convergence(results, runs.folder / "convergence.png")
    dropmax_plots.retain_probabilities(dropmax, base, images, runs.folder / "retain.png")
    dropmax_plots.retain_by_class(dropmax, base, images, runs.folder / "retain_by_class.png")
    dropmax_plots.masks(dropmax, base, images, runs.folder / "masks.png")
    dropmax_plots.predictive_distributions(dropmax, base, images, runs.folder / "predictive.png")
    print(f"plots in {runs.folder}")


if __name__ == "__main__":
    main()
