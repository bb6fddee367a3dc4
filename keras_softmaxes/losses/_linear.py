"""Losses of linear logits: a head of many classes returns their features, kernel and bias."""

from collections.abc import Callable, Iterable
from typing import Any

from keras import ops

from ..ops._likelihood import bounded
from ..ops._linear_cross_entropy import linear_cross_entropy_of
from ..ops._tiles import Linear, flattened, gradient_by_rows, logits_spec
from ..ops._tiles import losses_by_rows as by_rows
from ..ops._tiles import read_linear as read
from ..support._arguments import Tensor, invalid
from ..support._xla import xla_compiled

# The tensors of linear logits, and those of drawn classes.
LINEAR = ("features", "kernel", "bias")
SAMPLED = ("sampled_classes", "log_counts")
PER_CLASS = {"kernel", "bias", *SAMPLED}

Outputs = dict[str, Tensor]
Function = Callable[[Tensor, Outputs], Tensor]


def are_linear(names: Iterable[str], reads: Iterable[str]) -> bool:
    """Tell whether a loss reads logits or probabilities that the head returns as linear."""
    names, reads = set(names), set(reads)
    return hold_linear(names) and not reads <= names and reads <= {"logits", "probabilities"}


def hold_linear(names: Iterable[str]) -> bool:
    """Tell whether these names are those of linear logits."""
    return set(names) >= set(LINEAR)


def are_sampled(outputs: Outputs) -> bool:
    """Tell whether a head has drawn classes."""
    return outputs.keys() >= set(SAMPLED)


def read_linear(outputs: Outputs, dtype: Any) -> tuple[Outputs, Any]:
    """Return the tensors of linear logits, with features of a type, and the spec of the logits."""
    linear = read(*(outputs[name] for name in LINEAR))
    linear = linear._replace(features=ops.cast(linear.features, dtype))
    drawn = {name: outputs[name] for name in SAMPLED if name in outputs}
    return {**linear._asdict(), **drawn}, logits_spec(linear)


def of_any_shape(function: Function) -> Function:
    """Return a function of rows, (n,), as one of examples of any shape, (...)."""

    def of_examples(labels: Tensor, outputs: Outputs) -> Tensor:
        linear, classes = flattened(Linear(*(outputs[name] for name in LINEAR)), labels)
        losses = function(classes, {**outputs, **linear._asdict()})
        return ops.reshape(losses, ops.shape(outputs["features"])[:-1])

    return of_examples


def linear_likelihood(labels: Tensor, outputs: Outputs) -> Tensor:
    """Return the negative log-likelihood of each row, bounded as that of probabilities is."""
    linear = (outputs[name] for name in LINEAR)
    return bounded(linear_cross_entropy_of(labels, *linear, 0.0, "symmetric", 0.0, 0.0))


def losses_by_rows(loss: Any, labels: Tensor, outputs: Outputs) -> Tensor:
    """Return `loss.call` of the logits of each row, computed for some rows at a time.

    Raises:
        ValueError: drawn classes, which do not give the logits of all classes.
    """
    if are_sampled(outputs):
        expected = "`LargeMarginCrossentropy(weight=0.0)`, which alone learns from drawn classes"
        raise invalid("loss", expected, type(loss).__name__)

    @ops.custom_gradient
    def losses_of(features: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        linear = Linear(features, kernel, bias)
        # TensorFlow would make ready to differentiate the loop too, which XLA cannot.
        losses = _losses_by_rows(loss, labels, Linear(*map(ops.stop_gradient, linear)))

        def backward(*gradients: Tensor, upstream: Tensor = None) -> tuple[Tensor, ...]:
            upstream = gradients[0] if upstream is None else upstream
            return tuple(_gradient_by_rows(loss, labels, linear, upstream))

        return losses, backward

    return losses_of(*(outputs[name] for name in LINEAR))


@xla_compiled
def _losses_by_rows(loss: Any, labels: Tensor, linear: Linear) -> Tensor:
    return by_rows(_of_logits(loss), labels, linear)


@xla_compiled
def _gradient_by_rows(loss: Any, labels: Tensor, linear: Linear, upstream: Tensor) -> Linear:
    return gradient_by_rows(_of_logits(loss), labels, linear, upstream)


def _of_logits(loss: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loss as a function of classes and logits."""

    def losses_of(labels: Tensor, logits: Tensor) -> Tensor:
        outputs = {"logits": logits}
        if "probabilities" in loss.reads:
            outputs["probabilities"] = ops.softmax(logits, axis=-1)
        return loss.call(labels, outputs)

    return losses_of
