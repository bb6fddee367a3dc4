"""What is a probability worth? Outputs that promise to know what they do not know, judged alike.

    python examples/uncertainty.py --dataset digits
    python examples/uncertainty.py --dataset mnist --data-dir ~/datasets
    python examples/uncertainty.py --dataset fashion_mnist --data-dir ~/datasets
    python examples/uncertainty.py --dataset tiny_imagenet_100x32 --data-dir ~/datasets

Five trainings, softmax, the large margin, DropMax, dropout and a bag of five softmax networks, give
seven outputs: DropMax's probabilities and their Monte Carlo mean, dropout's one network and its
ensemble. Each is judged raw and with one temperature, fitted on validation images: test error,
negative log-likelihood, Brier score, expected calibration error, area under the risk-coverage
curve, and, for MNIST and Fashion-MNIST, how well the confidence tells images of the other one.

Trains what is missing, so it can be interrupted and run again. Prints means, writes them and the
ratios to softmax in the same form, with 95 % intervals over the seeds, as JSON and each run as CSV,
and draws reliability diagrams and risk-coverage curves.
"""

import argparse
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import data
import keras
import methods
import networks
import numpy as np
import report
import uncertainty_plots
from intervals import mean_interval, ratio_interval
from rich.console import Console
from rich.table import Table
from runs import Runs, versions, write_json
from sklearn.metrics import roc_auc_score

import keras_softmaxes as ks

SAMPLES = 100  # of DropMax's masks and of dropout's
BAGGED = 5
OUTLIERS = 2000

TINY = float(np.finfo("float32").tiny)

Network = Callable[[keras.KerasTensor], keras.KerasTensor]
Predictions = dict[str, np.ndarray]  # class probabilities, by what they are of


@dataclass(frozen=True)
class Recipe:
    """How a dataset is learned.

    Attributes:
        network: leads from the images to the features.
        train_size: how many training images there are, the first of each class.
        validation_size: how many images of the training set after these fit the temperature.
        epochs: of the training.
        outliers: the dataset whose test images the models should not be sure of, or None.
        batch_size: of the training.
        learning_rate: at its start; it goes to 0 by a cosine.
        optimizer: builds the optimizer, from the learning rate.
        head: settings of each head.
    """

    network: Network
    train_size: int
    validation_size: int
    epochs: int
    outliers: str | None = None
    batch_size: int = 64
    learning_rate: float = 1e-3
    optimizer: Callable[..., keras.Optimizer] = keras.optimizers.Adam
    head: dict[str, Any] = field(default_factory=dict)


RECIPES = {
    "digits": Recipe(networks.small_convnet, 300, 300, 60),
    "mnist": Recipe(networks.batch_normalised_convnet, 1000, 1000, 40, "fashion_mnist"),
    "fashion_mnist": Recipe(networks.batch_normalised_convnet, 5000, 1000, 10, "mnist"),
    # As examples/many_classes.py learns it.
    "tiny_imagenet_100x32": Recipe(
        networks.batch_normalised_convnet,
        10_000,
        5000,
        12,
        batch_size=128,
        learning_rate=0.1,
        optimizer=partial(keras.optimizers.SGD, momentum=0.9),
        head={"kernel_initializer": "zeros"},
    ),
}
# The outputs that each training gives.
OUTPUTS = {
    "softmax": ["softmax"],
    "large_margin": ["large_margin"],
    "dropmax": ["dropmax", "monte_carlo"],
    "dropout": ["dropout", "dropout_ensemble"],
    "bag": ["bag"],
}

TITLES = {
    "softmax": "Softmax",
    "large_margin": "Large margin 0.3",
    "dropmax": "DropMax",
    "monte_carlo": "DropMax, Monte Carlo",
    "dropout": "Dropout 0.5",
    "dropout_ensemble": "Dropout's ensemble",
    "bag": "Bag of five softmaxes",
}
# What the printed table has of what is measured.
MEASURES = {
    "test_error": "error, %",
    "negative_log_likelihood": "NLL",
    "brier_score": "Brier",
    "calibration_error": "ECE",
    "aurc": "AURC",
    "auroc": "AUROC",
    "fpr_95": "FPR 95",
    "temperature": "T",
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
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "samples": SAMPLES,
        "bagged": BAGGED,
    }
    runs = Runs(args.out or f"results/uncertainty/{args.dataset}", settings)

    def train(method: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        fit = partial(trained, recipe, epochs=args.epochs, callbacks=callbacks)
        predict = predictor(method, splits.train, fit, seed)
        found = {
            f"{output} {part}": probabilities
            for part, images in splits.to_predict().items()
            for output, probabilities in predict(images).items()
        }
        np.savez_compressed(predictions_path(runs.folder, method, seed), **found)
        return {}

    runs.complete(list(OUTPUTS), list(range(args.seeds)), args.epochs, train)
    forms = {
        output: {"raw": of_seeds, "temperature": [calibrated(each, splits) for each in of_seeds]}
        for method, outputs in OUTPUTS.items()
        for output in outputs
        for of_seeds in [read(runs.folder, method, output, range(args.seeds))]
    }
    judgements = {
        output: {form: [judged(each, splits) for each in of_form[form]] for form in of_form}
        for output, of_form in forms.items()
    }
    title = f"{args.dataset}, {recipe.train_size:,} training images"
    write(judgements, settings, title, runs.folder)
    uncertainty_plots.draw(forms, splits.test[1], TITLES, title, runs.folder)


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
    recipe: Recipe,
    method: str,
    x: np.ndarray,
    y: np.ndarray,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
) -> keras.Model:
    classes = int(y.max()) + 1
    model = methods.build(
        methods.METHODS[method], recipe.network, x.shape[1:], classes, **recipe.head
    )
    steps = math.ceil(len(y) / recipe.batch_size) * epochs
    schedule = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)
    methods.METHODS[method].compile(model, recipe.optimizer(schedule))
    model.fit(x, y, batch_size=recipe.batch_size, epochs=epochs, callbacks=callbacks, verbose=0)
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


