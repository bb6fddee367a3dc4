"""The lecture's claims on regularisation, shown on small problems and checked.

    python examples/regularization_tour.py

- L2 rescales the solution along the axes of the Hessian by lambda / (lambda + alpha).
- L1 thresholds it softly, by alpha / lambda.
- Early stopping after tau steps of size eps is L2 with alpha = 1 / (eps tau), for small steps and
  small eigenvalues.
- Noise of variance eta on the weights of linear regression adds eta E ||x||^2 to the loss.
- Weight scaling is the geometric mean over all dropout masks, for softmax regression.

Each claim is trained with Keras and compared with its closed form; draws a plot of each and writes
the largest differences as JSON.
"""

import argparse
import itertools
from pathlib import Path
from typing import NamedTuple

import keras
import matplotlib as mpl
import numpy as np
from keras import layers
from matplotlib import pyplot as plt
from rich.progress import track
from runs import versions, write_json
from scipy.special import logsumexp, softmax

import keras_softmaxes as ks

EIGENVALUES = np.array([0.02, 0.1, 0.5, 1.0])
SOLUTION = np.array([1.0, -0.8, 0.6, 1.2])


class Claim(NamedTuple):
    """What was measured, and what the lecture says, at values of one quantity.

    Attributes:
        quantity: what varies.
        values: its values, (count,).
        measured: (count, ...).
        predicted: of the same shape.
    """

    quantity: str
    values: np.ndarray
    measured: np.ndarray
    predicted: np.ndarray

    @property
    def difference(self) -> float:
        """The largest difference between what was measured and what was predicted."""
        return float(np.abs(self.measured - self.predicted).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="results/regularization", help="folder of the results")
    folder = Path(parser.parse_args().out)
    folder.mkdir(parents=True, exist_ok=True)
    mpl.use("Agg")
    keras.utils.set_random_seed(0)
    differences = {}
    for name, show in track(CLAIMS.items(), "claims"):
        claim = show()
        differences[name] = claim.difference
        draw(claim, name, folder / f"{name.lower().replace(' ', '_')}.png")
    write_json(folder / "results.json", {"versions": versions(), "differences": differences})
    for name, difference in differences.items():
        print(f"{name}: largest difference from the lecture's formula {difference:.1e}")


def quadratic(penalty: keras.Regularizer | None, steps: int, rate: float = 0.5) -> np.ndarray:
    """Minimise 1/2 (w - w*)' diag(EIGENVALUES) (w - w*) + penalty from 0, and return w.

    As linear regression with one row for each axis, x_i = sqrt(lambda_i) e_i, y_i = x_i' w*.
    """
    x = np.diag(np.sqrt(EIGENVALUES)).astype("float32")
    dense = layers.Dense(1, use_bias=False, kernel_initializer="zeros", kernel_regularizer=penalty)
    model = keras.Sequential([keras.Input((4,)), dense])
    squares = keras.losses.MeanSquaredError(reduction="sum")
    model.compile(
        keras.optimizers.SGD(rate), squares, loss_weights=[0.5], steps_per_execution=min(steps, 100)
    )
    targets = (x @ SOLUTION).astype("float32")[:, None]
    rows, goals = np.tile(x, (steps, 1)), np.tile(targets, (steps, 1))
    model.fit(rows, goals, batch_size=4, shuffle=False, verbose=0)
    return keras.ops.convert_to_numpy(dense.kernel)[:, 0]


def l2() -> Claim:
    """Compare the minimum under an L2 penalty with lambda / (lambda + alpha) w*."""
    alphas = np.array([0.05, 0.2, 1.0])
    measured = [quadratic(keras.regularizers.L2(float(alpha) / 2), 400) for alpha in alphas]
    predicted = [EIGENVALUES / (EIGENVALUES + alpha) * SOLUTION for alpha in alphas]
    return Claim("alpha", alphas, np.array(measured), np.array(predicted))


