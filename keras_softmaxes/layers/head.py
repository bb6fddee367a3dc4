"""What the evidence heads share."""

from typing import Any

import keras

from keras_softmaxes.ops.checks import Tensor, check_integer, invalid


class EvidenceHead(keras.layers.Layer):
    """Base of the heads whose loss needs more than one number per class.

    Such a head turns features of shape (batch, features) into a dict,

        {"probabilities": (batch, classes), "evidence": (batch, rows, classes)}

    where the probabilities are what the method means at inference, and the evidence is understood
    by the method's own loss alone. `keras_softmaxes.models.Classifier` sends each to its place.

    Both are at least float32, whatever the layer computes in: a softmax in half precision is what
    Keras's guide to mixed precision warns of.

    Args:
        units: the number of classes, at least 2.
        **kwargs: the arguments of every Keras layer.

    Attributes:
        multi_label: whether an example may have any number of the classes.

    Raises:
        ValueError: when it is called within a plain `keras.Model` that returns the dict and was
            compiled with a single loss, which would misread it.
    """

    multi_label = False

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_integer("units", units, least=2)
        self.units: int = int(units)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check the shape of the features."""
        if len(input_shape) != 2 or input_shape[-1] is None:
            expected = "shape (batch, features), as a `Flatten` or a global pooling layer gives it"
            raise invalid("features", expected, f"a tensor of shape {input_shape}")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "units": self.units}

    def _get_call_context(self) -> Any:
        """Tell Keras where a call began, once that is known not to be a model that misreads it.

        Keras asks for this in each call of a layer, and has no public way to know it. Should it no
        longer ask, such a model fails later, in words of Keras's that do not tell what to do.
        """
        context = super()._get_call_context()
        _check_model(self, context.entry_layer)
        return context


class LinearHead(EvidenceHead):
    """Base of the evidence heads whose logits are those of a `Dense` layer.

    Further branches, for further rows of evidence, are `Dense` layers of the same size, without
    regularisers unless the head gives them some.

    Args:
        units: the number of classes, at least 2.
        kernel_initializer: initialiser of the kernels. Each branch draws its own, unless it is an
            initialiser with a seed: then all start alike.
        bias_initializer: initialiser of the biases, likewise.
        kernel_regularizer: regulariser of the logits' kernel.
        bias_regularizer: regulariser of the logits' bias.
        **kwargs: the arguments of every Keras layer.
    """

    def __init__(
        self,
        units: int,
        *,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.logits = self.branch(
            "logits", kernel_regularizer=kernel_regularizer, bias_regularizer=bias_regularizer
        )

    def branch(self, name: str, **regularizers: Any) -> keras.layers.Dense:
        """Return a layer of the head's size, type and initialisers."""
        return keras.layers.Dense(
            self.units,
            kernel_initializer=_clone(self.kernel_initializer),
            bias_initializer=_clone(self.bias_initializer),
            dtype=self.dtype_policy,
            name=name,
            **regularizers,
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the variables of the logits."""
        super().build(input_shape)
        self.logits.build(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.logits.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.logits.bias_regularizer),
        }


class StochasticHead(LinearHead):
    """Base of the evidence heads that draw random numbers.

    Args:
        units: the number of classes, at least 2.
        seed: integer that fixes the head's draws; None takes it from `keras.utils.set_random_seed`.
        **kwargs: the arguments of every head with logits.
    """

    def __init__(self, units: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.seed: int | None = seed
        self.seed_generator: keras.random.SeedGenerator = keras.random.SeedGenerator(seed)

    def sample_probabilities(
        self, evidence: Tensor, generator: keras.random.SeedGenerator
    ) -> Tensor:
        """Draw the class probabilities once, as the method does it without a label.

        Args:
            evidence: what the head returned at inference, (batch, rows, classes).
            generator: state of the random numbers; it advances by one draw.

        Returns:
            (batch, classes).
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "seed": self.seed}


def _clone(initializer: Any) -> Any:
    """Return an initialiser of its own: one instance gives the same values at every call."""
    is_keras = isinstance(initializer, keras.initializers.Initializer)
    return initializer.clone() if is_keras else initializer


def is_evidence(outputs: Any) -> bool:
    """Tell whether `outputs` are the dict of an evidence head."""
    return isinstance(outputs, dict) and set(outputs) == {"probabilities", "evidence"}


def _check_model(head: EvidenceHead, model: Any) -> None:
    """Refuse a plain model with one loss, which would have to take the head's dict apart."""
    routes = ("compute_loss", "train_step")
    plain = isinstance(model, keras.Model) and all(
        getattr(type(model), route) is getattr(keras.Model, route) for route in routes
    )
    loss = getattr(model, "loss", None)
    single = loss is not None and not keras.tree.is_nested(loss)
    if plain and single and _would_misread(model, head, loss):
        expected = (
            "`keras_softmaxes.models.Classifier(inputs, outputs)`, which takes the dict of "
            f"`{type(head).__name__}` apart, in the place of `keras.Model(inputs, outputs)`"
        )
        raise invalid("model", expected, f"{model} compiled with the single loss {loss}")


def _would_misread(model: Any, head: EvidenceHead, loss: Any) -> bool:
    """Tell whether the single loss of a plain model would meet the head's dict.

    What a model with a `call` of its own returns is not known beforehand: there the loss decides.
    """
    last = model.layers[-1] if isinstance(model, keras.Sequential) else model
    outputs = getattr(last, "output", None)
    if outputs is None:
        return bool(getattr(loss, "heads", ()))
    return last is head or is_evidence(outputs)