def read(folder: Path, method: str, output: str, seeds: Iterable[int]) -> list[Predictions]:
    """Return what the trainings of a method gave for one of its outputs, by seed."""
    found = []
    for seed in seeds:
        with np.load(predictions_path(folder, method, seed)) as file:
            parts = {name.removeprefix(f"{output} "): name for name in file}
            found.append({part: file[name] for part, name in parts.items() if part != name})
    return found


def calibrated(predictions: Predictions, splits: Splits) -> Predictions:
    """Return the predictions with the temperature that fits the validation images best."""
    shape = predictions["validation"].shape[1:]
    identity = keras.Sequential([keras.Input(shape), keras.layers.Activation("linear")])
    model = ks.models.calibrate(identity, predictions["validation"], splits.validation[1])
    after = {part: model.predict(each, verbose=0) for part, each in predictions.items()}
    temperature = model.get_layer("calibration").temperature
    return {**after, "temperature": keras.ops.convert_to_numpy(temperature)}


def judged(predictions: Predictions, splits: Splits) -> dict[str, float]:
    """Return what the probabilities of the test images are worth, and the temperature."""
    probabilities, labels = predictions["test"], splits.test[1]
    target = probabilities[np.arange(len(labels)), labels]
    metrics = {
        "brier_score": ks.metrics.BrierScore(),
        "calibration_error": ks.metrics.CalibrationError(),
        "aurc": ks.metrics.RiskCoverage("aurc"),
        "augrc": ks.metrics.RiskCoverage("augrc"),
        "coverage_at_1_%": ks.metrics.RiskCoverage("coverage", risk=0.01),
    }
    for metric in metrics.values():
        metric.update_state(labels, probabilities)
    return {
        "temperature": float(predictions.get("temperature", 1)),
        "test_error": 100 * float(np.mean(probabilities.argmax(axis=1) != labels)),
        "negative_log_likelihood": float(-np.log(np.maximum(target, TINY)).mean()),
        **{name: float(metric.result()) for name, metric in metrics.items()},
        **(told_apart(predictions) if "outliers" in predictions else {}),
    }


def told_apart(predictions: Predictions) -> dict[str, float]:
    """Return how well the confidence tells test images from those of another dataset.

    The area under the ROC curve, and the share of the others that is taken for test images where 95
    % of these are.
    """
    known, others = (predictions[part].max(axis=1) for part in ("test", "outliers"))
    is_known = np.repeat([1, 0], [len(known), len(others)])
    return {
        "auroc": float(roc_auc_score(is_known, np.concatenate([known, others]))),
        "fpr_95": float(np.mean(others >= np.quantile(known, 0.05))),
    }


def write(
    judgements: dict[str, dict[str, list[dict[str, float]]]],
    settings: dict[str, Any],
    title: str,
    folder: Path,
) -> None:
    """Print means, and write them with the ratios to softmax, of each output and form."""
    table = Table("output", *MEASURES.values(), title=f"{title}, raw and with a temperature")
    rows: dict[str, Any] = {}
    for output, forms in judgements.items():
        rows[output] = {}
        for form, judgement in forms.items():
            rows[output][form] = {
                measure: compared(
                    [each[measure] for each in judgement],
                    [each[measure] for each in judgements["softmax"][form]],
                )
                for measure in judgement[0]
            }
            means = {name: each["mean"]["estimate"] for name, each in rows[output][form].items()}
            cells = [f"{means[name]:.3g}" if name in means else "" for name in MEASURES]
            table.add_row(TITLES[output] if form == "raw" else "  calibrated", *cells)
    Console().print(table)
    seeds = list(range(len(judgements["softmax"]["raw"])))
    summary = {"settings": settings, "seeds": seeds, "versions": versions(), "outputs": rows}
    write_json(folder / "results.json", summary)
    lines = {
        f"{output} {form}": [
            {"method": f"{output} {form}", "seed": seed, **each} for seed, each in enumerate(found)
        ]
        for output, forms in judgements.items()
        for form, found in forms.items()
    }
    report.write_csv(lines, list(judgements["softmax"]["raw"][0]), folder / "results.csv")


def compared(values: list[float], reference: list[float]) -> dict[str, Any]:
    """Return values by seed, their mean and its ratio to that of softmax in the same form."""
    return {
        "values": [round(value, 6) for value in values],
        "mean": mean_interval(values).plain(),
        "ratio_to_softmax": ratio_interval(values, reference).plain(),
    }


if __name__ == "__main__":
    main()
