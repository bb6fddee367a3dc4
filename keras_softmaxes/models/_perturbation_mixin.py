"""The training step with perturbations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import keras
from keras import ops

from ..layers._random import GENERATOR
from ..perturbations import Perturbation, Step, VirtualAdversarialDropout
from ..perturbations._predictions import check_single_loss
from ..perturbations._step import Parts, check_differentiable
from ..support._arguments import INDEX, Tensor, invalid
from ..support._replicas import after
from ..support._tensors import without_label_as_weight
from ._classifier import Classifier
from ._cut import CleanPass, cut_of, parts_of
from ._writing import loss_tracker, read_ahead, spec_of, write_step

STATE = "perturbation_"

# The mixin extends the class beside it. That is no base of its own: Keras, which turns the bases of
# a model into functional ones, would turn it once for all users.
if TYPE_CHECKING:

    class _ModelBeside(keras.Model):
        pass
else:
    _ModelBeside = object


@dataclass(frozen=True)
class Training:
    """What `compile` made of the perturbations of a model.

    Attributes:
        perturbations: what is added to the loss.
        trackers: a metric for each of them, by its name.
        parts: where the model is cut, and what is below and above.
        clean_pass: its ordinary pass.
        generator: the random numbers of the perturbations.
    """

    perturbations: tuple[Perturbation, ...]
    trackers: tuple[keras.metrics.Mean, ...]
    parts: Parts
    clean_pass: CleanPass
    generator: keras.random.SeedGenerator


class PerturbationMixin(_ModelBeside):
    """Training step that also learns from perturbed passes.

        class MyModel(ks.models.PerturbationMixin, keras.Model): ...

    A step minimises

        loss + sum of weight * perturbation    (Eqs. 6 and 7)

    which is what `fit` reports as "loss"; beside it each weighted perturbation is reported by its
    name. `evaluate`, `predict`, `save` and `export` are those of the class beside it, `keras.Model`
    or `keras_softmaxes.models.Classifier`.

    Perturbations of the inputs and of predictions train any model. Those of masks, adversarial
    dropout, need one `keras_softmaxes.layers.AdversarialDropout` layer, the cut: among the layers
    of a functional or sequential model, or of a classifier's network; in a nested model such a
    layer is ordinary dropout. A step computes what is below the cut once, and what is above it for
    each mask. A graph is split at the cut: everything that leads to the output passes through it. A
    subclassed model, which defines no `call`, has the cut among its attributes and overrides two
    hooks instead: `below(self, inputs, training=None)`, which returns the features below the cut,
    and `above(self, features, training=None)`, which returns the output of features. A mask of
    padding passes through the cut with the features. The exception is a functional model whose
    layers above the cut read the mask.

    Rows without a label have a sample weight of zero, or the class -1, which stands for it. The
    perturbations act on all rows, except the two supervised ones.
    `keras_softmaxes.datasets.semi_supervised` builds such batches. Use `weighted_metrics` then,
    which leave out the unlabelled rows; Keras takes no `class_weight` beside sample weights, the
    losses of this package do.

    Inputs may come with the numbers of the examples, as `{"inputs": x, "keras_softmaxes_index":
    index}`: in training, evaluation and prediction the model sees x.

    Runs on the TensorFlow backend, under `tf.distribute.MirroredStrategy` too.

    Raises:
        TypeError: a class that lists the mixin after `keras.Model`, so that its training step would
            be the plain one.

    Example:
        >>> import keras_softmaxes as ks
        >>> @keras.saving.register_keras_serializable("my_project")  # to be loaded again
        ... class MyModel(ks.models.PerturbationMixin, keras.Model):
        ...     pass
        >>> inputs = keras.Input((64,))
        >>> features = keras.layers.Dense(128, activation="relu")(inputs)
        >>> model = MyModel(inputs, keras.layers.Dense(10)(features))
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> model.compile("adam", loss, perturbations=[ks.perturbations.AdversarialTraining(0.1)])

    Reference:
        Park et al., Adversarial Dropout for Supervised and Semi-supervised Learning, AAAI 2018
        (https://arxiv.org/abs/1707.03631).
    """

    _training: Any = None  # what `compile` makes of the perturbations, a `Training`

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Raise TypeError for a class that names the mixin after `keras.Model`."""
        super().__init_subclass__(**kwargs)
        order = cls.__mro__
        if keras.Model in order and order.index(keras.Model) < order.index(PerturbationMixin):
            raise TypeError(
                f"Invalid bases of `{cls.__name__}`. Expected the mixin before `keras.Model`. "
                "Received: the other order"
            )

    def compile(
        self,
        optimizer: str | dict[str, Any] | keras.Optimizer = "rmsprop",
        loss: Any = None,
        *,
        perturbations: Sequence[Perturbation] | None = None,
        **kwargs: Any,
    ) -> None:
        """Configure the training. Where this raises, the model stays as it was.

        Args:
            optimizer: as in `keras.Model.compile`.
            loss: a single loss; None is that of a classifier's head.
            perturbations: what is added to the loss; None is `default_perturbations()`, and an
                empty list trains plainly.
            **kwargs: the other arguments of `keras.Model.compile`.

        Raises:
            ValueError: something that is not a perturbation, two perturbations of one name, the
                name of a metric, a perturbation that the model cannot train; several losses; where
                a perturbation needs the cut, a model without exactly one that cuts it in two; a
                subclassed model with one hook, or with hooks and a `call`.
        """
        if keras.backend.backend() != "tensorflow":
            expected = '"tensorflow", the one backend on which this trains'
            raise invalid("backend", expected, keras.backend.backend())
        given = self.default_perturbations() if perturbations is None else perturbations
        _check_perturbations(given, [kwargs.get("metrics"), kwargs.get("weighted_metrics")])
        if loss is None and isinstance(self, Classifier):
            loss = self.head.default_loss()
        check_single_loss(loss)
        parts = parts_of(self, _has_hooks(self), any(each.perturbs_masks for each in given))
        for each in given:
            each.check(self, loss, parts.cut)
        super().compile(optimizer, loss, **kwargs)
        for each in given:
            each.build(self)
        self._training = Training(
            tuple(given),
            tuple(keras.metrics.Mean(name=each.name) for each in given),
            parts,
            CleanPass(self, parts),
            keras.random.SeedGenerator(),
        )

    def default_perturbations(self) -> list[Perturbation]:
        """Return the perturbations that `compile` takes if none are given."""
        return []

    def below(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Return the features below the cut; a subclassed model overrides this."""
        raise NotImplementedError

    def above(self, features: Tensor, training: bool | None = None) -> Any:
        """Return the output of features, masked or not; a subclassed model overrides this."""
        raise NotImplementedError

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the output of the inputs, whether an index comes with them or not."""
        return super().__call__(_without_index(inputs)[0], *args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the output, with ordinary dropout at the cut."""
        if not _has_hooks(self):
            masks = {} if mask is None else {"mask": mask}
            return super().call(inputs, training=training, **masks)
        cut = cut_of(self, has_hooks=True)
        features = cut(self.below(inputs, training=training), training=training)
        return self.above(features, training=training)

    def train_step(self, *args: Any) -> dict[str, Any]:
        """Take a step down the gradient of the loss and the perturbations' terms.

        Where labels, weights, index or metrics raise, no weight changes.
        """
        inputs, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(args[0])
        if labels is None or isinstance(labels, dict):
            expected = "labels, -1 where there is none"
            raise invalid("y", expected, labels and "a dict")
        inputs = keras.tree.map_structure(ops.convert_to_tensor, inputs)
        if not self.built:
            self(inputs)  # creates the variables
        with after(self._read_batch(inputs, labels, sample_weight), of_all_replicas=True):
            return self._perturbed_step(inputs, labels, sample_weight)

    def _read_batch(self, inputs: Any, labels: Any, sample_weight: Any) -> list[Any]:
        """Return what is checked of a batch before the model sees its inputs."""
        model_inputs, index = _without_index(inputs)
        read = [each.read_ahead(model_inputs, index) for each in self._training.perturbations]
        spec = spec_of(self)
        if spec is not None:
            labels, sample_weight = self._known(labels, sample_weight, spec)
        return [*read, read_ahead(self.loss, labels, sample_weight, spec)]

    def _known(self, labels: Any, sample_weight: Any, outputs: Any) -> tuple[Any, Any]:
        """Return labels and weights, that of the class -1 being 0 unless the loss ignores it."""
        if getattr(self.loss, "ignore_class", None) == -1:
            return labels, sample_weight
        return without_label_as_weight(labels, sample_weight, outputs)

    def _perturbed_step(self, inputs: Any, labels: Any, sample_weight: Any) -> dict[str, Any]:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            step = self.clean_pass(inputs, labels, sample_weight)
            loss = self.compute_loss(
                step.inputs, step.labels, step.outputs, step.sample_weight, training=True
            )
            with after(loss):  # no term writes its state if a label raises
                terms = [each.weighted_term(step) for each in self._training.perturbations]
            total = sum((ops.cast(term, loss.dtype) for term in terms), loss)
            scaled = self.optimizer.scale_loss(total)
        gradients = tape.gradient(scaled, self.trainable_variables)
        trackers = (loss_tracker(super().metrics), *self._training.trackers)
        means = dict(zip(trackers, (total, *terms), strict=True))
        data = step.inputs, step.labels, step.outputs, step.sample_weight
        return write_step(self, gradients, means, data)

    def clean_pass(self, inputs: Any, labels: Any, sample_weight: Any = None) -> Step:
        """Return the step of a batch after the ordinary pass of the model.

        Args:
            inputs: of the model, with an index or not.
            labels: as the loss takes them; the class -1 is no label.
            sample_weight: likewise, or None.
        """
        import tensorflow as tf

        inputs, index = _without_index(keras.tree.map_structure(ops.convert_to_tensor, inputs))
        training = self._training
        state = [(each, ops.copy(each)) for each in self.variables if not each.trainable]
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            if any(each.perturbs_inputs for each in training.perturbations):
                check_differentiable(inputs)
                tape.watch(inputs)
            features, mask, outputs = training.clean_pass(inputs, training=True)
        labels, sample_weight = self._known(labels, sample_weight, outputs)
        return Step(
            model=self,
            parts=training.parts,
            inputs=inputs,
            index=index,
            labels=labels,
            sample_weight=sample_weight,
            features=features,
            mask=mask,
            outputs=outputs,
            state=state,
            tape=tape,
            generator=training.generator,
        )

    def test_step(self, *args: Any) -> dict[str, Any]:
        """Evaluate one batch, in which there are no perturbations to report."""
        names = [tracker.name for tracker in self._training.trackers]
        logs = super().test_step(*args)
        return {name: value for name, value in logs.items() if name not in names}

    @property
    def metrics(self) -> list[keras.Metric]:
        """All metrics, those of the perturbations' terms among them."""
        return [*super().metrics, *(self._training.trackers if self._training else ())]

    def save_own_variables(self, store: Any) -> None:
        """Save the state of the perturbations and of their random numbers too."""
        super().save_own_variables(store)
        for name, variable in self._state().items():
            store[name] = variable

    def load_own_variables(self, store: Any) -> None:
        """Load the state of the perturbations too, where both sides have it."""
        names = list(store.keys())
        own = [name for name in names if not name.startswith(STATE)]
        super().load_own_variables({name: store[name] for name in own})
        for name, variable in self._state().items():
            if name in names:
                variable.assign(store[name])

    def _state(self) -> dict[str, keras.Variable]:
        """Return what is saved of the perturbations, by names that their order does not change."""
        if not self._training:
            return {}
        return {f"{STATE}{GENERATOR}": self._training.generator.state} | {
            f"{STATE}{quote(each.name, safe='')}_{variable.name}": variable
            for each in self._training.perturbations
            for variable in each.variables
        }

    def get_compile_config(self) -> dict[str, Any]:
        """Return the arguments of `compile`; empty if the model was not compiled."""
        config: dict[str, Any] = super().get_compile_config()
        if config and self._training:
            perturbations = map(keras.saving.serialize_keras_object, self._training.perturbations)
            config["perturbations"] = list(perturbations)
        return config

    compile_from_config = Classifier.compile_from_config


class AdversarialDropoutMixin(PerturbationMixin):
    """`PerturbationMixin` with virtual adversarial dropout as its default perturbation.

        class MyModel(ks.models.AdversarialDropoutMixin, keras.Model): ...

    The model needs a cut, a `keras_softmaxes.layers.AdversarialDropout` layer.

    Example:
        >>> import keras_softmaxes as ks
        >>> @keras.saving.register_keras_serializable("my_project")  # to be loaded again
        ... class MyNetwork(ks.models.AdversarialDropoutMixin, keras.Model):
        ...     pass
        >>> inputs = keras.Input((64,))
        >>> features = keras.layers.Dense(128, activation="relu")(inputs)
        >>> features = ks.layers.AdversarialDropout(rate=0.5, budget=0.05)(features)
        >>> model = MyNetwork(inputs, keras.layers.Dense(10)(features))
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> model.compile("adam", loss)

    Reference:
        Park et al., Adversarial Dropout for Supervised and Semi-supervised Learning, AAAI 2018
        (https://arxiv.org/abs/1707.03631).
    """

    def default_perturbations(self) -> list[Perturbation]:
        """Return virtual adversarial dropout of weight 1."""
        return [VirtualAdversarialDropout()]


def _without_index(inputs: Any) -> tuple[Any, Any]:
    """Return the inputs of the model, and the index of the examples or None."""
    if isinstance(inputs, dict) and INDEX in inputs:
        return inputs["inputs"], inputs[INDEX]
    return inputs, None


def _check_perturbations(perturbations: Any, metrics: Any) -> None:
    is_sequence = isinstance(perturbations, Sequence)
    if not is_sequence or not all(isinstance(each, Perturbation) for each in perturbations):
        expected = "a list of perturbations, as `[VirtualAdversarialDropout()]`"
        raise invalid("perturbations", expected, repr(perturbations))
    names = [each.name for each in perturbations]
    if len(set(names)) < len(names):
        expected = "perturbations of different names (`name=` of two of a kind)"
        raise invalid("perturbations", expected, names)
    measured = {getattr(each, "name", each) for each in keras.tree.flatten(metrics)}
    if taken := [name for name in names if name in measured]:
        expected = "perturbations of other names than the metrics, beside which they are logged"
        raise invalid("perturbations", expected, taken)


def _has_hooks(model: Any) -> bool:
    """Return whether a subclassed model overrides both hooks; raise for one alone, or a `call`."""
    kind = type(model)
    base = {"below": PerturbationMixin.below, "above": PerturbationMixin.above}
    own = [name for name, hook in base.items() if getattr(kind, name) is not hook]
    if len(own) == 1:
        expected = "a subclass that overrides both hooks, `below` and `above`"
        raise invalid("model", expected, f"{kind.__name__}, which overrides `{own[0]}`")
    if own and kind.call is not PerturbationMixin.call:
        expected = "a subclass with the hooks `below` and `above` that defines no `call`"
        raise invalid("model", expected, f"{kind.__name__}, which does")
    return bool(own)
