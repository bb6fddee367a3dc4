"""What the evidence heads share."""

from typing import Any

import keras
from keras.src.backend.common import global_state

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

    Raises:
        ValueError: when it is called within a plain functional `keras.Model` that returns the dict
            and was compiled with a single loss, which would misread it.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_integer("units", units, least=2)
        self.units: int = int(units)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the dict, unless the model around cannot train with it."""
        _check_model(self, _outermost())
        return super().__call__(*args, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check the shape of the features."""
        if len(input_shape) != 2 or input_shape[-1] is None:
            expected = "shape (batch, features), as a `Flatten` or a global pooling layer gives it"
            raise invalid("features", expected, f"a tensor of shape {input_shape}")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "units": self.units}


class StochasticHead(EvidenceHead):
    """Base of the evidence heads that draw random numbers.

    Args:
        units: the number of classes, at least 2.
        seed: integer that fixes the head's draws; None takes it from `keras.utils.set_random_seed`.
        **kwargs: the arguments of every Keras layer.
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


def is_evidence(outputs: Any) -> bool:
    """Tell whether `outputs` are the dict of an evidence head."""
    return isinstance(outputs, dict) and set(outputs) == {"probabilities", "evidence"}


def _outermost() -> Any:
    """Return the layer or model that the user called. Keras has no public reader for it."""
    return getattr(global_state.get_global_attribute("current_call_ctx"), "entry_layer", None)


def _check_model(head: EvidenceHead, model: Any) -> None:
    """Refuse a model that would fail later, in words of Keras's that do not tell what to do."""
    routes = ("compute_loss", "train_step")
    plain = isinstance(model, keras.Model) and all(
        getattr(type(model), route) is getattr(keras.Model, route) for route in routes
    )
    loss = getattr(model, "loss", None)
    single = loss is not None and not keras.tree.is_nested(loss)
    if plain and single and _returns_evidence(model, head):
        expected = (
            "`keras_softmaxes.models.Classifier(inputs, outputs)`, which takes the dict of "
            f"`{type(head).__name__}` apart, in the place of `keras.Model(inputs, outputs)`"
        )
        raise invalid("model", expected, f"{model} compiled with the single loss {loss}")


def _returns_evidence(model: Any, head: EvidenceHead) -> bool:
    """Tell whether a functional model or a `Sequential` does; of others nobody knows beforehand."""
    last = model.layers[-1] if isinstance(model, keras.Sequential) else model
    return last is head or is_evidence(getattr(last, "output", None))
