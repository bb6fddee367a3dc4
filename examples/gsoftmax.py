"""G-softmax with one label an example, against softmax and L-softmax.

    python examples/gsoftmax.py --dataset fashion_mnist --data-dir ~/datasets

A convolutional network (`networks.small_convnet`), the first images of each class, Adam with a
cosine schedule from 1e-3, batches of 64. Trains what is missing, so it can be interrupted and run
again. Prints each method's test error and its ratio to softmax, with 95 % intervals over the seeds;
writes results.json, results.csv and results.png, and of the first seed's models on the test images
the plots of the paper: prediction against feature (Fig. 3), the Gaussians of the classes (Fig. 5),
compactness, separability and their ratio (Fig. 6).
"""

import argparse
from typing import Any

import data
import gsoftmax_plots
import keras
import methods
import networks
import numpy as np
import report
import separability
from runs import Runs

import keras_softmaxes as ks

BATCH_SIZE = 64
LEARNING_RATE = 1e-3
METHODS = ("softmax", "lsoftmax", "gsoftmax")


def main() -> None:
    args = parse_arguments()
    images = data.balanced(data.load(args.dataset, args.data_dir), args.train_size)
    settings = {"dataset": args.dataset, "train_size": args.train_size, "epochs": args.epochs}
    runs = Runs(args.out or f"results/gsoftmax/{args.dataset}-{args.train_size}", settings)

    def train(name: str, seed: int, callbacks: list[keras.callbacks.Callback]) -> dict[str, Any]:
        model = compiled_model(methods.METHODS[name], images, args.epochs)
        model.fit(
            images.x_train,
            images.y_train,
            batch_size=BATCH_SIZE,
            epochs=args.epochs,
            verbose=0,
            callbacks=callbacks,
        )
        model.save(runs.model_path(name, seed))
        present = np.eye(images.classes)[images.y_test]
        gaussians = measured(class_logits(model, images.x_test), present)
        return {"test_error": methods.test_error(model, images), **gaussians}

    results = runs.complete(list(METHODS), list(range(args.seeds)), args.epochs, train)
    title = f"{args.dataset}, {args.train_size:,} images, {report.counted(args.epochs, 'epoch')}"
    report.write(results, settings, title, runs.folder)
    models = {name: keras.saving.load_model(runs.model_path(name, 0)) for name in METHODS}
    logits = {name: class_logits(model, images.x_test) for name, model in models.items()}
    predicted = {
        name: methods.serving(model).predict(images.x_test, batch_size=1000, verbose=0)
        for name, model in models.items()
    }
    of_class = images.y_test == args.label
    gsoftmax_plots.predictions(logits, predicted, of_class, args.label, runs.folder)
    gsoftmax_plots.gaussians(results, args.label, runs.folder)
    gsoftmax_plots.measures(results, title, runs.folder)
    print(f"tables and plots in {runs.folder}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=data.FILE_ORDERED, default="fashion_mnist")
    parser.add_argument("--train-size", type=int, default=5000, help="5000 by default")
    parser.add_argument("--epochs", type=int, default=20, help="20 by default")
    parser.add_argument("--seeds", type=int, default=5, help="the number of seeds, 5 by default")
    parser.add_argument("--label", type=int, default=0, help="the class that two plots are of")
    parser.add_argument("--data-dir", help="folder of TFDS's prepared datasets")
    parser.add_argument("--out", help="folder of the results; finished runs in it are kept")
    args = parser.parse_args()
    if args.epochs < 1 or args.seeds < 1 or not 0 <= args.label < 10:
        parser.error("--epochs and --seeds must be at least 1, and --label between 0 and 9")
    return args


def compiled_model(method: methods.Method, images: data.Images, epochs: int) -> keras.Model:
    model = methods.build(
        method,
        networks.small_convnet,
        images.x_train.shape[1:],
        images.classes,
        kernel_initializer="glorot_uniform",  # of all methods alike
    )
    steps = -(-len(images.y_train) // BATCH_SIZE) * epochs
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    method.compile(model, keras.optimizers.Adam(rate))
    return model


def class_logits(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return the paper's features x: what goes into the softmax, or into the Gaussian term."""
    if isinstance(model, ks.models.Classifier):
        network, head = model.network, lambda features: model.head(features)["logits"]
    else:
        *_, head = model.layers
        network = keras.Model(model.input, head.input)
        if isinstance(head, keras.Sequential):  # `Dense`, then `GSoftmax`
            head = head.layers[0]
    features = network.predict(x, batch_size=1000, verbose=0)
    return keras.ops.convert_to_numpy(head(features))


def measured(logits: np.ndarray, present: np.ndarray) -> dict[str, Any]:
    """Return the Gaussian of each class's own logit, and Eqs. 18 to 20.

    Args:
        logits: (examples, classes).
        present: (examples, classes), of zeros and ones.
    """
    mean, stddev = separability.class_gaussians(logits, present)
    values = separability.measures(mean, stddev)
    return {
        "mean": mean.tolist(),
        "stddev": stddev.tolist(),
        **{name: value.tolist() for name, value in values.items()},
    }


if __name__ == "__main__":
    main()
