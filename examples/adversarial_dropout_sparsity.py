"""What adversarial dropout does to features: an autoencoder, and linear regression.

    python examples/adversarial_dropout_sparsity.py --data-dir ~/datasets

Trains autoencoders of MNIST with one hidden layer of 256 units, as the paper does: without dropout,
with dropout of 0.5, and with adversarial dropout beside it (weight 0.2, budget 0.3). Draws their
filters (Fig. 2) and the histograms of their activations on 1,000 test images (Fig. 3), and prints
how sparse they are over the seeds, as JSON and CSV too.

Then checks the paper's analysis of linear regression: the loss at adversarial inputs, and under
adversarial dropout, is the plain one plus an L1 and an L2 penalty (Eqs. 12 to 16), exactly.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import data
import keras
import matplotlib as mpl
import numpy as np
import report
from intervals import mean_interval
from keras import layers
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table
from runs import Runs, versions, write_json

import keras_softmaxes as ks

UNITS, FILTERS_DRAWN, TEST_IMAGES = 256, 100, 1000
BATCH_SIZE = 100
MEASURES = ("reconstruction_error", "mean_activation", "active", "dead_units")


class Method(NamedTuple):
    """How an autoencoder is trained."""

    title: str
    rate: float
    perturbations: list[ks.perturbations.Perturbation]


METHODS = {
    "none": Method("No dropout", 0.0, []),
    "dropout": Method("Dropout", 0.5, []),
    "adversarial": Method(
        "Adversarial dropout", 0.5, [ks.perturbations.SupervisedAdversarialDropout(weight=0.2)]
    ),
}


@keras.saving.register_keras_serializable("adversarial_dropout_sparsity")
class Autoencoder(ks.models.PerturbationMixin, keras.Model):
    """An autoencoder with the cut at its hidden layer."""


def main() -> None:
    args = parse_arguments()
    images = data.load("mnist", args.data_dir)
    train_images, test_images = (x.reshape(len(x), -1) for x in (images.x_train, images.x_test))
    runs = Runs(args.out or "results/adversarial_dropout_sparsity", {"epochs": args.epochs})

    def train(name: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        model = autoencoder(METHODS[name])
        model.fit(
            train_images,
            train_images,
            batch_size=BATCH_SIZE,
            epochs=args.epochs,
            verbose=0,
            callbacks=callbacks,
        )
        model.save(runs.model_path(name, seed))
        return measured(model, test_images)

    results = runs.complete(list(METHODS), list(range(args.seeds)), args.epochs, train)
    show(results)
    report.write_csv(results, MEASURES, runs.folder / "results.csv")
    first = {
        METHODS[name].title: keras.saving.load_model(runs.model_path(name, 0)) for name in METHODS
    }
    mpl.use("Agg")
    draw_filters(first, runs.folder / "filters.png")
    draw_activations(first, test_images[:TEST_IMAGES], runs.folder / "activations.png")
    regression = linear_regression(runs.folder / "linear_regression.png")
    summary = {"versions": versions(), "autoencoders": results, "linear_regression": regression}
    write_json(runs.folder / "results.json", summary)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30, help="30 by default")
    parser.add_argument("--seeds", type=int, default=3, help="the number of seeds, 3 by default")
    parser.add_argument("--data-dir", help="folder of TFDS's prepared datasets")
    parser.add_argument("--out", help="folder of the results; finished runs in it are kept")
    args = parser.parse_args()
    if args.epochs < 1 or args.seeds < 1:
        parser.error("--epochs and --seeds must be at least 1")
    return args


def autoencoder(method: Method) -> Autoencoder:
    inputs = keras.Input((784,))
    hidden = layers.Dense(UNITS, activation="relu", name="hidden")(inputs)
    masked = ks.layers.AdversarialDropout(method.rate, budget=0.3)(hidden)
    model = Autoencoder(inputs, layers.Dense(784)(masked))
    model.compile(keras.optimizers.Adam(1e-3), "mse", perturbations=method.perturbations)
    return model


def activations(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return the hidden activations, (images, units)."""
    hidden = keras.Model(model.input, model.get_layer("hidden").output)
    return hidden.predict(x, batch_size=1000, verbose=0)


def measured(model: keras.Model, test_images: np.ndarray) -> dict[str, float]:
    """Return the error per pixel and the sparsity on the first test images."""
    values = activations(model, test_images[:TEST_IMAGES])
    return {
        "reconstruction_error": float(model.evaluate(test_images, test_images, verbose=0)),
        "mean_activation": float(values.mean()),
        "active": float((values > 0).mean()),
        "dead_units": float((values.max(axis=0) == 0).mean()),
    }


