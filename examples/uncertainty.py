"""What is a probability worth? Outputs that promise to know what they do not know, judged alike.

    python examples/uncertainty.py --dataset digits
    python examples/uncertainty.py --dataset mnist --data-dir ~/datasets
    python examples/uncertainty.py --dataset fashion_mnist --data-dir ~/datasets

Five trainings, softmax, the large margin, DropMax, dropout and a bag of five softmax networks, give
seven outputs: DropMax's probabilities and their Monte Carlo mean, dropout's one network and its
ensemble. Each is judged raw and with one temperature, fitted on validation images: test error,
negative log-likelihood, Brier score, expected calibration error, area under the risk-coverage
curve, and, for MNIST and Fashion-MNIST, how well the confidence tells images of the other one.

Trains what is missing, so it can be interrupted and run again. Prints means and ratios to softmax
with 95 % intervals over the seeds, writes results.json and results.csv, and draws reliability
diagrams and risk-coverage curves.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import data
import keras
import methods
import networks
import numpy as np
from runs import Runs

import keras_softmaxes as ks

BATCH_SIZE = 64
LEARNING_RATE = 1e-3
SAMPLES = 100  # of DropMax's masks and of dropout's
BAGGED = 5
OUTLIERS = 2000

Network = Callable[[keras.KerasTensor], keras.KerasTensor]


@dataclass(frozen=True)
class Recipe:
    """How a dataset is learned.

    Attributes:
        network: leads from the images to the features.
        train_size: how many training images there are, the first of each class.
        validation_size: how many images of the training set after these fit the temperature.
        epochs: of the training.
        outliers: the dataset whose test images the models should not be sure of, or None.
    """

    network: Network
    train_size: int
    validation_size: int
    epochs: int
    outliers: str | None


RECIPES = {
    "digits": Recipe(networks.small_convnet, 300, 300, 60, None),
    "mnist": Recipe(networks.batch_normalised_convnet, 1000, 1000, 40, "fashion_mnist"),
    "fashion_mnist": Recipe(networks.batch_normalised_convnet, 5000, 1000, 10, "mnist"),
}
# The outputs that each training gives.
OUTPUTS = {
    "softmax": ["softmax"],
    "large_margin": ["large_margin"],
    "dropmax": ["dropmax", "monte_carlo"],
    "dropout": ["dropout", "dropout_ensemble"],
    "bag": ["bag"],
}


@dataclass(frozen=True)
class Splits:
    """The images: to train on, to fit the temperature on, to test on, and of another dataset."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    outliers: np.ndarray | None

    def to_predict(self) -> dict[str, np.ndarray]:
        """Return the images that each output is wanted of."""
        images = {"validation": self.validation[0], "test": self.test[0]}
        return images if self.outliers is None else {**images, "outliers": self.outliers}


def main() -> None:
    args = parse_arguments()
    recipe = RECIPES[args.dataset]
    splits = split(args.dataset, args.data_dir)
    settings = {
        "dataset": args.dataset,
        "train_size": recipe.train_size,
        "validation_size": recipe.validation_size,
        "test_size": len(splits.test[1]),
        "outliers": recipe.outliers,
        "epochs": args.epochs,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "samples": SAMPLES,
        "bagged": BAGGED,
    }
    runs = Runs(args.out or f"results/uncertainty/{args.dataset}", settings)

    def train(method: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        fit = partial(trained, recipe.network, epochs=args.epochs, callbacks=callbacks)
        predict = predictor(method, splits.train, fit, seed)
        found = {
            f"{output} {part}": probabilities
            for part, images in splits.to_predict().items()
            for output, probabilities in predict(images).items()
        }
        np.savez_compressed(predictions_path(runs.folder, method, seed), **found)
        return {}

    results = runs.complete(list(OUTPUTS), list(range(args.seeds)), args.epochs, train)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=RECIPES, default="digits")
    parser.add_argument("--data-dir", help="TFDS's folder, for all but digits")
    parser.add_argument("--seeds", type=int, default=5, help="the number of seeds")
    parser.add_argument("--epochs", type=int, help="the recipe's by default")
    parser.add_argument("--out", help="folder of the results; finished runs in it are kept")
    args = parser.parse_args()
    args.epochs = RECIPES[args.dataset].epochs if args.epochs is None else args.epochs
    for argument in ("seeds", "epochs"):
        if getattr(args, argument) < 1:
            parser.error(f"--{argument} must be at least 1, got {getattr(args, argument)}")
    return args


def split(dataset: str, data_dir: str | None) -> Splits:
    recipe, images = RECIPES[dataset], data.load(dataset, data_dir)
    place = data.position_in_class(images.y_train) * images.classes
    train = place < recipe.train_size
    validation = ~train & (place < recipe.train_size + recipe.validation_size)
    return Splits(
        (images.x_train[train], images.y_train[train]),
        (images.x_train[validation], images.y_train[validation]),
        (images.x_test, images.y_test),
        recipe.outliers and data.load(recipe.outliers, data_dir).x_test[:OUTLIERS],
    )


def predictions_path(folder: Path, method: str, seed: int) -> Path:
    return folder / "runs" / f"{method}-{seed}.npz"


def predictor(
    method: str,
    train: tuple[np.ndarray, np.ndarray],
    fit: Callable[..., keras.Model],
    seed: int,
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Train a method and return what gives the probabilities of its outputs, by their names."""
    x, y = train
    if method == "bag":
        rows = np.random.default_rng(seed).integers(0, len(y), (BAGGED, len(y)))
        bag = [fit("softmax", x[each], y[each]) for each in rows]
        return lambda images: {"bag": np.mean([predicted(each, images) for each in bag], axis=0)}
    model = fit(method, x, y)
    if method == "dropmax":
        return lambda images: {
            "dropmax": predicted(model, images),
            "monte_carlo": monte_carlo(model, images, seed),
        }
    if method == "dropout":
        return lambda images: {
            "dropout": predicted(model, images),
            "dropout_ensemble": dropout_ensemble(model, images),
        }
    return lambda images: {method: predicted(model, images)}


def trained(
    network: Network,
    method: str,
    x: np.ndarray,
    y: np.ndarray,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
) -> keras.Model:
    model = methods.build(methods.METHODS[method], network, x.shape[1:], int(y.max()) + 1)
    steps = math.ceil(len(y) / BATCH_SIZE) * epochs
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    methods.METHODS[method].compile(model, keras.optimizers.Adam(schedule))
    model.fit(x, y, batch_size=BATCH_SIZE, epochs=epochs, callbacks=callbacks, verbose=0)
    return model


def predicted(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return methods.serving(model).predict(images, batch_size=1000, verbose=0)


def monte_carlo(model: keras.Model, images: np.ndarray, seed: int) -> np.ndarray:
    return ks.models.monte_carlo(model, images, SAMPLES, batch_size=2000, seed=seed)["mean"]


def dropout_ensemble(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the ensemble's mean; what is below the one dropout is computed once."""
    (dropout,) = (each for each in model.layers if isinstance(each, ks.layers.AdversarialDropout))
    below = keras.Model(model.input, dropout.input)
    above = keras.Model(dropout.input, methods.serving(model).output)
    features = below.predict(images, batch_size=1000, verbose=0)
    return ks.models.dropout_ensemble(above, features, samples=SAMPLES, batch_size=2000)["mean"]


if __name__ == "__main__":
    main()
