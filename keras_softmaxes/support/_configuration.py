"""The configuration of a class, which is that of its constructor."""

import inspect
from typing import Any, TypeVar

import keras

Class = TypeVar("Class", bound=type)


def serializable(cls: Class) -> Class:
    """Register a class with Keras, and give it a configuration unless it has its own.

    The configuration holds, beside what the class above it says and the constructor takes, each
    argument of the constructor, whose value is the attribute of the same name. A constructor whose
    `**kwargs` go to that of another such class has its arguments too, and says so in its signature.

    Example:
        >>> @serializable
        ... class Scale(keras.layers.Layer):
        ...     def __init__(self, factor, **kwargs):
        ...         super().__init__(**kwargs)
        ...         self.factor = factor
        >>> Scale(2.0).get_config()["factor"]
        2.0
    """
    signature = _signature(cls)
    if "__init__" in vars(cls):
        cls.__init__.__signature__ = signature  # type: ignore[misc]
    _, *parameters = signature.parameters.values()
    kinds = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    names = [each.name for each in parameters if each.kind not in kinds]
    takes_more = any(each.kind in kinds for each in parameters)

    def get_config(self: Any) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = _config_above(super(cls, self))
        inherited = {name: value for name, value in config.items() if takes_more or name in names}
        own = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}
        return {**inherited, **own}

    def from_config(cls: Any, config: dict[str, Any]) -> Any:
        """Create the object from what `get_config` returned."""
        return cls(**keras.saving.deserialize_keras_object(config))

    for name, function in (("get_config", get_config), ("from_config", classmethod(from_config))):
        if name not in vars(cls):
            setattr(cls, name, function)
    registered: Class = keras.saving.register_keras_serializable("keras_softmaxes")(cls)
    return registered


def _signature(cls: Any) -> inspect.Signature:
    """Return a constructor's signature, what its `**kwargs` are to one of ours above spelt out."""
    signature = inspect.signature(cls.__init__)
    above = getattr(super(cls, cls).__init__, "__signature__", None)
    *own, last = signature.parameters.values()
    if above is None or last.kind is not last.VAR_KEYWORD:
        return signature
    names = [each.name for each in own]
    more = [each for each in above.parameters.values() if each.name not in names]
    by_keyword = [each.replace(kind=max(each.kind, each.KEYWORD_ONLY)) for each in more]
    return signature.replace(parameters=[*own, *by_keyword])


def _config_above(above: Any) -> dict[str, Any]:
    """Return the configuration that the class above gives; Keras's schedules give none."""
    try:
        return above.get_config() if hasattr(above, "get_config") else {}
    except NotImplementedError:
        return {}