def show(results: dict[str, list[dict[str, Any]]]) -> None:
    """Print the mean of each measure over the seeds."""
    table = Table("autoencoder", *(measure.replace("_", " ") for measure in MEASURES))
    for name, done in results.items():
        means = [mean_interval([run[measure] for run in done]).describe(4) for measure in MEASURES]
        table.add_row(METHODS[name].title, *means)
    Console().print(table)


def draw_filters(models: dict[str, keras.Model], path: Path) -> None:
    """Draw the weights into hidden units, each filter in its own grey scale (Fig. 2)."""
    side = round(FILTERS_DRAWN**0.5)
    figure, axes = plt.subplots(1, len(models), figsize=(5 * len(models), 5.3))
    for axis, (title, model) in zip(axes, models.items(), strict=True):
        filters = model.get_layer("hidden").kernel.numpy()[:, :FILTERS_DRAWN]
        filters = filters - filters.min(axis=0)
        filters = (filters / filters.max(axis=0)).T.reshape(side, side, 28, 28)
        axis.imshow(filters.transpose(0, 2, 1, 3).reshape(28 * side, 28 * side), cmap="gray")
        axis.set_title(title)
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def draw_activations(models: dict[str, keras.Model], x: np.ndarray, path: Path) -> None:
    """Draw the histograms of activations, and of each unit's mean (Fig. 3)."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for title, model in models.items():
        values = activations(model, x)
        for axis, shown in zip(axes, (values.ravel(), values.mean(axis=0)), strict=True):
            axis.hist(shown, bins=40, histtype="step", log=True, label=title)
    axes[0].set(xlabel="activation", ylabel="count, logarithmic")
    axes[1].set(xlabel="mean activation of a unit")
    axes[1].legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


class Regression(NamedTuple):
    """Data x of shape (count, features), targets y, and the weights w of a linear model."""

    x: np.ndarray
    y: np.ndarray
    w: np.ndarray

    def loss(self, x: np.ndarray) -> float:
        """Return the squared error at other inputs."""
        return float(((self.y - x @ self.w) ** 2).sum())

    def gradient(self) -> np.ndarray:
        """Return the gradient of the loss for the inputs."""
        return -2 * (self.y - self.x @ self.w)[:, None] * self.w


class Expansion(NamedTuple):
    """A perturbed loss, and the plain one plus the penalties that it should equal."""

    perturbed: float
    plain: float
    l1: float
    l2: float


def adversarial_training(problem: Regression, delta: float) -> Expansion:
    """Expand the loss at inputs moved by the fast gradient sign method (Eqs. 12 and 13)."""
    gradient = problem.gradient()
    signs = np.sign(gradient)
    return Expansion(
        problem.loss(problem.x + delta * signs),
        problem.loss(problem.x),
        float(np.abs(delta * gradient).sum()),
        float(delta**2 * problem.w @ (signs.T @ signs) @ problem.w),
    )


def adversarial_dropout(problem: Regression, dropped: int) -> Expansion:
    """Expand the loss where up to `dropped` features of each row are dropped (Eqs. 15 and 16)."""
    jacobian = problem.x * problem.gradient()
    budget = dropped / problem.x.shape[1]
    mask = ks.ops.adversarial_mask(np.ones_like(jacobian), jacobian, budget)
    mask = keras.ops.convert_to_numpy(mask)
    removed = (1 - mask) * problem.x
    return Expansion(
        problem.loss(mask * problem.x),
        problem.loss(problem.x),
        float(np.abs(jacobian[mask == 0]).sum()),
        float(problem.w @ (removed.T @ removed) @ problem.w),
    )


def linear_problem(seed: int = 0) -> Regression:
    """Return 200 rows of 20 features, in float64."""
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(200, 20)), rng.normal(size=20)
    return Regression(x, x @ w + rng.normal(size=200), w + 0.3 * rng.normal(size=20))


def linear_regression(path: Path) -> dict[str, float]:
    """Compare both sides of the expansions, draw the penalties, and return the largest errors."""
    problem = linear_problem()
    cases = {
        "adversarial training": ("delta", np.linspace(0, 0.5, 11), adversarial_training),
        "adversarial dropout": ("features dropped", np.arange(11), adversarial_dropout),
    }
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    errors = {}
    for axis, (title, (label, strengths, expand)) in zip(axes, cases.items(), strict=True):
        found = [expand(problem, strength) for strength in strengths.tolist()]
        axis.plot(strengths, [each.perturbed for each in found], "k.", label="perturbed loss")
        parts = np.array([each[1:] for each in found]).T
        axis.stackplot(strengths, parts, labels=("plain loss", "L1 penalty", "L2 penalty"))
        axis.set(title=title, xlabel=label)
        sums = parts.sum(axis=0)
        errors[title] = max(
            abs(each.perturbed / total - 1) for each, total in zip(found, sums, strict=True)
        )
        print(f"linear regression, {title}: largest relative difference {errors[title]:.1e}")
    axes[0].legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return errors


if __name__ == "__main__":
    main()
