"""The main job: every method against softmax, with the same network, data and seeds.

    python examples/compare.py
    python examples/compare.py --dataset mnist --train-size 1000 --epochs 60 --data-dir ~/datasets

Trains what is missing, so it can be interrupted and run again. Prints each method's test error with
its 95 % interval over the seeds and the ratio to softmax; writes results.json, results.csv and
results.png; exports the best method as a SavedModel and checks it in a fresh Python process that
cannot import keras_softmaxes.
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import data
import keras
import methods
import networks
import numpy as np
import report
import tensorflow as tf
from runs import Runs, write_json

BATCH_SIZE = 64
LEARNING_RATE = 1e-3
SERVED_IMAGES = 100

SERVE = """
import sys
sys.modules["keras_softmaxes"] = None  # importing it is now an error
import numpy as np, tensorflow as tf
folder = sys.argv[1]
artifact = tf.saved_model.load(folder + "/served")
probabilities = artifact.serve(np.load(folder + "/images.npy"))
np.save(folder + "/probabilities.npy", probabilities.numpy())
"""


def main() -> None:
    args = parse_arguments()
    strategy = replicated(args.replicas)
    images = data.load(args.dataset, args.data_dir)
    if args.train_size is not None:
        images = data.balanced(images, args.train_size)
    settings = {
        "dataset": args.dataset,
        "train_size": len(images.y_train),
        "test_size": len(images.y_test),
        "epochs": args.epochs,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "replicas": args.replicas,
    }
    name = f"{args.dataset}-{len(images.y_train)}"
    runs = Runs(args.out or f"results/compare/{name}", settings)

    def train(method: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        with strategy.scope():
            model = compiled_model(methods.METHODS[method], images, args.epochs)
        model.fit(
            images.x_train,
            images.y_train,
            batch_size=BATCH_SIZE,
            epochs=args.epochs,
            callbacks=callbacks,
            verbose=0,
        )
        model.save(runs.model_path(method, seed))
        return {"test_error": methods.test_error(model, images)}

    results = runs.complete(args.methods, list(range(args.seeds)), args.epochs, train)
    title = "{dataset}: {train_size} training, {test_size} test images, ".format(**settings)
    title += report.counted(args.epochs, "epoch")
    means = report.write(results, settings, title, runs.folder)
    best = min(means, key=means.get)
    model = keras.saving.load_model(runs.model_path(best, 0))
    serve(methods.serving(model, methods.METHODS[best].activation), best, images, runs.folder)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=data.DATASETS, default="digits")
    parser.add_argument("--data-dir", help="TFDS's folder, for all but digits")
    parser.add_argument("--train-size", type=int, help="training images; all of them by default")
    parser.add_argument("--seeds", type=int, default=5, help="the number of seeds")
    parser.add_argument("--epochs", type=int, default=60, help="training epochs of each run")
    names = list(methods.METHODS)
    help = f"some of {', '.join(names)}; all of them by default"
    parser.add_argument(
        "--methods", nargs="+", choices=names, default=names, metavar="METHOD", help=help
    )
    parser.add_argument("--replicas", type=int, default=1, help="train on so many CPU replicas")
    parser.add_argument("--out", help="folder of the results")
    args = parser.parse_args()
    for argument in ("train_size", "seeds", "epochs", "replicas"):
        value = getattr(args, argument)
        if value is not None and value < 1:
            parser.error(f"--{argument.replace('_', '-')} must be at least 1, got {value}")
    return args


def replicated(replicas: int) -> tf.distribute.Strategy:
    """Return the strategy of all runs, which makes as many devices of the processor as replicas.

    One strategy serves all runs: those of a second one would collide with the first one's.
    """
    if replicas == 1:
        return tf.distribute.get_strategy()
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration() for _ in range(replicas)],
    )
    return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(replicas)])


def compiled_model(method: methods.Method, images: data.Images, epochs: int) -> keras.Model:
    shape = images.x_train.shape[1:]
    model = methods.build(method, networks.small_convnet, shape, images.classes)
    steps = math.ceil(len(images.y_train) / BATCH_SIZE) * epochs
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    method.compile(model, keras.optimizers.Adam(schedule))
    return model


def serve(model: keras.Model, method: str, images: data.Images, folder: Path) -> None:
    """Export the model, run it where the package cannot be imported, and compare."""
    sample = images.x_test[:SERVED_IMAGES]
    model.export(folder / "served", verbose=False)
    np.save(folder / "images.npy", sample)
    server = [sys.executable, "-c", SERVE, str(folder)]
    completed = subprocess.run(server, capture_output=True, text=True)
    if completed.returncode:
        raise SystemExit(f"serving failed:\n{completed.stderr}")
    served = np.load(folder / "probabilities.npy")
    difference = float(np.abs(served - model.predict(sample, verbose=0)).max())
    result = {"method": method, "images": len(sample), "largest_difference": difference}
    write_json(folder / "served.json", result)
    print(f"best: {methods.METHODS[method].title}, exported to {folder / 'served'}")
    print(f"served without keras_softmaxes: largest difference {difference:.1e}")
    if difference > 1e-5:
        raise SystemExit(f"the served probabilities differ: {json.dumps(result)}")


if __name__ == "__main__":
    main()
