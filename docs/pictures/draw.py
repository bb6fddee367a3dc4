"""The pictures of the methods' pages: what goes where, and what the method does to it.

    python docs/pictures/draw.py

writes an SVG file a method beside this one. The plots are computed from the package's own ops.
"""

from collections.abc import Callable
from pathlib import Path

import keras
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

import keras_softmaxes as ks

FOLDER = Path(__file__).parent
NETWORK, HEAD, LOSS, DATA, INK = "#e8eaed", "#cfe2f8", "#fbdcc0", "#d8eed3", "#333333"
BLUE, ORANGE, GREEN, GREY = "#2f6fb5", "#d9742b", "#4b9a46", "#9aa0a6"

Box = tuple[float, float, str, str]

PICTURES: dict[str, Callable[[Axes, Axes], None]] = {}


def main() -> None:
    """Draw every picture."""
    matplotlib.rcParams.update(
        {"svg.fonttype": "none", "svg.hashsalt": "pictures", "font.family": "sans-serif"}
        | {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
    )
    for name, draw in PICTURES.items():
        figure, (flow, plot) = plt.subplots(
            1, 2, figsize=(10, 3.1), width_ratios=(1.75, 1), layout="constrained"
        )
        draw(flow, plot)
        figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


def picture(draw: Callable[[Axes, Axes], None]) -> Callable[[Axes, Axes], None]:
    """Enter a picture by the name of its function: a flow, left, and a plot, right."""
    PICTURES[draw.__name__] = draw
    return draw


def draw_flow(axes: Axes, boxes: dict[str, Box], arrows: list[tuple[str, str]]) -> None:
    """Draw boxes (x, y, text, colour) on a plane of 10 by 4, and arrows between them."""
    axes.set(xlim=(0, 10), ylim=(0, 4))
    axes.axis("off")
    texts = {}
    for name, (x, y, text, colour) in boxes.items():
        style = {"boxstyle": "round,pad=0.4", "facecolor": colour, "edgecolor": INK, "lw": 0.8}
        texts[name] = axes.text(x, y, text, ha="center", va="center", bbox=style, zorder=2)
    axes.figure.canvas.draw()  # lays the boxes out, so that arrows end at them
    for source, target in arrows:
        patches = [texts[name].get_bbox_patch() for name in (source, target)]
        ends = [boxes[name][:2] for name in (source, target)]
        axes.add_patch(
            FancyArrowPatch(
                *ends,
                patchA=patches[0],
                patchB=patches[1],
                arrowstyle="-|>",
                mutation_scale=11,
                color=INK,
                lw=0.9,
                shrinkA=1,
                shrinkB=2,
                zorder=1,
            )
        )


def draw_bars(
    axes: Axes, values: np.ndarray, colours: list[str], left: float = 0.0, title: str = ""
) -> None:
    """Draw bars from a place on, with a title above."""
    axes.bar(left + np.arange(len(values)), values, width=0.8, color=colours)
    above = axes.get_xaxis_transform()  # of the axes upwards
    axes.text(left + (len(values) - 1) / 2, 1.02, title, ha="center", transform=above)


def _numpy(tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


@picture
def dropmax(flow: Axes, plot: Axes) -> None:
    boxes = {
        "network": (0.9, 2.0, "network", NETWORK),
        "h": (2.5, 2.0, "features h", NETWORK),
        "o": (4.4, 3.4, "logits o", HEAD),
        "a": (4.4, 2.0, "retain logits a", HEAD),
        "r": (4.4, 0.6, "shift r", HEAD),
        "z": (6.6, 0.9, "mask z drawn\nfrom σ(a + r)", HEAD),
        "served": (8.6, 3.4, "served:\nsoftmax(o + log σ(a))", HEAD),
        "loss": (9.0, 1.4, "DropMaxLoss", LOSS),
        "label": (9.0, 0.4, "label y", DATA),
    }
    arrows = [("network", "h"), ("h", "o"), ("h", "a"), ("h", "r"), ("a", "z"), ("r", "z")]
    arrows += [("z", "loss"), ("label", "loss"), ("o", "served"), ("a", "served"), ("o", "loss")]
    draw_flow(flow, boxes, arrows)
    logits = np.array([[2.0, 1.4, 0.4, -0.3, -1.0, 1.1]], "float32")
    retain = np.array([[2.5, 0.6, -2.0, -2.5, -3.0, -1.2]], "float32")
    softmax = _numpy(keras.ops.softmax(logits))[0]
    masked = np.exp(_numpy(ks.ops.dropmax_log_probabilities(logits, retain)))[0]
    draw_bars(plot, softmax, [GREEN] + [GREY] * 5, title="softmax")
    draw_bars(plot, masked, [GREEN] + [GREY] * 5, left=7.5, title="DropMax")
    plot.plot(7.5 + np.arange(6), 1 / (1 + np.exp(-retain[0])), "_", color=BLUE, ms=14, mew=2)
    plot.set(xticks=[], ylabel="probability", ylim=(0, 1))
    plot.text(13, 0.8, "retain\nprobability ρ", color=BLUE, fontsize=9, ha="right", va="center")


@picture
def large_margin(flow: Axes, plot: Axes) -> None:
    boxes = {
        "network": (0.9, 2.0, "network", NETWORK),
        "f": (3.0, 2.0, "Dense(classes):\nlogits f", NETWORK),
        "ce": (6.0, 3.2, "cross-entropy\nof all logits", LOSS),
        "r": (6.0, 0.8, "divergence R of the\nnon-target logits from equal", LOSS),
        "sum": (9.0, 2.0, "cross-entropy\n+ 0.3 R", LOSS),
        "label": (3.0, 0.5, "label y", DATA),
    }
    arrows = [
        ("network", "f"),
        ("f", "ce"),
        ("f", "r"),
        ("ce", "sum"),
        ("r", "sum"),
        ("label", "r"),
    ]
    draw_flow(flow, boxes, arrows)
    uneven = np.array([3.0, 1.9, 0.3, -0.8, -0.1, 0.2])
    even = np.array([3.0, 0.35, 0.25, 0.3, 0.3, 0.3])
    for left, logits in ((0.0, uneven), (7.5, even)):
        divergence = float(ks.ops.large_margin_divergence([0], logits[None].astype("float32"))[0])
        draw_bars(plot, logits, [GREEN] + [GREY] * 5, left, f"R = {divergence:.2f}")
    plot.axhline(0, color=INK, lw=0.8)
    plot.set(xticks=[], ylabel="logit")


@picture
def gsoftmax(flow: Axes, plot: Axes) -> None:
    boxes = {
        "network": (0.9, 2.0, "network", NETWORK),
        "x": (3.2, 2.0, "Dense(classes):\nlogits x", NETWORK),
        "g": (6.0, 2.0, "GSoftmax:\na = x + λ Φ(x; μ, σ)", HEAD),
        "loss": (8.9, 2.9, "any loss of logits", LOSS),
        "label": (8.9, 3.7, "label y", DATA),
        "look": (8.9, 1.0, "μ, σ: how compact,\nhow separable", HEAD),
    }
    arrows = [("network", "x"), ("x", "g"), ("g", "loss"), ("label", "loss"), ("g", "look")]
    draw_flow(flow, boxes, arrows)
    x = np.linspace(-4, 4, 200, dtype="float32")
    plot.plot(x, x, "--", color=GREY, label="x")
    for stddev, colour in ((0.5, ORANGE), (2.0, BLUE)):
        phi = _numpy(ks.ops.gaussian_cdf(np.stack([x, x], axis=1), [0.0, 0.0], [stddev, stddev]))
        plot.plot(x, x + phi[:, 0], color=colour, label=f"x + Φ, σ = {stddev}")
    plot.set(xlabel="x, with μ = 0", ylabel="a")
    plot.legend(frameon=False)


@picture
def adversarial_dropout(flow: Axes, plot: Axes) -> None:
    boxes = {
        "x": (0.6, 2.0, "inputs", DATA),
        "below": (2.2, 2.0, "below\nthe cut", NETWORK),
        "random": (4.4, 3.2, "random mask", HEAD),
        "adversarial": (4.4, 0.8, "adversarial mask", HEAD),
        "above1": (6.6, 3.2, "above the cut", NETWORK),
        "above2": (6.6, 0.8, "above the cut", NETWORK),
        "loss": (9.0, 2.8, "loss", LOSS),
        "divergence": (9.0, 1.2, "+ weight ×\ndivergence", LOSS),
        "label": (9.0, 3.7, "label y, if any", DATA),
    }
    arrows = [("x", "below"), ("below", "random"), ("below", "adversarial"), ("random", "above1")]
    arrows += [("adversarial", "above2"), ("above1", "loss"), ("above1", "divergence")]
    arrows += [("above2", "divergence"), ("label", "loss"), ("random", "adversarial")]
    draw_flow(flow, boxes, arrows)
    units = 16
    generator = np.random.default_rng(3)
    mask = (generator.uniform(size=(1, units)) < 0.5).astype("float32")
    jacobian = generator.normal(size=(1, units)).astype("float32")
    flipped = _numpy(ks.ops.adversarial_mask(mask, jacobian, budget=0.125))
    rows = (("random", mask[0], 2.2), ("adversarial", flipped[0], 0.7))
    for name, values, y in rows:
        plot.text(0, y + 1.0, f"{name} mask", fontsize=9)
        for unit, value in enumerate(values):
            is_flipped = mask[0, unit] != flipped[0, unit] and name == "adversarial"
            plot.add_patch(
                Rectangle(
                    (unit, y),
                    0.85,
                    0.75,
                    facecolor=BLUE if value else "white",
                    edgecolor=ORANGE if is_flipped else GREY,
                    lw=2.5 if is_flipped else 0.8,
                )
            )
    plot.text(0, 0.1, "budget: at most 2 of 16 units change", fontsize=9, color=ORANGE)
    plot.set(xlim=(-0.3, units), ylim=(0, 3.6))
    plot.axis("off")


@picture
def lsoftmax(flow: Axes, plot: Axes) -> None:
    boxes = {
        "network": (1.3, 2.0, "network with batch\nnormalisation", NETWORK),
        "x": (3.8, 2.0, "features x", NETWORK),
        "f": (6.0, 3.2, "logits\n|w| |x| cos θ", HEAD),
        "g": (6.0, 0.8, "margin logits\n|w| |x| ψ(θ), annealed", HEAD),
        "served": (9.0, 3.4, "served:\nsoftmax(logits)", HEAD),
        "loss": (9.0, 1.5, "LSoftmaxLoss:\nthe target by its\nmargin logit", LOSS),
        "label": (9.0, 0.2, "label y", DATA),
    }
    arrows = [("network", "x"), ("x", "f"), ("x", "g"), ("f", "served"), ("f", "loss")]
    arrows += [("g", "loss"), ("label", "loss")]
    draw_flow(flow, boxes, arrows)
    angles = np.linspace(0, np.pi, 181, dtype="float32")
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    kernel = np.array([[1.0, 0.0], [0.0, 1.0]], "float32")
    for margin, colour in ((1, GREY), (2, BLUE), (4, ORANGE)):
        logits = _numpy(ks.ops.lsoftmax_logits(features, kernel, margin=margin, annealing=0.0)[1])
        plot.plot(np.degrees(angles), logits[:, 0], color=colour, label=f"m = {margin}")
    plot.set(xlabel="angle θ to the target's vector, degrees", ylabel="ψ(θ)", xticks=[0, 90, 180])
    plot.legend(frameon=False)


@picture
def sparsemax(flow: Axes, plot: Axes) -> None:
    boxes = {
        "network": (0.9, 2.0, "network", NETWORK),
        "z": (3.5, 2.0, "logits z, over a\ntemperature", HEAD),
        "loss": (7.0, 2.8, "training: SparsemaxLoss", LOSS),
        "label": (7.0, 3.7, "label y", DATA),
        "served": (7.0, 0.9, "served: max(z − τ, 0)", HEAD),
    }
    draw_flow(flow, boxes, [("network", "z"), ("z", "loss"), ("label", "loss"), ("z", "served")])
    logits = np.array([[1.2, 0.9, 0.2, -0.2, -0.6, -1.0]], "float32")
    colours = [BLUE] * 6
    draw_bars(plot, _numpy(keras.ops.softmax(logits))[0], colours, title="softmax")
    draw_bars(plot, _numpy(ks.ops.sparsemax(logits))[0], colours, left=7.5, title="sparsemax")
    plot.set(xticks=[], ylabel="probability")


@picture
def gaussian_mixture(flow: Axes, plot: Axes) -> None:
    boxes = {
        "network": (0.9, 2.0, "network", NETWORK),
        "x": (2.9, 2.0, "features x", NETWORK),
        "d": (5.5, 2.0, "distance d to the mean\nof each class, spread h", HEAD),
        "served": (8.8, 3.3, "served:\nsoftmax(−d − h)", HEAD),
        "loss": (8.8, 1.5, "GaussianMixtureLoss:\ntarget at (1 + margin) d\n+ likelihood", LOSS),
        "label": (8.8, 0.2, "label y", DATA),
    }
    draw_flow(
        flow,
        boxes,
        [("network", "x"), ("x", "d"), ("d", "served"), ("d", "loss"), ("label", "loss")],
    )
    generator = np.random.default_rng(0)
    means = np.array([[-1.6, -0.8], [1.7, -0.9], [0.1, 1.6]])
    for mean, colour in zip(means, (BLUE, ORANGE, GREEN), strict=True):
        points = mean + 0.45 * generator.normal(size=(25, 2))
        plot.scatter(*points.T, s=9, color=colour)
        for radius in (0.5, 1.0):
            plot.add_patch(plt.Circle(mean, radius, fill=False, edgecolor=colour, lw=0.9))
        plot.plot(*mean, "+", color=INK, ms=9)
    plot.set(aspect="equal", xticks=[], yticks=[], xlabel="features x, one Gaussian a class")


@picture
def class_masking(flow: Axes, plot: Axes) -> None:
    boxes = {
        "network": (0.9, 2.0, "network", NETWORK),
        "h": (2.7, 2.0, "features h", NETWORK),
        "o": (4.9, 3.0, "logits o", HEAD),
        "m": (4.9, 1.0, "mask at random, or\nattention σ(a) of h", HEAD),
        "served": (8.5, 3.4, "served: softmax(o),\nwith attention\nsoftmax(o + log σ(a))", HEAD),
        "loss": (8.5, 1.3, "softmax over the\nclasses that stay", LOSS),
        "label": (8.5, 0.2, "label y: its class stays", DATA),
    }
    arrows = [("network", "h"), ("h", "o"), ("h", "m"), ("o", "served"), ("o", "loss")]
    arrows += [("m", "loss"), ("label", "loss")]
    draw_flow(flow, boxes, arrows)
    generator = np.random.default_rng(5)
    rows = {
        "ClassDropout: each stays with 0.4": generator.uniform(size=12) < 0.4,
        "ClassSampling: exactly 5 of 12": np.isin(np.arange(12), [0, 2, 5, 8, 10]),
        "ClassAttention: weights, learned": np.exp(-np.linspace(0, 2.5, 12)),
    }
    for y, (name, stays) in zip((2.9, 1.6, 0.3), rows.items(), strict=True):
        plot.text(0, y + 0.75, name, fontsize=9)
        weights = np.asarray(stays, float)
        weights[0] = 1.0
        for index, weight in enumerate(weights):
            colour = GREEN if index == 0 else BLUE
            box = {"width": 0.85, "height": 0.6, "edgecolor": GREY, "lw": 0.8}
            plot.add_patch(Rectangle((index, y), **box, facecolor="white"))
            plot.add_patch(Rectangle((index, y), **box, facecolor=colour, alpha=weight))
    plot.text(0, 0.0, "green: the target", fontsize=9, color=GREEN)
    plot.set(xlim=(-0.3, 12), ylim=(-0.1, 4.1))
    plot.axis("off")


if __name__ == "__main__":
    main()
