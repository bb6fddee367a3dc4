"""What the heads share."""

from typing import TYPE_CHECKING, Any, NoReturn, Unpack

import keras
from keras import ops

from ..support._arguments import MOST, Tensor, check_integer, check_seed, invalid
from ..support._configuration import serializable
from ..support._options import Initializer, LayerOptions, LinearOptions, Regularizer
from ._random import Seeded

if TYPE_CHECKING:
    from ..losses import HeadLoss

MOST_TENSORS = 64  # that a head may return with a mask of padding


@serializable
class Head(keras.layers.Layer):
    """Base of the heads: a last layer that passes several tensors to its loss.

    A head turns features of shape (batch, ..., features) into a flat dict of named tensors. It
    holds "probabilities", those of inference, and "logits" if the method has logits.
    (`keras_softmaxes.layers.ManyClasses` computes neither.) The rest is what the method's own loss
    reads, a `keras_softmaxes.losses.HeadLoss`, which names the tensors.
    `keras_softmaxes.models.Classifier` sends each tensor to its place.

    A head of your own overrides `call`. It overrides `default_loss` too if `compile` should work
    without a loss. Return tensors of at least float32, whatever the layer computes in: a softmax in
    half precision is what Keras's guide to mixed precision warns of. A mask of padding on the
    features is one on each of the tensors.

    Args:
        units: the number of classes, at least 2.
        **kwargs: the arguments of every Keras layer.

    Raises:
        ValueError: units that are not an integer of at least 2; when it is built, features of rank
            1 or of an unknown number.

    Example:
        >>> import keras_softmaxes as ks
        >>> class Cosine(ks.layers.Head):
        ...     def build(self, input_shape):
        ...         super().build(input_shape)
        ...         self.kernel = self.add_weight(shape=(input_shape[-1], self.units))
        ...
        ...     def call(self, features):
        ...         unit = keras.ops.normalize(self.kernel, axis=0)
        ...         logits = 16 * keras.ops.matmul(keras.ops.normalize(features), unit)
        ...         return {"logits": logits, "probabilities": keras.ops.softmax(logits)}
        >>> network = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16)])
        >>> model = ks.models.Classifier(network, Cosine(10))
        >>> model.compile("adam", ks.losses.LargeMarginCrossentropy())
    """

    def __init__(self, units: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.units: int = int(check_integer("units", units, least=2, most=MOST))
        self.supports_masking = True

    if TYPE_CHECKING:  # Keras's has no types

        def __call__(
            self, features: Tensor, training: bool | None = None, mask: Tensor | None = None
        ) -> dict[str, Tensor]:
            """Return the named tensors."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check the shape of the features."""
        is_shape = isinstance(input_shape, list | tuple) and not any(
            keras.tree.is_nested(size) for size in input_shape
        )
        if not is_shape or len(input_shape) < 2 or input_shape[-1] is None:
            expected = "shape (batch, ..., features), as `Flatten` or a global pooling gives it"
            raise invalid("features", expected, f"a tensor of shape {input_shape}")
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: input_shape[-1]})

    def default_loss(self) -> "HeadLoss":
        """Return the loss of the head's paper, which `compile` takes if none is given.

        Raises:
            ValueError: a head that has no such loss.
        """
        raise invalid("loss", f"one, as {type(self).__name__} has no `default_loss`", None)

    def predictions(self, outputs: dict[str, Tensor]) -> Tensor | dict[str, Tensor]:
        """Return the part of the head's outputs that `predict` and an exported model return."""
        return outputs["probabilities"]

    def first(self, outputs: dict[str, Tensor], k: int) -> dict[str, Tensor]:
        """Return the k classes of the largest probabilities, and these.

        Args:
            outputs: what the head returned.
            k: how many, from 1 to the number of classes.

        Returns:
            A dict of "classes", int32, and "probabilities", (..., k) each, the largest first.
        """
        probabilities, classes = ops.top_k(outputs["probabilities"], k)
        return {"classes": ops.cast(classes, "int32"), "probabilities": probabilities}

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> dict[str, keras.KerasTensor]:
        """Return the shapes and types of the tensors that `call` returns."""
        spec: dict[str, keras.KerasTensor]
        spec = keras.Operation.compute_output_spec(self, *args, **kwargs)
        return spec

    def compute_output_shape(self, input_shape: Any) -> NoReturn:
        """Raise: a head cannot be wrapped by a layer that expects one tensor of it.

        Raises:
            NotImplementedError: always; `compute_output_spec` returns the shapes.
        """
        expected = "the head itself, which takes features (batch, ..., features) and returns a dict"
        wrapped = f"`{self.name}` in a layer of one output, as `keras.layers.TimeDistributed`"
        raise NotImplementedError(invalid("layer", expected, wrapped))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Return the mask of the features for each tensor that the head returns."""
        # Keras hands them to the tensors one by one, however many there are. To ask `call` for
        # their number is too late here: inside a step JAX does not let it be traced again.
        return None if previous_mask is None else [previous_mask] * MOST_TENSORS


@serializable
class LinearHead(Head):
    """Base of the heads whose logits are those of a `Dense` layer.

    They start from a kernel of zeros, from which all classes are equally likely: with many classes,
    a random kernel gives confident wrong logits, which training has to undo first. Further branches
    are `Dense` layers of the same size, without regularisers.

    Args:
        units: the number of classes, at least 2.
        kernel_initializer: initialiser of the logits' kernel.
        bias_initializer: initialiser of the biases. Each branch draws its own, unless it is an
            initialiser with a seed: then all start alike.
        kernel_regularizer: regulariser of the logits' kernel.
        bias_regularizer: regulariser of the logits' bias.
        **kwargs: the arguments of every Keras layer.
    """

    def __init__(
        self,
        units: int,
        *,
        kernel_initializer: Initializer = "zeros",
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(units, **kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.branches: list[keras.layers.Dense] = []
        self.logits = self.branch("logits", self.kernel_initializer, regularized=True)

    def branch(
        self, name: str, kernel_initializer: Initializer, regularized: bool = False
    ) -> keras.layers.Dense:
        """Return a layer of the head's size and type, which is built with it."""
        branch = keras.layers.Dense(
            self.units,
            kernel_initializer=_clone(kernel_initializer),
            bias_initializer=_clone(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer if regularized else None,
            bias_regularizer=self.bias_regularizer if regularized else None,
            dtype=self.dtype_policy,
            name=name,
        )
        self.branches.append(branch)
        return branch

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the variables of the branches."""
        super().build(input_shape)
        for branch in self.branches:
            branch.build(input_shape)

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the shape of the features, and which branches are quantised or have LoRA."""
        config = super().get_build_config()
        quantized = [each for each in self.branches if each.quantization_mode]
        policies = {each.name: each.dtype_policy.name for each in quantized}
        adapted = [each for each in self.branches if each.lora_enabled]
        ranks = {each.name: [each.lora_rank, each.lora_alpha] for each in adapted}
        return {**config, "quantized": policies, "lora": ranks} if config else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Create the variables of the branches as they were, quantised, with LoRA, or neither."""
        super().build_from_config(config)
        for branch in self.branches:
            if branch.name in config.get("quantized", {}):
                branch.dtype_policy = config["quantized"][branch.name]
            if branch.name in config.get("lora", {}):
                branch.enable_lora(*config["lora"][branch.name])


@serializable
class StochasticHead(Seeded, LinearHead):
    """Base of the heads that draw random numbers, from a generator that is saved with the weights.

    Args:
        units: the number of classes, at least 2.
        seed: integer that fixes the head's draws; None takes it from `keras.utils.set_random_seed`.
        **kwargs: the arguments of every head with logits.
    """

    def __init__(
        self, units: int, seed: int | None = None, **kwargs: Unpack[LinearOptions]
    ) -> None:
        super().__init__(units, **kwargs)
        self.seed: int | None = check_seed(seed)
        self.seed_generator: keras.random.SeedGenerator = keras.random.SeedGenerator(self.seed)

    def sample_probabilities(
        self, outputs: dict[str, Tensor], generator: keras.random.SeedGenerator
    ) -> Tensor:
        """Draw the class probabilities once, as the method does it without a label.

        Args:
            outputs: what the head returned at inference.
            generator: state of the random numbers; it advances by one draw.

        Returns:
            (..., classes).
        """
        raise NotImplementedError


def _clone(initializer: Any) -> Any:
    """Return an initialiser of its own: one instance gives the same values at every call."""
    is_keras = isinstance(initializer, keras.initializers.Initializer)
    return initializer.clone() if is_keras else initializer
