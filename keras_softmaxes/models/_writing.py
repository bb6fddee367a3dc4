"""The checks of a step, before it writes anything, and the writing."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from ..losses import HeadLoss
from ..losses._linear import LINEAR, are_linear
from ..ops._tiles import Linear, logits_spec
from ..support._arguments import Tensor, static_shape
from ..support._labels import check_given
from ..support._replicas import after, replica_count
from ..support._tensors import weights_like

ROWS_AT_ONCE = 65_536


def read_ahead(
    loss: Any, labels: Any, sample_weight: Any, spec: keras.KerasTensor | None
) -> tuple[Any, ...]:
    """Return labels and weights as a loss will read them; raise for wrong ones.

    A step that begins after this changes neither statistics nor seeds for a wrong batch.

    Args:
        loss: of the model; Keras's own losses check nothing.
        labels: of the batch, or None.
        sample_weight: likewise.
        spec: the shape and type of what the loss reads first, (None, ..., classes), or None where
            the model does not know.

    Returns:
        Nothing, if that is not known yet.
    """
    if not isinstance(loss, HeadLoss) or spec is None:
        return ()
    check_given(labels)
    if keras.tree.is_nested(labels):
        return ()
    labels = ops.convert_to_tensor(labels)
    axes = len(spec.shape) - 1
    if not axes <= len(static_shape("labels", labels)) <= axes + 1:
        return tuple(loss.read(labels, spec))
    if sample_weight is not None:
        weights_like(sample_weight, ops.zeros(ops.shape(labels)[:axes], spec.dtype))
    return tuple(loss.read(labels, spec))


def parts_of_array(array: Any) -> Iterator[Any]:
    """Return an array in parts of `ROWS_AT_ONCE` rows, whose reading needs little memory."""
    return (array[start : start + ROWS_AT_ONCE] for start in range(0, len(array), ROWS_AT_ONCE))


def write_step(
    model: Any, gradients: Any, means: dict[keras.metrics.Mean, Tensor], data: tuple[Any, ...]
) -> dict[str, Any]:
    """Update the metrics and then the weights, each only if all checks before it passed.

    Keras updates the weights first: a metric's check would come too late.

    Args:
        model: the model.
        gradients: of its objective, one for each trainable variable.
        means: the losses that are reported, scaled for the replicas, by their metrics.
        data: inputs, labels, outputs and sample weights.

    Returns:
        The values of all metrics.
    """
    rows = ops.shape(keras.tree.flatten(data[0])[0])[0]
    with after(list(means.values())):
        for mean, loss in means.items():
            mean.update_state(loss * replica_count(), sample_weight=rows)
        logs: dict[str, Any] = model.compute_metrics(*data)
    with after(logs):
        model.optimizer.apply(gradients, model.trainable_variables)
    return logs


def spec_of(model: Any) -> keras.KerasTensor | None:
    """Return the shape and type of what the loss of a built model reads first, if known."""
    if isinstance(model.loss, HeadLoss) and hasattr(model, "outputs_spec"):
        outputs, first = model.outputs_spec, model.loss.reads[0]
        if are_linear(outputs, model.loss.reads):
            return logits_spec(Linear(*(outputs[name] for name in LINEAR)))
        return outputs.get(first)
    outputs = getattr(model, "outputs", None)
    return outputs[0] if outputs else None


def loss_tracker(metrics: list[keras.Metric]) -> Any:
    """Return the metric of a model's loss among all of them."""
    (tracker,) = (metric for metric in metrics if metric.name == "loss")
    return tracker
