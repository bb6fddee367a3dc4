"""Adversarial dropout on MNIST with few labels, with its rivals.

    python examples/adversarial_dropout_mnist.py --data-dir ~/datasets

1,000 labelled images, 100 of each class drawn anew for each seed; in the semi-supervised methods
the other 59,000 come without their labels. The network of the paper, with the cut at its 2,048
features; Adam at 1e-3; weights that ramp up over 30 % of the steps; the last model tested on all
10,000 test images. A step of a semi-supervised method has 32 labelled and 96 unlabelled rows.
"Plain" learns from the same 32 labelled rows, and "supervised" methods from 128.

Trains what is missing, so it can be interrupted and run again. Prints each method's test error and
its ratio to plain, with 95 % intervals over the seeds, and how often the loss under SAdD's mask is
at least that under the random one; writes them as JSON, CSV and PNG.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import data
import keras
import methods
import networks
import numpy as np
import report
import tensorflow as tf
from runs import Runs
from sklearn.model_selection import train_test_split

import keras_softmaxes as ks

STEPS_A_REPORT = 100
BASELINE = "plain"


@keras.saving.register_keras_serializable("adversarial_dropout_mnist")
class CutModel(ks.models.PerturbationMixin, keras.Model):
    """A model that trains with perturbations."""


@keras.saving.register_keras_serializable("adversarial_dropout_mnist")
class Entropy(ks.perturbations.Perturbation):
    """Entropy minimisation, which the paper's text does not mention and its code always adds.

    L = - sum_k p_k log p_k, the mean over all rows
    """

    def term(self, step: ks.perturbations.Step) -> keras.KerasTensor:
        """Return the mean entropy of the clean pass's predictions."""
        log_probabilities = step.log_probabilities(step.outputs)
        entropy = -keras.ops.exp(log_probabilities) * log_probabilities
        return step.mean(keras.ops.sum(entropy, axis=-1))


@dataclass(frozen=True)
class Method:
    """What is added to the loss, and which data it sees.

    Attributes:
        title: what plots and tables call it.
        perturbations: builds the perturbations from the number of steps.
        labelled: labelled rows a step.
        unlabelled: unlabelled rows a step.
    """

    title: str
    perturbations: Callable[[int], list[ks.perturbations.Perturbation]]
    labelled: int = 32
    unlabelled: int = 96


def ramp(steps: int, maximum: float = 1.0) -> ks.schedules.GaussianRampUp:
    return ks.schedules.GaussianRampUp(maximum, max(1, round(0.3 * steps)))


def vadd(steps: int) -> list[ks.perturbations.Perturbation]:
    return [ks.perturbations.VirtualAdversarialDropout(ramp(steps))]


def entropy(steps: int) -> list[ks.perturbations.Perturbation]:
    return [Entropy(ramp(steps), name="entropy")]


def vat(steps: int) -> list[ks.perturbations.Perturbation]:
    return [ks.perturbations.VirtualAdversarialTraining(2.0, ramp(steps))]


METHODS = {
    "plain": Method("Plain", lambda steps: [], unlabelled=0),
    "pi": Method("Pi-model", lambda steps: [ks.perturbations.PiModel(ramp(steps), "kl")]),
    "vat": Method("VAT", vat),
    "vadd": Method("VAdD (KL)", vadd),
    "vadd_vat": Method("VAdD (KL) + VAT", lambda steps: vadd(steps) + vat(steps)),
    "entropy": Method("Entropy minimisation", entropy),
    "vadd_entropy": Method(
        "VAdD (KL) + entropy, as released", lambda steps: vadd(steps) + entropy(steps)
    ),
    "temporal": Method(
        "Temporal ensembling",
        lambda steps: [ks.perturbations.TemporalEnsembling(ramp(steps, 3.0), examples=60_000)],
    ),
    "vadd_qe": Method(
        "VAdD (quadratic)",
        lambda steps: [ks.perturbations.VirtualAdversarialDropout(ramp(steps, 25.0), "quadratic")],
    ),
    "supervised": Method("Plain, supervised", lambda steps: [], labelled=128, unlabelled=0),
    "sadd": Method(
        "SAdD, supervised",
        lambda steps: [ks.perturbations.SupervisedAdversarialDropout(ramp(steps))],
        labelled=128,
        unlabelled=0,
    ),
    "vadd_supervised": Method("VAdD (KL), supervised", vadd, labelled=128, unlabelled=0),
}


