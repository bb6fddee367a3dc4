"""Where a model is cut by adversarial dropout, and what is below and above."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_softmaxes.layers.adversarial_dropout import AdversarialDropout
from keras_softmaxes.layers.head import is_evidence
from keras_softmaxes.models.classifier import Classifier
from keras_softmaxes.ops.checks import invalid
from keras_softmaxes.perturbations.step import Parts


def split(model: Any, has_hooks: bool) -> Parts:
    """Return where a model is cut, and what is below and above, which share its layers.

    Args:
        model: a functional or sequential model, or one with the hooks `under` and `upper`.
        has_hooks: whether it has them.

    Raises:
        ValueError: a model without exactly one cut, a graph that the cut does not separate, several
            outputs, or none of the above kinds.
    """
    cut = find_cut(model)
    if is_evidence(getattr(model, "output", None)) and not isinstance(model, Classifier):
        expected = "`keras_softmaxes.models.Classifier` beside the mixin, for the head's dict"
        raise invalid("model", expected, type(model).__name__)
    if has_hooks:
        return Parts(cut, _Part(model, model.under, "under"), _Part(model, model.upper, "upper"))
    if isinstance(model, keras.Sequential):
        position = model.layers.index(cut)
        below, above = model.layers[:position], model.layers[position + 1 :]
        return Parts(
            cut, _Part(model, _chained(below), "under"), _Part(model, _chained(above), "upper")
        )
    if not getattr(model, "outputs", None):
        expected = (
            "a functional model, or a subclass that overrides the hooks `under` and `upper` in the "
            "place of `call`"
        )
        raise invalid("model", expected, type(model).__name__)
    if keras.tree.is_nested(model.output) and not is_evidence(model.output):
        raise invalid("model", "one output", f"{type(model).__name__} with {model.output}")
    return _split_graph(model, cut)


def find_cut(model: Any) -> AdversarialDropout:
    """Return the cut among the model's own layers; refuse none, and several."""
    cuts = [layer for layer in model.layers if isinstance(layer, AdversarialDropout)]
    if len(cuts) != 1:
        expected = (
            "exactly one `keras_softmaxes.layers.AdversarialDropout` among the model's own layers "
            "(one inside a nested model does not count)"
        )
        raise invalid("model", expected, f"{type(model).__name__} with {len(cuts)} of them")
    return cuts[0]


def _split_graph(model: Any, cut: AdversarialDropout) -> Parts:
    try:
        upper = keras.Model(cut.output, model.output)
        return Parts(cut, keras.Model(model.input, cut.input), upper)
    except ValueError as error:
        expected = (
            f"a graph that the layer {cut.name!r}, called once, cuts in two: every path from the "
            "inputs to the output, also that of a mask of padding, passes through it to a layer "
            "above it"
        )
        raise invalid("model", expected, f"{type(model).__name__}, where one does not") from error


def _chained(layers: Sequence[keras.layers.Layer]) -> Callable[..., Any]:
    """Return the function of layers, one after the other."""

    def call(inputs: Any, training: bool | None) -> Any:
        for layer in layers:
            inputs = layer(inputs)
        return inputs

    return call


class _Part(keras.layers.Layer):
    """A part of a model as a layer, so that what it calls knows that it trains.

    Args:
        model: the model, for the types it computes in.
        function: from the inputs and `training` to the outputs.
        name: the name of the part.
    """

    def __init__(self, model: Any, function: Callable[..., Any], name: str) -> None:
        super().__init__(dtype=model.dtype_policy, name=name)
        self._function = function

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the outputs of the part."""
        return self._function(inputs, training=training)
