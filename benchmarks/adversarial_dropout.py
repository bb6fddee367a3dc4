"""What a training step costs with each perturbation, as a ratio to plain Keras.

    python benchmarks/adversarial_dropout.py

The same network with `keras.layers.Dropout` in the place of the cut is 1. The steps are measured in
turns in one run. Prints the median and the middle half of the ratios, and the step's time for
orientation; writes benchmarks/results/adversarial_dropout.json.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
from keras import layers

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples"))

import networks  # noqa: E402
import training_step  # noqa: E402
import turns  # noqa: E402
from runs import write_json  # noqa: E402

import keras_softmaxes as ks  # noqa: E402

SHAPE, CLASSES, BASELINE = (28, 28, 1), 10, "Dropout"
PERTURBATIONS: dict[str, Callable[[], list[ks.perturbations.Perturbation]]] = {
    "SAdD": lambda: [ks.perturbations.SupervisedAdversarialDropout()],
    "VAdD (KL)": lambda: [ks.perturbations.VirtualAdversarialDropout()],
    "VAdD (quadratic)": lambda: [ks.perturbations.VirtualAdversarialDropout(25.0, "quadratic")],
    "Pi-model": lambda: [ks.perturbations.PiModel()],
    "FGSM": lambda: [ks.perturbations.AdversarialTraining(0.25)],
    "VAT": lambda: [ks.perturbations.VirtualAdversarialTraining(2.0)],
    "VAdD + VAT": lambda: [
        ks.perturbations.VirtualAdversarialDropout(),
        ks.perturbations.VirtualAdversarialTraining(2.0),
    ],
}


class CutModel(ks.models.PerturbationMixin, keras.Model):
    """A model that trains with perturbations."""


class Problem(NamedTuple):
    """A network on both sides of its cut."""

    below: Callable[[keras.KerasTensor], keras.KerasTensor]
    above: Callable[[keras.KerasTensor], keras.KerasTensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=60)
    args = parser.parse_args()
    cases = {
        "two convolutions, cut at 128 features": Problem(networks.small_convnet, _logits),
        "three convolutions, cut at 2,048 features": Problem(networks.mnist_convnet, _two_layers),
    }
    results = {
        case: turns.measure(_steppers(problem), BASELINE, args.turns, case)
        for case, problem in cases.items()
    }
    turns.show(results, "step", BASELINE)
    write_json(HERE / "results" / "adversarial_dropout.json", turns.report(vars(args), results))


def _logits(features: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Dense(CLASSES)(features)


def _two_layers(features: keras.KerasTensor) -> keras.KerasTensor:
    return _logits(layers.Dense(625, activation="relu")(features))


def _steppers(problem: Problem) -> dict[str, Callable[[], float]]:
    plain = _model(problem, keras.Model, layers.Dropout(0.5))
    plain.compile("adam", loss=_loss())
    steppers = {BASELINE: training_step.runner(plain, SHAPE, CLASSES)}
    for name, perturbations in PERTURBATIONS.items():
        model = _model(problem, CutModel, ks.layers.AdversarialDropout(0.5, budget=0.05))
        model.compile("adam", loss=_loss(), perturbations=perturbations())
        steppers[name] = training_step.runner(model, SHAPE, CLASSES)
    return steppers


def _model(problem: Problem, kind: type[keras.Model], cut: layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    return kind(inputs, problem.above(cut(problem.below(inputs))))


def _loss() -> keras.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


if __name__ == "__main__":
    main()