def main() -> None:
    args = parse_arguments()
    images = data.load("mnist", args.data_dir)
    settings = {"dataset": "mnist", "labels": args.labels, "steps": args.steps}
    runs = Runs(args.out or f"results/adversarial_dropout_mnist/{args.labels}", settings)
    reports = args.steps // STEPS_A_REPORT

    def train(name: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        method = METHODS[name]
        model = compiled_model(method.perturbations(args.steps))
        model.fit(
            batches(images, method, args.labels, seed).repeat(),
            steps_per_epoch=STEPS_A_REPORT,
            epochs=reports,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )
        return {
            "test_error": methods.test_error(model, images),
            "adversarial_wins": adversarial_wins(model, images),
        }

    results = runs.complete(args.methods, list(range(args.seeds)), reports, train)
    title = f"MNIST, {args.labels:,} labels, {args.steps:,} steps"
    titles = {name: METHODS[name].title for name in results}
    report.write(results, settings, title, runs.folder, titles, BASELINE)
    for name, done in results.items():
        share = np.mean([run["adversarial_wins"] for run in done])
        print(f"{titles[name]}: the loss under SAdD's mask is the larger on {share:.0%} of batches")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=1000, help="labelled images, 1000 by default")
    parser.add_argument("--steps", type=int, default=5000, help="5000 by default, in hundreds")
    parser.add_argument("--seeds", type=int, default=3, help="the number of seeds, 3 by default")
    names = list(METHODS)
    help = f"some of {', '.join(names)}; all of them by default"
    parser.add_argument(
        "--methods", nargs="+", choices=names, default=names, metavar="METHOD", help=help
    )
    parser.add_argument("--data-dir", help="folder of TFDS's prepared datasets")
    parser.add_argument("--out", help="folder of the results; finished runs in it are kept")
    args = parser.parse_args()
    if args.steps < STEPS_A_REPORT or args.steps % STEPS_A_REPORT or args.seeds < 1:
        parser.error(f"--steps must be a multiple of {STEPS_A_REPORT}, and --seeds at least 1")
    return args


def compiled_model(perturbations: list[ks.perturbations.Perturbation]) -> CutModel:
    inputs = keras.Input((28, 28, 1))
    x = networks.mnist_convnet(inputs)
    x = ks.layers.AdversarialDropout(rate=0.5, budget=0.005, name="cut")(x)
    x = keras.layers.Dense(625, activation="relu")(x)
    model = CutModel(inputs, keras.layers.Dense(10)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, perturbations=perturbations)
    return model


def batches(images: data.Images, method: Method, labels: int, seed: int) -> tf.data.Dataset:
    """Return the batches a method learns from, the labelled images drawn by the seed."""
    known, others = split(images, labels, seed)
    labelled = images.x_train[known], images.y_train[known]
    if method.unlabelled == 0:
        rows = tf.data.Dataset.from_tensor_slices(labelled)
        return rows.shuffle(labels).repeat().batch(method.labelled)
    return ks.datasets.semi_supervised(
        labelled, images.x_train[others], method.labelled, method.unlabelled, indexed=True
    )


def split(images: data.Images, labels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw which training images keep their label, as many of each class."""
    positions = np.arange(len(images.y_train))
    return train_test_split(
        positions, train_size=labels, random_state=seed, stratify=images.y_train
    )


def adversarial_wins(
    model: CutModel, images: data.Images, size: int = 128, count: int = 50
) -> float:
    """Return on which share of test batches the loss is no lower under SAdD's mask."""

    @tf.function
    def losses(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        step = model.clean_pass(x, y)
        mask = step.adversarial_mask(step.summed_loss)
        return step.supervised_loss(step.outputs), step.supervised_loss(step.outputs_under(mask))

    end = min(count * size, len(images.y_test))
    rows = [slice(start, start + size) for start in range(0, end, size)]
    pairs = np.array([losses(images.x_test[each], images.y_test[each]) for each in rows])
    return float(np.mean(pairs[:, 1] >= pairs[:, 0]))


if __name__ == "__main__":
    main()