def l1() -> Claim:
    """Compare the minimum under an L1 penalty with the soft threshold alpha / lambda."""
    alphas = np.array([0.01, 0.05, 0.3])
    measured = [quadratic(keras.regularizers.L1(float(alpha)), 4000, rate=0.1) for alpha in alphas]
    predicted = [
        np.sign(SOLUTION) * np.maximum(np.abs(SOLUTION) - alpha / EIGENVALUES, 0)
        for alpha in alphas
    ]
    return Claim("alpha", alphas, np.array(measured), np.array(predicted))


def early_stopping() -> Claim:
    """Compare training stopped after tau steps with L2 of alpha = 1 / (eps tau).

    They agree where a = eps lambda tau is small, as it is here, at most 0.05. Where it is not they
    part, as 1 - (1 - eps lambda)^tau does from a / (1 + a), which the plot does not show.
    """
    rate, steps = 0.005, np.array([1, 3, 10])
    stopped = np.array([quadratic(None, int(each), rate) for each in steps])
    alphas = 1 / (rate * steps)
    decayed = [EIGENVALUES / (EIGENVALUES + alpha) * SOLUTION for alpha in alphas]
    return Claim("steps", steps, stopped, np.array(decayed))


def weight_noise() -> Claim:
    """Compare the mean loss under weight noise with the clean loss plus eta E ||x||^2."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 3)).astype("float32"), rng.normal(size=400)
    dense = layers.Dense(1, use_bias=False)
    deviations = np.array([0.1, 0.2, 0.4])
    measured, predicted = [], []
    for deviation in deviations:
        noisy = ks.layers.WeightNoise(dense, float(deviation))
        clean = keras.ops.convert_to_numpy(noisy(x))[:, 0]
        draws = [
            np.mean((keras.ops.convert_to_numpy(noisy(x, training=True))[:, 0] - y) ** 2)
            for _ in range(1000)
        ]
        measured.append(np.mean(draws))
        penalty = deviation**2 * np.mean((x**2).sum(axis=1))
        predicted.append(np.mean((clean - y) ** 2) + penalty)
    return Claim("deviation of the noise", deviations, np.array(measured), np.array(predicted))


def weight_scaling() -> Claim:
    """Compare weight scaling with the geometric mean over all 2^n masks, n up to 10."""
    sizes = np.array([2, 6, 10])
    rng = np.random.default_rng(0)
    measured, predicted = [], []
    for size in sizes:
        sequence = [keras.Input((int(size),)), layers.Dropout(0.5)]
        last = layers.Dense(3, activation="softmax", bias_initializer="random_normal")
        model = keras.Sequential([*sequence, last])
        x = rng.normal(size=(1, size)).astype("float32")
        measured.append(ks.models.dropout_ensemble(model, x, "weight_scaling")["mean"][0])
        kernel, bias = model.get_weights()
        masks = np.array(list(itertools.product([0, 2], repeat=int(size))))
        logits = (masks * x) @ kernel.astype("float64") + bias
        log_probabilities = logits - logsumexp(logits, axis=1, keepdims=True)
        predicted.append(softmax(log_probabilities.mean(axis=0)))
    return Claim("inputs", sizes, np.array(measured), np.array(predicted))


CLAIMS = {
    "L2": l2,
    "L1": l1,
    "Early stopping": early_stopping,
    "Weight noise": weight_noise,
    "Weight scaling": weight_scaling,
}


def draw(claim: Claim, title: str, path: Path) -> None:
    """Draw what was measured over what was predicted."""
    figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
    both = np.concatenate([claim.measured.ravel(), claim.predicted.ravel()])
    axes.plot([both.min(), both.max()], [both.min(), both.max()], color="0.7", zorder=0)
    for value, measured, predicted in zip(*claim[1:], strict=True):
        axes.plot(predicted, measured, "o", label=f"{claim.quantity} {value:g}")
    axes.set(title=title, xlabel="the lecture's formula", ylabel="measured")
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
