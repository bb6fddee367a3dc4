"""All heads and losses where classes are many: 100 of Tiny ImageNet, 964 characters of Omniglot.

    python examples/many_classes.py --dataset omniglot_964x28 --data-dir ~/datasets
    python examples/many_classes.py --dataset tiny_imagenet_100x32 --data-dir ~/datasets

Softmax is there from two starts, Keras's own and a kernel of zeros, which is the better one: the
others are compared with that. With one seed all methods start from the same network and see the
same images in the same order. Trains what is missing, so it can be interrupted and run again.
Prints each method's test error and its ratio to softmax, with 95 % intervals over the seeds, and
writes them, the negative log-likelihood and the expected calibration error as JSON, CSV and PNG.

Fewer classes and images of each: --classes 100 --images 4. Choices are made by --validation, which
holds a quarter of the training images of each class back to test on.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import center_loss
import data
import keras
import methods
import networks
import numpy as np
import report
from runs import Runs

import keras_softmaxes as ks

BATCH_SIZE = 128
BASELINE = "softmax_zeros"


@dataclass(frozen=True)
class Recipe:
    """How a dataset is learned.

    Attributes:
        network: leads from the images to the features.
        images: training images of each class; None is all.
        epochs: as many as it is trained for by default.
        optimizer: builds it, from the number of steps.
    """

    network: Callable[[keras.KerasTensor], keras.KerasTensor]
    images: int | None
    epochs: int
    optimizer: Callable[[int], keras.Optimizer]


def _sgd(steps: int) -> keras.Optimizer:
    return keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, steps), momentum=0.9)


def _adam(steps: int) -> keras.Optimizer:
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps))


RECIPES = {
    "omniglot_964x28": Recipe(networks.character_convnet, None, 20, _adam),
    "tiny_imagenet_100x32": Recipe(networks.batch_normalised_convnet, 100, 12, _sgd),
}


def _from_zeros(classes: int) -> keras.layers.Dense:
    return keras.layers.Dense(classes, kernel_initializer="zeros")


def _beside_large_margin(method: methods.Method) -> methods.Method:
    """Return the method with the large margin on its logits added to its loss."""

    def loss() -> keras.Loss:
        terms = [method.loss(), ks.losses.LargeMarginDivergence()]
        return ks.losses.WeightedSum(terms, [1.0, 0.3])

    return replace(method, title=f"{method.title} + large margin", loss=loss)


def _eleven_times() -> keras.Loss:
    """Return the loss of sparsemax at its temperature of 100 classes, for an optimizer like SGD."""
    return ks.losses.WeightedSum([ks.losses.SparsemaxLoss()], [11.0])


def _of_size(non_targets: int) -> methods.Method:
    """Return DropMax whose non-targets count as so many, by which its default was chosen."""
    loss = partial(ks.losses.DropMaxLoss, non_targets=non_targets)
    return replace(_dropmax, title=f"DropMax of {non_targets} non-targets", loss=loss)


def with_kernel(method: methods.Method, initializer: str) -> methods.Method:
    """Return the method from another start; that of zeros is the better one, which softmax has."""
    return replace(method, head=partial(method.head, kernel_initializer=initializer))


def _plain(title: str, loss: Callable[[], keras.Loss], **settings: Any) -> methods.Method:
    return methods.Method(title, _from_zeros, loss, **settings)


SIZES = (3, 9, 27, 81)
_softmax, _dropmax, _lsoftmax, _sparsemax = (
    methods.METHODS[each] for each in ("softmax", "dropmax", "lsoftmax", "sparsemax")
)
_gsoftmax = with_kernel(methods.METHODS["gsoftmax"], "zeros")
_margin = ks.losses.LargeMarginCrossentropy
METHODS = {
    "softmax": replace(_softmax, title="Softmax, Glorot kernel"),
    BASELINE: _plain("Softmax", _softmax.loss),
    "dropmax": _dropmax,
    "dropmax_large_margin": _beside_large_margin(_dropmax),
    **{f"dropmax_{size}": _of_size(size) for size in SIZES},
    **{f"dropmax_{size}_large_margin": _beside_large_margin(_of_size(size)) for size in SIZES},
    "large_margin": _plain("Large margin 0.3", _margin),
    "lsoftmax": _lsoftmax,
    "lsoftmax_large_margin": _beside_large_margin(_lsoftmax),
    "modified_large_margin": _plain("Modified + large margin", partial(_margin, bias=1.0)),
    "gsoftmax": _gsoftmax,
    "gsoftmax_large_margin": replace(_gsoftmax, title="G-softmax + large margin", loss=_margin),
    "center_loss": methods.Method("Center loss", center_loss.CenterHead, center_loss.CenterLoss),
    "super_symmetric": with_kernel(methods.METHODS["super_symmetric"], "zeros"),
    "sparsemax": replace(_sparsemax, head=ks.layers.Sparsemax),
    "sparsemax_11": replace(
        _sparsemax,
        title="Sparsemax, 11 times the loss",
        head=ks.layers.Sparsemax,
        loss=_eleven_times,
    ),
    "sparsemax_unscaled": replace(_sparsemax, title="Sparsemax, temperature 1", head=_from_zeros),
    **{
        f"smoothing_{rate:g}": _plain(
            f"Label smoothing {rate:g}", partial(_margin, weight=0.0, label_smoothing=rate)
        )
        for rate in (0.01, 0.05, 0.1, 0.3)
    },
    **{
        name: methods.METHODS[name]
        for name in (
            "dropmax_prior",
            "attention",
            "deterministic_dropmax",
            "class_sampling",
            "class_dropout",
            "gaussian_mixture",
        )
    },
}


def main() -> None:
    compare(parse_arguments())


def compare(args: argparse.Namespace) -> report.Results:
    """Do the runs that are missing, write what came out, and return all runs."""
    images = chosen(data.load(args.dataset, args.data_dir), args)
    settings = {
        "dataset": args.dataset,
        "classes": images.classes,
        "train_size": len(images.y_train),
        "test_size": len(images.y_test),
        "validation": args.validation,
        "epochs": args.epochs,
        "batch_size": BATCH_SIZE,
    }
    name = (
        f"{args.dataset}-{images.classes}-{args.images or 'all'}{'-validation' * args.validation}"
    )
    runs = Runs(args.out or f"results/many_classes/{name}", settings)

    def train(method: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        recipe = RECIPES[args.dataset]
        model, losses = trained(METHODS[method], recipe, images, args.epochs, callbacks)
        served = methods.serving(model, METHODS[method].activation)
        return {**judged(served, images), "losses": losses}

    results = runs.complete(args.methods, list(range(args.seeds)), args.epochs, train)
    title = (
        f"{args.dataset}: {images.classes} classes, {len(images.y_train):,} training images, "
        f"{report.counted(args.epochs, 'epoch')}"
    )
    titles = {method: METHODS[method].title for method in results}
    measured = ["test_error", "negative_log_likelihood", "calibration_error"]
    report.write(results, settings, title, runs.folder, titles, BASELINE, measured)
    return results


def trained(
    method: methods.Method,
    recipe: Recipe,
    images: data.Images,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
) -> tuple[keras.Model, list[float]]:
    """Return a model that a method has trained by a recipe, and its losses."""
    model = methods.build(method, recipe.network, images.x_train.shape[1:], images.classes)
    steps = math.ceil(len(images.y_train) / BATCH_SIZE) * epochs
    method.compile(model, recipe.optimizer(steps))
    history = model.fit(
        images.x_train,
        images.y_train,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=callbacks,
        verbose=0,
    ).history
    return model, history["loss"]


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments, or those that are given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=RECIPES, default="omniglot_964x28")
    parser.add_argument("--data-dir", help="TFDS's folder")
    parser.add_argument("--classes", type=int, help="the first so many classes; all by default")
    parser.add_argument(
        "--images", type=int, help="training images a class; the recipe's by default"
    )
    parser.add_argument("--epochs", type=int, help="the recipe's by default")
    parser.add_argument("--seeds", type=int, default=5, help="the number of seeds")
    parser.add_argument(
        "--validation", action="store_true", help="test on held-back training images"
    )
    names = list(METHODS)
    help = f"some of {', '.join(names)}; all of them by default"
    parser.add_argument(
        "--methods", nargs="+", choices=names, default=names, metavar="METHOD", help=help
    )
    parser.add_argument("--out", help="folder of the results; finished runs in it are kept")
    args = parser.parse_args(given)
    recipe = RECIPES[args.dataset]
    args.epochs = recipe.epochs if args.epochs is None else args.epochs
    args.images = recipe.images if args.images is None else args.images
    for argument, least in (("classes", 2), ("images", 1), ("seeds", 1), ("epochs", 1)):
        value = getattr(args, argument)
        if value is not None and value < least:
            parser.error(f"--{argument} must be at least {least}, got {value}")
    return args


def chosen(images: data.Images, args: argparse.Namespace) -> data.Images:
    """Return the classes and images that are asked for."""
    x, y, x_test, y_test = images.x_train, images.y_train, images.x_test, images.y_test
    place = data.position_in_class(y)
    if args.validation:
        held = place >= 3 * np.bincount(y)[y] // 4
        x, y, x_test, y_test, place = x[~held], y[~held], x[held], y[held], place[~held]
    kept = y < (args.classes or images.classes)
    kept &= place < (args.images or len(y))
    tested = y_test <= y[kept].max()
    return data.Images(x[kept], y[kept], x_test[tested], y_test[tested])


def judged(model: keras.Model, images: data.Images) -> dict[str, float]:
    """Return the test error in per cent, and what the probabilities are worth."""
    probabilities = model.predict(images.x_test, batch_size=1000, verbose=0)
    calibration_error = ks.metrics.CalibrationError()
    calibration_error.update_state(images.y_test, probabilities)
    target = np.take_along_axis(probabilities, images.y_test[:, None].astype(int), axis=1)
    return {
        "test_error": methods.error_of(probabilities, images),
        "negative_log_likelihood": float(-np.log(np.maximum(target, 1e-30)).mean()),
        "calibration_error": float(calibration_error.result()),
    }


if __name__ == "__main__":
    main()
