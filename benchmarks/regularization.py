"""What a training step costs with the layers that regularise weights, as a ratio to plain Keras.

    python benchmarks/regularization.py

512 features to 1,000 classes, batches of 100; a plain `Dense` is 1. The steps are measured in turns
in one run. Prints the median and the middle half of the ratios, and the step's time for
orientation; writes benchmarks/results/regularization.json.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import keras

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples"))

import training_step  # noqa: E402
import turns  # noqa: E402
from runs import write_json  # noqa: E402

import keras_softmaxes as ks  # noqa: E402

FEATURES, CLASSES, BASELINE = 512, 1000, "Dense"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=60)
    args = parser.parse_args()
    layers = {
        BASELINE: _dense(),
        "Dense with Keras's L2": _dense(kernel_regularizer=keras.regularizers.L2(1e-4)),
        "WeightNoise": ks.layers.WeightNoise(_dense(), 0.01),
        "NormConstraint": ks.layers.NormConstraint(_dense(), limit=10.0),
    }
    pairs = {
        "two Dense": lambda inputs: [_dense()(inputs), _dense()(inputs)],
        "ParameterTying": lambda inputs: ks.layers.ParameterTying(_dense(), _dense(), 0.01)(
            [inputs, inputs]
        ),
    }
    title = f"{FEATURES} to {CLASSES:,}"
    results = {
        title: turns.measure(
            {name: _runner(layer) for name, layer in layers.items()}, BASELINE, args.turns, title
        ),
        f"{title}, twice": turns.measure(
            {
                name: _runner(lambda inputs, pair=pair: keras.layers.add(pair(inputs)))
                for name, pair in pairs.items()
            },
            "two Dense",
            args.turns,
            f"{title}, twice",
        ),
    }
    turns.show(results, "step", "plain Keras")
    write_json(HERE / "results" / "regularization.json", turns.report(vars(args), results))


def _dense(**arguments: keras.Regularizer) -> keras.layers.Dense:
    return keras.layers.Dense(CLASSES, **arguments)


def _runner(outputs: Callable[[keras.KerasTensor], keras.KerasTensor]) -> Callable[[], float]:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((FEATURES,))
    model = keras.Model(inputs, outputs(inputs))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return training_step.runner(model, (FEATURES,), CLASSES)


if __name__ == "__main__":
    main()
