"""The training step with adversarial dropout."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_softmaxes.models.cut import find_cut, split
from keras_softmaxes.ops.checks import Tensor, invalid
from keras_softmaxes.ops.replicas import replica_count
from keras_softmaxes.perturbations.base import Perturbation
from keras_softmaxes.perturbations.dropout import VirtualAdversarialDropout
from keras_softmaxes.perturbations.predictions import check_single_loss
from keras_softmaxes.perturbations.step import Step

STATE = "perturbation_"

# The mixin extends the class beside it. That is no base of its own: Keras, which turns the bases of
# a model into functional ones, would turn it once for all users.
if TYPE_CHECKING:

    class _ModelBeside(keras.Model):
        pass
else:
    _ModelBeside = object


class AdversarialDropoutMixin(_ModelBeside):
    """Training step that also learns from perturbed passes, for a model cut at one layer.

        class MyModel(ks.models.AdversarialDropoutMixin, keras.Model): ...

    The model has one `keras_softmaxes.layers.AdversarialDropout` layer, the cut. A step computes
    what is below it once, and what is above it for each mask: the random one of the model's own
    loss, and those of the perturbations. It minimises

        loss + sum of weight * perturbation    (Eqs. 6 and 7)

    which is also what `fit` reports as "loss". `evaluate`, `predict`, `save` and `export` are those
    of the class beside it, `keras.Model` or `keras_softmaxes.models.Classifier`.

    A functional model is split at the cut: everything that leads to the output passes through it. A
    subclassed model, which defines no `call`, has the cut among its attributes and overrides two
    hooks instead: `under(self, inputs, training=None)`, which returns the features below the cut,
    and `upper(self, features, training=None)`, which returns the output of features.

    Training is semi-supervised where rows have a sample weight of zero: the perturbations act on
    all rows, but for the two supervised ones. Their labels mean nothing, and are ones that the loss
    takes all the same: any class, not -1. `keras_softmaxes.datasets.semi_supervised` builds such
    batches. Use `weighted_metrics` then, which leave out the unlabelled rows; Keras takes no
    `class_weight` beside sample weights.

    Runs on the TensorFlow backend, under `tf.distribute.MirroredStrategy` too.

    Attributes:
        cut_parts: where the compiled model is cut, and what is below and above.

    Raises:
        TypeError: a class that names the mixin after `keras.Model`, which would train plainly.

    Example:
        >>> import keras_softmaxes as ks
        >>> @keras.saving.register_keras_serializable("my_project")  # to be loaded again
        ... class MyModel(ks.models.AdversarialDropoutMixin, keras.Model):
        ...     pass
        >>> inputs = keras.Input((64,))
        >>> features = keras.layers.Dense(128, activation="relu")(inputs)
        >>> features = ks.layers.AdversarialDropout(rate=0.5, budget=0.05)(features)
        >>> model = MyModel(inputs, keras.layers.Dense(10)(features))
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> model.compile("adam", loss, perturbations=[ks.perturbations.PiModel(weight=10.0)])

    Reference:
        Park et al., Adversarial Dropout for Supervised and Semi-supervised Learning, AAAI 2018
        (https://arxiv.org/abs/1707.03631).
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a class that names the mixin after `keras.Model`."""
        super().__init_subclass__(**kwargs)
        order = cls.__mro__
        if keras.Model in order and order.index(keras.Model) < order.index(AdversarialDropoutMixin):
            raise TypeError(
                f"Invalid bases of `{cls.__name__}`. Expected `AdversarialDropoutMixin` before "
                "`keras.Model`. Received: the other order"
            )

    def compile(
        self, *args: Any, perturbations: Sequence[Perturbation] | None = None, **kwargs: Any
    ) -> None:
        """Configure the training.

        Args:
            *args: the arguments of `keras.Model.compile`, with a single loss.
            perturbations: what is added to the loss; None is virtual adversarial dropout, and an
                empty list trains plainly.
            **kwargs: as `args`.

        Raises:
            ValueError: perturbations that are none, or that the model cannot train; several losses;
                a functional model without exactly one cut, or whose outputs do not all and only
                depend on it; a subclassed one without it or without one of the hooks; a head that
                needs a `keras_softmaxes.models.Classifier` beside the mixin.
        """
        if keras.backend.backend() != "tensorflow":
            expected = '"tensorflow", the one backend on which this trains'
            raise invalid("backend", expected, keras.backend.backend())
        parts, perturbations = split(self, _has_hooks(self)), _checked(perturbations)
        super().compile(*args, **kwargs)
        check_single_loss(self.loss)
        for each in perturbations:
            each.compile(self, parts.cut)
        self.cut_parts, self._perturbations = parts, perturbations

    def under(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Return the features below the cut; a subclassed model overrides this."""
        raise NotImplementedError

    def upper(self, features: Tensor, training: bool | None = None) -> Any:
        """Return the output of features, masked or not; a subclassed model overrides this."""
        raise NotImplementedError

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the output of the inputs, whether an index comes with them or not."""
        return super().__call__(_without_index(inputs)[0], *args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the output, with ordinary dropout at the cut."""
        if not _has_hooks(self):
            return super().call(inputs, training=training, mask=mask)
        features = find_cut(self)(self.under(inputs, training=training), training=training)
        return self.upper(features, training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take a step down the gradient of the loss and the perturbations' terms."""
        import tensorflow as tf

        inputs, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        inputs, index = _without_index(keras.tree.map_structure(ops.convert_to_tensor, inputs))
        if labels is None:
            expected = "labels, of any class where the row has the sample weight 0"
            raise invalid("y", expected, None)
        watch = any(each.perturbs_inputs for each in self._perturbations)
        with tf.GradientTape() as tape:
            step = Step.begin(self, self.cut_parts, (inputs, index, labels, sample_weight), watch)
            total = self.compute_loss(inputs, labels, step.outputs, sample_weight, training=True)
            for each in self._perturbations:
                total += ops.cast(each.weighted_term(step), total.dtype)
            scaled = self.optimizer.scale_loss(total)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        self._report(total, ops.shape(step.clean.features)[0])
        return self.compute_metrics(inputs, labels, step.outputs, sample_weight)

    def _report(self, total: Tensor, rows: Tensor) -> None:
        """Track the loss as it is, not as it was scaled for the replicas."""
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(total * replica_count(), sample_weight=rows)

    def save_own_variables(self, store: Any) -> None:
        """Save the state of the perturbations too."""
        super().save_own_variables(store)
        for name, variable in self._state().items():
            store[name] = variable

    def load_own_variables(self, store: Any) -> None:
        """Load the state of the perturbations too, where both sides have it."""
        for name, variable in self._state().items():
            if name in store.keys():  # noqa: SIM118, it is no dict
                variable.assign(store[name])
        own = [name for name in store.keys() if not name.startswith(STATE)]  # noqa: SIM118
        super().load_own_variables({name: store[name] for name in own})

    def _state(self) -> dict[str, keras.Variable]:
        return {
            f"{STATE}{number}_{variable.name}": variable
            for number, each in enumerate(getattr(self, "_perturbations", ()))
            for variable in each.variables
        }

    def get_compile_config(self) -> dict[str, Any]:
        """Return the arguments of `compile`, none of a model that was not compiled."""
        config = super().get_compile_config()
        if config:
            perturbations = [keras.saving.serialize_keras_object(p) for p in self._perturbations]
            config["perturbations"] = perturbations
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as another model was, and create the optimizer's variables."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)


def _without_index(inputs: Any) -> tuple[Any, Any]:
    """Return the inputs of the model, and the index of the examples or None."""
    if isinstance(inputs, dict) and set(inputs) == {"inputs", "index"}:
        return inputs["inputs"], inputs["index"]
    return inputs, None


def _checked(perturbations: Any) -> tuple[Perturbation, ...]:
    if perturbations is None:
        return (VirtualAdversarialDropout(),)
    is_sequence = isinstance(perturbations, Sequence)
    if not is_sequence or not all(isinstance(each, Perturbation) for each in perturbations):
        expected = "a list of perturbations, as `[VirtualAdversarialDropout()]`"
        raise invalid("perturbations", expected, repr(perturbations))
    return tuple(perturbations)


def _has_hooks(model: Any) -> bool:
    """Tell whether a subclassed model overrides both hooks; refuse one alone."""
    names = ("under", "upper")
    own = [
        name
        for name in names
        if getattr(type(model), name) is not getattr(AdversarialDropoutMixin, name)
    ]
    if len(own) == 1:
        expected = "a subclass that overrides both hooks, `under` and `upper`"
        raise invalid("model", expected, f"{type(model).__name__}, which overrides `{own[0]}`")
    return bool(own)
