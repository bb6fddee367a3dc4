"""Where a model is cut by adversarial dropout, and what is below and above."""

from collections.abc import Callable
from functools import partial
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
        return Parts(None, _chain(), model)


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
    """A function that is part of a model: a layer, so that what it calls knows that it trains."""

    def __init__(self, function: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._function = function

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the outputs of the function."""
        return self._function(inputs, training=training)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Return no mask of padding: what a part calls has set that of the outputs itself."""


class CleanPass(keras.layers.Layer):
    """The ordinary pass of a model in two parts; each value of it is a result.

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
        return features, mask, self.parts.outputs(features, mask)


def _network(model: Any) -> Any:
    """Return the model that may hold the cut; a layer that is not a model holds none."""
    network = model.network if isinstance(model, Classifier) else model
    return network if isinstance(network, keras.Model) else keras.Sequential()


def _split(model: Any, cut: AdversarialDropout, has_hooks: bool) -> Parts:
    if has_hooks:
        below, above = (Part(hook, dtype=model.dtype_policy) for hook in (model.below, model.above))
        return Parts(cut, below, above)
    network = _network(model)
    head = [model.head] if isinstance(model, Classifier) else []
    if isinstance(network, keras.Sequential):
        position = network.layers.index(cut)
        below, above = network.layers[:position], network.layers[position + 1 :]
        return Parts(cut, _chain(partial(_converted, network), *below), _chain(*above, *head))
    if not getattr(network, "outputs", None):
        expected = (
            "a functional or sequential model, or a subclass that overrides the hooks `below` and "
            "`above` in place of `call`"
        )
        raise invalid("model", expected, type(model).__name__)
    if len(network.outputs) > 1 or isinstance(network.output_shape, dict):
        raise invalid("model", "one output", f"{type(model).__name__} of {network.output_shape}")
    return _split_graph(network, cut, head)


def _split_graph(network: Any, cut: AdversarialDropout, head: list[keras.layers.Layer]) -> Parts:
    (output,) = network.outputs
    try:
        above = [] if head and cut.output is output else [_graph(cut.output, output)]
        return Parts(cut, keras.Model(network.input, cut.input), _chain(*above, *head))
    except ValueError as error:
        expected = (
            f"a graph that the layer {cut.name!r}, called once, cuts in two: every path from the "
            "inputs to the output, also that of a mask of padding, passes through it to a layer "
            "above it (a sequential model, or hooks, take the mask along)"
        )
        raise invalid("model", expected, f"{network.name!r}, where one does not") from error


def _chain(*functions: Callable[[Any], Any]) -> Part:
    """Return layers, or other functions, one after the other."""

    def outputs(inputs: Any, training: bool | None = None) -> Any:
        for function in functions:
            inputs = function(inputs)
        return inputs

    return Part(outputs, autocast=False)


def _converted(network: keras.Sequential, inputs: Any) -> Any:
    """Return what a built sequential model makes of inputs: their type, an axis of one feature."""
    if not network.built:
        return inputs
    (known,) = network.inputs
    inputs = ops.cast(inputs, known.dtype)
    return inputs if len(inputs.shape) == len(known.shape) else ops.expand_dims(inputs, -1)


def _graph(features: Any, output: Any) -> Part:
    """Return the graph above the cut; raise ValueError for a path that goes around it.

    A mask of padding does so, and of a tensor's mask Keras has no public reader. As a model of its
    own the graph would warn of one on its way in.
    """
    graph = keras.Model(features, output)
    starts = [layer for layer in graph.layers if isinstance(layer, keras.layers.InputLayer)]
    if len(starts) > 1:  # for which newer versions of Keras raise themselves
        raise ValueError("a path from the inputs that goes around the cut")
    return Part(graph.call, autocast=False)
