"""Where a model is cut by adversarial dropout, and what is below and above."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ..layers import AdversarialDropout
from ..perturbations._step import Parts
from ..support._arguments import Tensor, invalid
from ._classifier import Classifier


def parts_of(model: Any, has_hooks: bool, needs_cut: bool) -> Parts:
    """Return where a model is cut, and what is below and above, which share its layers.

    Args:
        model: a model, that of a `keras_softmaxes.models.Classifier` being its network.
        has_hooks: whether it has the hooks `below` and `above`.
        needs_cut: whether a perturbation needs the cut. Where none does, a model without exactly
            one that cuts it in two is taken as a whole.

    Raises:
        ValueError: where a cut is needed, a model without exactly one, a graph that it does not
            separate, several outputs, or a model that is neither a graph nor has the hooks.
    """
    try:
        return _split(model, cut_of(model, has_hooks), has_hooks)
    except ValueError:
        if needs_cut or has_hooks:
            raise
        return Parts(None, Chain([]), model)


def cut_of(model: Any, has_hooks: bool) -> AdversarialDropout:
    """Return the cut among the layers of a model, or of a classifier's network.

    A classifier may have it beside its network too, where hooks call what is around it.

    Raises:
        ValueError: a model without exactly one.
    """
    network = _network(model)
    holders = [network, model] if has_hooks and network is not model else [network]
    layers = (layer for holder in holders for layer in holder.layers)
    cuts = [layer for layer in layers if isinstance(layer, AdversarialDropout)]
    if len(cuts) != 1:
        expected = (
            "exactly one `keras_softmaxes.layers.AdversarialDropout` among the model's own layers, "
            "or those of a classifier's network (one inside a nested model does not count)"
        )
        raise invalid("model", expected, f"{type(model).__name__} with {len(cuts)} of them")
    return cuts[0]


class Part(keras.layers.Layer):
    """Base of the parts of a model: layers, so that what they call knows that it trains."""

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Return no mask of padding: what a part calls has set that of the outputs itself."""


class Chain(Part):
    """Layers, one after the other."""

    def __init__(self, layers: Sequence[keras.layers.Layer]) -> None:
        super().__init__(autocast=False)
        self.chained = list(layers)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the outputs of the last layer."""
        for layer in self.chained:
            inputs = layer(inputs)
        return inputs


class SequentialInputs(Part):
    """What a sequential model makes of its inputs: their type, and the axis of a single feature."""

    def __init__(self, network: keras.Sequential) -> None:
        super().__init__(autocast=False)
        self.network = network

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the inputs of the first layer, as they are where the model is not built."""
        if not self.network.built:
            return inputs
        (known,) = self.network.inputs
        inputs = ops.cast(inputs, known.dtype)
        return inputs if len(inputs.shape) == len(known.shape) else ops.expand_dims(inputs, -1)


class Graph(Part):
    """A functional model, which by itself would warn of a mask of padding on its way in."""

    def __init__(self, graph: keras.Model) -> None:
        super().__init__(autocast=False)
        self.graph = graph

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the outputs of the model."""
        return self.graph.call(inputs, training=training)


class Hook(Part):
    """A hook of a model."""

    def __init__(self, model: keras.Model, function: Callable[..., Any]) -> None:
        super().__init__(dtype=model.dtype_policy)
        self._function = function

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the outputs of the hook."""
        return self._function(inputs, training=training)


class CleanPass(keras.layers.Layer):
    """The ordinary pass of a model in two parts, of which each value is a result.

    As a layer it is where the call begins: what layers add by `add_loss` is that of this pass.
    """

    def __init__(self, model: keras.Model, parts: Parts) -> None:
        super().__init__(autocast=False)
        self.model = model
        self.parts = parts

    def call(self, inputs: Any, training: bool | None = None) -> tuple[Any, Tensor | None, Any]:
        """Return the features below the cut, the mask drawn there, and the outputs above it."""
        features = self.parts.below(inputs)
        mask = self.parts.draw_mask(features)
        outputs = self.parts.above(self.parts.masked(features, mask))
        return features, mask, outputs


def _network(model: Any) -> Any:
    """Return the model that may hold the cut; a layer that is no model holds none."""
    network = model.network if isinstance(model, Classifier) else model
    return network if isinstance(network, keras.Model) else keras.Sequential()


def _split(model: Any, cut: AdversarialDropout, has_hooks: bool) -> Parts:
    if has_hooks:
        return Parts(cut, Hook(model, model.below), Hook(model, model.above))
    network = _network(model)
    head = [model.head] if isinstance(model, Classifier) else []
    if isinstance(network, keras.Sequential):
        position = network.layers.index(cut)
        below = [SequentialInputs(network), *network.layers[:position]]
        return Parts(cut, Chain(below), Chain([*network.layers[position + 1 :], *head]))
    if not getattr(network, "outputs", None):
        expected = (
            "a functional or sequential model, or a subclass that overrides the hooks `below` and "
            "`above` in the place of `call`"
        )
        raise invalid("model", expected, type(model).__name__)
    if len(network.outputs) > 1 or isinstance(network.output_shape, dict):
        raise invalid("model", "one output", f"{type(model).__name__} of {network.output_shape}")
    return _split_graph(network, cut, head)


def _split_graph(network: Any, cut: AdversarialDropout, head: list[keras.layers.Layer]) -> Parts:
    (output,) = network.outputs
    try:
        above = [] if head and cut.output is output else [Graph(_graph(cut.output, output))]
        return Parts(cut, keras.Model(network.input, cut.input), Chain([*above, *head]))
    except ValueError as error:
        expected = (
            f"a graph that the layer {cut.name!r}, called once, cuts in two: every path from the "
            "inputs to the output, also that of a mask of padding, passes through it to a layer "
            "above it (a sequential model, or hooks, take the mask along)"
        )
        raise invalid("model", expected, f"{network.name!r}, where one does not") from error


def _graph(features: Any, output: Any) -> keras.Model:
    """Return the graph above the cut; refuse a path that goes around it.

    A mask of padding does so, and of a tensor's mask Keras has no public reader.
    """
    graph = keras.Model(features, output)
    starts = [layer for layer in graph.layers if isinstance(layer, keras.layers.InputLayer)]
    if len(starts) > 1:  # which newer versions of Keras refuse themselves
        raise ValueError("a path from the inputs that goes around the cut")
    return graph
