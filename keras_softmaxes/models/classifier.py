"""The model that routes what an evidence head returns."""

import functools
from typing import Any

import keras

from keras_softmaxes.layers.head import is_evidence
from keras_softmaxes.losses.base import ClassLoss, EvidenceLoss
from keras_softmaxes.losses.likelihood import LabelsNegativeLogLikelihood, NegativeLogLikelihood
from keras_softmaxes.models.heads import evidence_heads
from keras_softmaxes.ops.checks import Tensor, invalid


class _FunctionalForm:
    """The class of the functional models of a `Classifier` class.

    Left alone, Keras turns a class into a functional one at its first functional use, after which
    neither it nor a subclass can define `call`. So the functional models get a subclass, which is
    saved under the name of the class itself. As an attribute of that class pickle finds it.
    """

    def __get__(self, instance: object, owner: Any) -> type["Classifier"]:
        return _functional_form(owner)


@functools.cache
def _functional_form(cls: Any) -> type["Classifier"]:
    scalar = keras.Input(())
    functional = type(keras.Model(scalar, scalar))
    if issubclass(cls, functional):
        return cls
    qualified_name = f"{cls.__qualname__}.functional_form"
    namespace = {"__module__": cls.__module__, "__qualname__": qualified_name}
    if cls.__init__ is Classifier.__init__:
        # Keras saves the layers only of a model whose constructor is that of a functional one.
        namespace["__init__"] = functional.__init__
    form = type(cls.__name__, (cls, functional), namespace)
    package, found, name = keras.saving.get_registered_name(cls).partition(">")
    if found:
        register = keras.saving.register_keras_serializable(package, name)
        register(form)
        register(cls)  # what a saved model is loaded as
    return form


@keras.saving.register_keras_serializable(package="keras_softmaxes")
class Classifier(keras.Model):
    """A `keras.Model` for heads whose loss needs more than the class probabilities.

    Such a head (`keras_softmaxes.layers.DropMax`, ...) returns a dict of "probabilities" and
    "evidence". This model sends each to its place:

    - in training the loss receives the evidence, and the labels exactly as you passed them;
    - in evaluation the loss is the mean negative log-likelihood of the probabilities, whichever
      loss trains: `val_loss` is deterministic and can be compared between heads;
    - metrics receive the probabilities, so `metrics=["accuracy"]` means what it says;
    - `predict` returns, and `export` serves, the probabilities alone.

    Calling the model returns the head's dict, which must be the model's only output. With a head
    that returns a tensor, such as `Dense`, it behaves as `keras.Model`: there `val_loss` is Keras's
    own, penalties included.

    Args:
        *args: the arguments of `keras.Model`: `inputs` and `outputs` of a functional model, or none
            in a subclass that defines `call`.
        **kwargs: likewise.

    Raises:
        ValueError: a head's dict beside other outputs; in training, a loss of plain logits
            or of another head, which would misread the evidence.

    Example:
        >>> import keras_softmaxes as ks
        >>> inputs = keras.Input((64,))
        >>> model = ks.models.Classifier(inputs, ks.layers.DropMax(10)(inputs))
        >>> model.compile("adam", loss=ks.losses.DropMaxLoss(), metrics=["accuracy"])
        >>> model.predict(keras.ops.ones((2, 64)), verbose=0).shape
        (2, 10)
    """

    _serves_probabilities = False

    functional_form = _FunctionalForm()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        is_functional = len(args) > 1 or "outputs" in kwargs
        if is_functional:
            self.__class__ = type(self).functional_form
        super().__init__(*args, **kwargs)
        if is_functional:
            _check_outputs(self.output)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the head's output, or while the model is exported the probabilities alone."""
        outputs = super().__call__(*args, **kwargs)
        _check_outputs(outputs)
        return _probabilities(outputs) if self._serves_probabilities else outputs

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Return the loss of the evidence in training, of the probabilities in evaluation."""
        if not is_evidence(y_pred):
            return super().compute_loss(x, y, y_pred, sample_weight, training=training)
        if training:
            _check_loss(self, self.loss)
            return super().compute_loss(x, y, y_pred["evidence"], sample_weight)
        has_labels = any(head.multi_label for head in evidence_heads(self))
        likelihood = LabelsNegativeLogLikelihood() if has_labels else NegativeLogLikelihood()
        return likelihood(y, y_pred["probabilities"], sample_weight)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Update the metrics by the probabilities and return their values."""
        return super().compute_metrics(x, y, _probabilities(y_pred), sample_weight)

    def predict_step(self, *args: Any) -> Any:
        """Return the probabilities of one batch."""
        outputs = super().predict_step(*args)
        if keras.backend.backend() == "jax":
            outputs, state = outputs
            return _probabilities(outputs), state
        return _probabilities(outputs)

    def export(self, filepath: Any, format: str = "tf_saved_model", **kwargs: Any) -> None:
        """Export the model for inference; the artifact serves the probabilities alone.

        Under mixed_float16 a functional model takes the type of its `keras.Input`, but a subclassed
        one float16, which is what its `call` receives.

        Args:
            filepath: where to write the artifact.
            format: "tf_saved_model", "onnx", ..., as `keras.Model.export` takes it.
            **kwargs: likewise.

        Raises:
            ValueError: a subclassed model that was never called.
        """
        self._serves_probabilities = True
        try:
            super().export(filepath, format, **kwargs)
        finally:
            self._serves_probabilities = False


def _check_outputs(outputs: Any) -> None:
    """Refuse evidence that no loss would reach, because it is not the only output."""
    paths = [path for path, _ in keras.tree.flatten_with_path(outputs)]
    if not is_evidence(outputs) and any(path[-1:] == ("evidence",) for path in paths):
        names = ["/".join(map(str, path)) for path in paths]
        raise invalid("outputs", "the dict of an evidence head as the only output", names)


def _probabilities(outputs: Any) -> Any:
    return outputs["probabilities"] if is_evidence(outputs) else outputs


def _check_loss(model: keras.Model, loss: Any) -> None:
    """Refuse losses of plain logits and of other heads, which would misread the evidence."""
    for each in keras.tree.flatten(loss):
        is_keras = isinstance(each, str) or getattr(each, "__module__", "").startswith("keras.")
        is_others = isinstance(each, ClassLoss) and not _belongs(each, model)
        if is_keras or is_others:
            names = {type(head).__name__ for head in evidence_heads(model)}
            ours = [c.__name__ for c in EvidenceLoss.__subclasses__() if names & set(c.heads)]
            expected = f"the loss that belongs to the head, {', '.join(ours) or 'as DropMaxLoss'}"
            raise invalid("loss", expected, repr(loss))


def _belongs(loss: ClassLoss, model: keras.Model) -> bool:
    if not isinstance(loss, EvidenceLoss):
        return False
    heads = [{parent.__name__ for parent in type(head).__mro__} for head in evidence_heads(model)]
    return all(names & set(loss.heads) for names in heads)
