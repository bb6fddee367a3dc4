"""The model of a network and a head."""

import inspect
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Unpack

import keras

from ..layers import Head
from ..losses import HeadLoss
from ..losses._head_loss import check_names
from ..support._arguments import Tensor, invalid
from ..support._configuration import serializable
from ..support._options import LayerOptions
from ..support._replicas import after, penalties
from ._call_context import InCallContext
from ._writing import loss_tracker, parts_of_array, read_ahead, spec_of, write_step


@dataclass(frozen=True)
class HeadMetrics:
    """The metrics that read a tensor of the head by its name, weighted or not.

    Keras would track and save metrics that a model holds in a list.
    """

    metrics: tuple[Any, ...] = ()
    weighted_metrics: tuple[Any, ...] = ()
    of_probabilities: bool = False  # whether there are others, which read these


@serializable
class Classifier(keras.Model):
    """A network with a head: a Keras model whose last layer returns named tensors.

        classifier(x) = head(network(x))

    A head (`keras_softmaxes.layers.DropMax`, ...) returns a dict of named tensors. The classifier
    sends each to its place:

    - in training the loss receives the dict, and reads the tensors that it names;
    - in evaluation the loss is the mean negative log-likelihood of the probabilities, whichever
      loss trains: `val_loss` is deterministic, holds no penalties and can be compared between
      heads;
    - metrics receive the probabilities, so `metrics=["accuracy"]` means what it says. One with an
      attribute `reads`, as `keras_softmaxes.metrics.MarginBias`, receives the tensor of that name;
    - `predict` returns, and `export` serves, the probabilities alone.

    Calling it returns the head's dict. In a training loop of your own the loss is `loss(y, model(x,
    training=True))`, plus `sum(model.losses)` for regularisers.

    Args:
        network: what turns inputs into features, (batch, ..., features): a functional, sequential
            or subclassed model, or a layer. It ends before the `Dense(classes)` and its softmax.
        head: a `keras_softmaxes.layers.Head`.
        **kwargs: the arguments of every Keras model.

    Raises:
        ValueError: a network that is not a layer, or that is functional or sequential and ends in
            a softmax; a head that is not a `keras_softmaxes.layers.Head`; a subclass whose `call`
            has no argument `training`, so that no mask would be drawn.

    Example:
        >>> import keras_softmaxes as ks
        >>> network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
        >>> model = ks.models.Classifier(network, ks.layers.DropMax(10))
        >>> model.compile("adam", metrics=["accuracy"])
        >>> model.predict(keras.ops.ones((2, 64)), verbose=0).shape
        (2, 10)
    """

    _reading = HeadMetrics()

    def __init__(
        self, network: keras.layers.Layer, head: Head, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        _check_network(network)
        if not isinstance(head, Head):
            expected = (
                "a `keras_softmaxes.layers.Head`, as `DropMax(10)` (logits of a `Dense` train in a "
                "plain `keras.Model`, by `LargeMarginCrossentropy` too)"
            )
            raise invalid("head", expected, repr(head))
        if "training" not in inspect.signature(self.call).parameters:
            expected = "`call(self, inputs, training=None)`; without it no mask would be drawn"
            raise invalid("call", expected, f"that of {type(self).__name__}")
        self.network = network
        self.head = head
        if getattr(network, "inputs", None):  # a graph, which knows its shapes before it is called
            if not head.built:
                head.build(network.output_shape)
            self.built = True

    if TYPE_CHECKING:  # Keras's has no types

        def __call__(
            self, inputs: Any, training: bool | None = None, mask: Any = None
        ) -> dict[str, Tensor]:
            """Return the head's named tensors."""

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Tensor]:
        """Return what the head makes of the network's features."""
        return self.head(self.network(inputs, training=training), training=training)

    def stateless_call(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Call the model without side effects, as Keras's JAX trainer does."""
        return InCallContext(super().stateless_call)(*args, training=training, **kwargs)

    def compile(
        self,
        optimizer: str | dict[str, Any] | keras.Optimizer = "rmsprop",
        loss: HeadLoss | None = None,
        *,
        metrics: Any = None,
        weighted_metrics: Any = None,
        loss_weights: None = None,
        **kwargs: Any,
    ) -> None:
        """Configure the training.

        Args:
            optimizer: as in `keras.Model.compile`.
            loss: a `keras_softmaxes.losses.HeadLoss`; None is the head's own, `default_loss()`.
            metrics: a list as in `keras.Model.compile`, of metrics of the probabilities or, where
                one has an attribute `reads`, of the head's tensor of that name.
            weighted_metrics: likewise.
            loss_weights: None, as there is one loss.
            **kwargs: the other arguments of `keras.Model.compile`.

        Raises:
            ValueError: another loss, Keras's own among them, which cannot read a head's dict; a
                head without a loss of its own if none is given; metrics in a dict; two metrics of
                the head's tensors of one name; weights of losses.
        """
        if loss_weights is not None:
            expected = "None, as there is one loss; `WeightedSum` weighs the terms of one"
            raise invalid("loss_weights", expected, loss_weights)
        loss = self.head.default_loss() if loss is None else loss
        self._check_loss(loss)
        reading, others = _split("metrics", metrics)
        weighted_reading, weighted_others = _split("weighted_metrics", weighted_metrics)
        _check_distinct([*reading, *weighted_reading])
        super().compile(
            optimizer, loss=loss, metrics=others, weighted_metrics=weighted_others, **kwargs
        )
        of_probabilities = bool(others or weighted_others)
        self._reading = HeadMetrics(tuple(reading), tuple(weighted_reading), of_probabilities)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train, as `keras.Model.fit` does.

        Raises:
            ValueError: wrong labels in an array `y`, before the first step where inside the step
                nothing could raise, by XLA or on JAX.
        """
        self._check_labels(y)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluate, as `keras.Model.evaluate` does.

        Raises:
            ValueError: as `fit`.
        """
        self._check_labels(y)
        return super().evaluate(x, y, *args, **kwargs)

    def _check_labels(self, labels: Any) -> None:
        """Raise for wrong labels of an array, if no step can."""
        is_array = bool(getattr(labels, "shape", ()))
        if is_array and (keras.backend.backend() == "jax" or self.jit_compile):
            spec = spec_of(self)
            for part in parts_of_array(labels) if spec is not None else ():
                read_ahead(self.loss, *self._known(part, None, spec), spec)

    def _known(self, labels: Any, sample_weight: Any, outputs: Any) -> tuple[Any, Any]:
        """Return labels and weights as the loss takes them."""
        return labels, sample_weight

    def _check_loss(self, loss: Any) -> None:
        """Raise ValueError for a loss that reads what the head is known not to return."""
        outputs = getattr(self.network, "outputs", None)
        names = list(self.head.compute_output_spec(outputs[0])) if outputs else ["probabilities"]
        if not isinstance(loss, HeadLoss):
            expected = (
                "a `keras_softmaxes.losses.HeadLoss`, which reads by name what the head "
                f"`{self.head.name}` returns, {', '.join(map(repr, names))}; None takes its own"
            )
            raise invalid("loss", expected, f"{loss!r}, which reads 'y_pred' alone")
        if outputs:
            check_names(loss, loss.reads, names)

    @property
    def metrics(self) -> list[keras.Metric]:
        """All metrics, those that read a tensor of the head among them."""
        return [*super().metrics, *self._reading.metrics, *self._reading.weighted_metrics]

    def train_step(self, *args: Any) -> Any:
        """Take a step. Where labels, weights or metrics raise, no weight changes."""
        if keras.backend.backend() == "jax":
            return super().train_step(*args)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(args[0])
        with after(self._read_ahead(x, y, sample_weight), of_all_replicas=True):
            if keras.backend.backend() == "tensorflow":
                return self._take_step(x, y, sample_weight)
            return super().train_step(*args)

    def test_step(self, *args: Any) -> Any:
        """Evaluate one batch. Where it raises, no metric changes."""
        if keras.backend.backend() == "jax":
            return super().test_step(*args)
        data = keras.utils.unpack_x_y_sample_weight(args[0])
        with after(self._read_ahead(*data), of_all_replicas=True):
            return super().test_step(*args)

    def _read_ahead(self, x: Any, y: Any, sample_weight: Any) -> Any:
        """Return labels and weights as the loss reads them, before the network sees the inputs."""
        if not self.head.built:
            self(x)
        return read_ahead(self.loss, y, sample_weight, spec_of(self))

    def _take_step(self, x: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            outputs = self(x, training=True)
            loss = self.compute_loss(x, y, outputs, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.trainable_variables)
        means = {loss_tracker(super().metrics): loss}
        return write_step(self, gradients, means, (x, y, outputs, sample_weight))

    @cached_property
    def outputs_spec(self) -> dict[str, keras.KerasTensor]:
        """The shapes and types of the head's tensors, once it is built."""
        shape = (self.head.get_build_config() or {}).get("input_shape")
        if shape is None:
            return {}
        shape = (*(None for _ in shape[:-1]), shape[-1])
        spec = self.head.compute_output_spec(keras.KerasTensor(shape, self.head.compute_dtype))
        return dict(spec)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Return the loss of the head's dict in training, of its probabilities in evaluation."""
        if not training:
            return self.loss.evaluate(y, y_pred, sample_weight)
        loss = self.loss(y, y_pred, sample_weight)
        return loss + penalties(self, loss.dtype)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Update the metrics, each by the tensor that it reads, and return their values."""
        for metric in self._reading.metrics:
            metric.update_state(y, _read_by(metric, y_pred))
        for metric in self._reading.weighted_metrics:
            metric.update_state(y, _read_by(metric, y_pred), sample_weight)
        if "probabilities" not in y_pred and self._reading.of_probabilities:
            expected = (
                f"metrics that read {', '.join(map(repr, y_pred))}, as "
                "`keras_softmaxes.metrics.TopKAccuracy`: no probability is computed"
            )
            raise invalid("metrics", expected, "metrics of probabilities")
        probabilities = y_pred.get("probabilities")
        logs: dict[str, Any] = super().compute_metrics(x, y, probabilities, sample_weight)
        return logs

    def predict_step(self, *args: Any) -> Any:
        """Return the head's predictions of one batch, the probabilities."""
        outputs = super().predict_step(*args)
        if keras.backend.backend() == "jax":
            outputs, state = outputs
            return self.head.predictions(outputs), state
        return self.head.predictions(outputs)

    def export(self, filepath: Any, format: str = "tf_saved_model", **kwargs: Any) -> None:
        """Export the model for inference; the artifact serves the probabilities alone.

        Args:
            filepath: where to write the artifact.
            format: "tf_saved_model", "onnx", ..., as `keras.Model.export` takes it.
            **kwargs: likewise. Without an `input_signature` it is that of a functional or
                sequential network; a subclassed one must have been called once.

        Raises:
            ValueError: a subclassed network that was never called, or has several inputs, where
                there is no `input_signature`.
        """
        signature = kwargs.pop("input_signature", None) or [self._input_signature()]
        Served(self).export(filepath, format, input_signature=signature, **kwargs)

    def _input_signature(self) -> Any:
        """Return the shapes and types of the inputs, as the network has them."""
        network = self.network
        if getattr(network, "inputs", None):
            is_sequential = isinstance(network, keras.Sequential)
            inputs = network.inputs[0] if is_sequential else network.input
            return keras.tree.map_structure(_input_spec, inputs)
        shape = (self.get_build_config() or {}).get("input_shape")
        if shape is None or any(keras.tree.is_nested(size) for size in shape):
            expected = "one, of a subclassed network that was never called or has several inputs"
            raise invalid("input_signature", expected, None)
        return keras.InputSpec(shape=(None, *shape[1:]), dtype=self.variable_dtype)

    def get_compile_config(self) -> dict[str, Any]:
        """Return the arguments of `compile`; empty if the model was not compiled."""
        config: dict[str, Any] = super().get_compile_config()
        for name in ("metrics", "weighted_metrics"):
            reading = getattr(self._reading, name)
            if config and reading:
                given = config[name] or []
                config[name] = [*given, *map(keras.saving.serialize_keras_object, reading)]
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as another model was, and create the optimizer's variables."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)


class Served(keras.Model):
    """The model that an exported artifact serves: the probabilities of a classifier alone.

    It holds the parts of the classifier, and not the classifier itself: while Keras writes a model
    it takes the compiled training step away from it, which another thread may be running.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(name=classifier.name, dtype=classifier.dtype_policy)
        self.parts = classifier.layers
        self.classifier_variables = classifier.variables
        self.outputs_of = partial(classifier.__call__, training=False)
        self.predictions_of = classifier.head.predictions
        self.built = True  # which a classifier with an input signature is

    def call(self, inputs: Any) -> Any:
        """Return the head's predictions."""
        return self.predictions_of(self.outputs_of(inputs))


def _check_network(network: Any) -> None:
    """Raise ValueError unless it is a layer, and one that is not known to end in a softmax."""
    if not isinstance(network, keras.layers.Layer):
        raise invalid("network", "a Keras model or layer", repr(network))
    last = _last_layer(network)
    activation = getattr(last, "activation", None)
    if isinstance(last, keras.layers.Softmax) or activation is keras.activations.softmax:
        expected = "features, as the last `Dense` takes them: the head has a softmax of its own"
        raise invalid("network", expected, f"a network that ends in a softmax, `{last.name}`")
    is_graph = getattr(network, "outputs", None) and not isinstance(network, keras.Sequential)
    if is_graph and keras.tree.is_nested(network.output):
        raise invalid("network", "one tensor of features", f"a network of {network.output}")


def _last_layer(network: keras.layers.Layer) -> keras.layers.Layer:
    """Return the layer in which a functional or sequential network ends; another is its own."""
    in_order = isinstance(network, keras.Sequential) or getattr(network, "outputs", None)
    return _last_layer(network.layers[-1]) if in_order and network.layers else network


def _split(argument: str, metrics: Any) -> tuple[list[Any], Any]:
    """Return the metrics that read a tensor of the head, and the others as Keras takes them."""
    if isinstance(metrics, dict):
        raise invalid(argument, "a list, as the model has one output", metrics)
    given = keras.tree.flatten(metrics)
    reading = [metric for metric in given if hasattr(metric, "reads")]
    others = [metric for metric in given if not hasattr(metric, "reads")]
    return reading, (others or None) if reading else metrics


def _check_distinct(metrics: list[Any]) -> None:
    """Raise ValueError for two metrics of one name, of which the logs would hold one."""
    names = [metric.name for metric in metrics]
    if len(set(names)) < len(names):
        expected = "metrics of different names, as `MarginBias(name='weighted_margin_bias')`"
        raise invalid("metrics", expected, names)


def _read_by(metric: Any, outputs: dict[str, Tensor]) -> Any:
    """Return the tensor that a metric reads, or a dict of those where it names several."""
    names = (metric.reads,) if isinstance(metric.reads, str) else metric.reads
    if not set(names) <= set(outputs):
        expected = f"metrics of what the head returns, {', '.join(map(repr, outputs))}"
        if "probabilities" in outputs:
            expected += ", or Keras's of the probabilities, as `SparseTopKCategoricalAccuracy`"
        raise invalid("metrics", expected, f"{metric.name!r}, of {', '.join(map(repr, names))}")
    return outputs[metric.reads] if names == (metric.reads,) else {n: outputs[n] for n in names}


def _input_spec(tensor: keras.KerasTensor) -> keras.InputSpec:
    return keras.InputSpec(shape=(None, *tensor.shape[1:]), dtype=tensor.dtype, name=tensor.name)
