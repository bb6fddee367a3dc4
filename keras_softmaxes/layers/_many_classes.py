"""The head for 10^4 to 10^6 classes."""

import math
from typing import TYPE_CHECKING, Any, Literal, Unpack

import keras
import numpy as np
from keras import ops

from ..ops._class_sampling import cumulative_frequencies, drawn_classes, log_uniform
from ..ops._linear_top_k import linear_top_k
from ..support._arguments import (
    Tensor,
    check_boolean,
    check_integer,
    check_numbers,
    check_positive,
    check_seed,
    invalid,
)
from ..support._configuration import serializable
from ..support._options import Initializer, LayerOptions, Numbers, Regularizer
from ..support._tensors import at_least_float32
from ._head import Head
from ._random import Seeded, draw_uniform

if TYPE_CHECKING:
    from ..losses import LargeMarginCrossentropy

FEWEST = 10_000  # classes that are worth tiles


Frequencies = Literal["uniform", "log_uniform"] | Numbers


@serializable
class ManyClasses(Seeded, Head):
    """Softmax over so many classes that their logits are never all in memory.

    Replaces the last `Dense(classes)` of a classifier. Its logits are f = h W' + b, of features h.
    The head does not compute them. It passes features, kernel and bias to its loss, which goes
    through tiles of classes: nothing of the size (batch, classes) is stored, forward or backward.
    The head's own loss is the plain cross-entropy, `LargeMarginCrossentropy` with weight 0. With
    any weight that loss needs only sums over the classes. Any other
    `keras_softmaxes.losses.HeadLoss` of logits or probabilities is computed for some examples at a
    time. A row of soft labels may hold two classes.

    In evaluation the negative log-likelihood goes through tiles too. `predict` and an exported
    model return the first classes of each example, and `keras_softmaxes.models.top_k` as many as
    you ask for. Metrics of probabilities do not work; `keras_softmaxes.metrics.TopKAccuracy` takes
    one more pass through the classes for the accuracy.

    With `sampled` a training step reads only the rows of the targets and of drawn classes: the
    sampled softmax (`keras_softmaxes.ops.sampled_cross_entropy`). On TensorFlow the gradient is
    sparse, and `keras_softmaxes.optimizers.RowWiseAdam` skips the other rows. Evaluation and
    prediction are exact.

    Below 10,000 classes tiles do not pay. The head is then `dense`, with logits and probabilities
    like every other head.

    Args:
        units: the number of classes C, at least 2.
        dense: whether logits and probabilities are computed for all classes at once; `predict` then
            gives all probabilities. None is True below 10,000 classes, unless `sampled` is given.
        top_k: how many classes `predict` and an exported model return, unless the head is dense;
            None is 10, or all classes if there are fewer.
        sampled: how many classes n are drawn for each batch in training, or None for all.
        sampled_by: how often each is drawn: "uniform", "log_uniform" (Zipf's law, for classes from
            the most frequent to the rarest), or a number above 0 for each class, as its frequency.
        seed: integer that fixes the draws; None takes it from `keras.utils.set_random_seed`.
        kernel_initializer: initialiser of the kernel, (C, features), one row per class.
        bias_initializer: initialiser of the bias.
        kernel_regularizer: regulariser of the kernel. It acts on all rows, in each step.
        bias_regularizer: regulariser of the bias.
        **kwargs: the arguments of every Keras layer.

    Input:
        Features of shape (batch, ..., features).

    Output:
        A dict of "features", (batch, ..., features), "kernel", (C, features), and "bias", (C,). In
        training with `sampled` it also holds "sampled_classes" and "log_counts", the logarithms of
        their expected counts, (n,). A dense head returns "logits" and "probabilities", (batch, ...,
        C).

    Raises:
        ValueError: units that are not an integer of at least 2; a top_k or sampled that is not an
            integer from 1 to the number of classes; `sampled` with `dense`; another `sampled_by`.

    Example:
        >>> import keras_softmaxes as ks
        >>> network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
        >>> model = ks.models.Classifier(network, ks.layers.ManyClasses(100_000, top_k=3))
        >>> model.compile("adam", metrics=[ks.metrics.TopKAccuracy()])
        >>> model.predict(keras.ops.ones((2, 64)), verbose=0)["classes"].shape
        (2, 3)

    Reference:
        Jean et al., On Using Very Large Target Vocabulary for Neural Machine Translation, ACL 2015
        (https://arxiv.org/abs/1412.2007), for the drawn classes.
    """

    def __init__(
        self,
        units: int,
        *,
        dense: bool | None = None,
        top_k: int | None = None,
        sampled: int | None = None,
        sampled_by: Frequencies = "uniform",
        seed: int | None = None,
        kernel_initializer: Initializer = "zeros",
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(units, **kwargs)
        self.dense = None if dense is None else check_boolean("dense", dense)
        self.sampled = _check_sampled(sampled, units, dense)
        few = self.units < FEWEST and sampled is None
        self.is_dense: bool = few if dense is None else dense
        most = math.inf if self.is_dense else units
        top_k = min(10, self.units) if top_k is None else top_k
        self.top_k = int(check_integer("top_k", top_k, least=1, most=most))
        self.sampled_by = _check_frequencies(sampled_by, units)
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernel and the bias, and the table that classes are drawn by."""
        super().build(input_shape)
        # No autocast: a copy of the whole kernel in half precision would save nothing.
        self.kernel = self.add_weight(
            shape=(self.units, input_shape[-1]),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            autocast=False,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.units,),
            initializer=self.bias_initializer,
            regularizer=self.bias_regularizer,
            autocast=False,
            name="bias",
        )
        if self.sampled is not None:
            cumulative = cumulative_frequencies(_frequencies(self.sampled_by, self.units))
            self.total = int(cumulative[-1])
            self.cumulative = self.add_weight(
                shape=(self.units,),
                initializer=lambda shape, dtype: ops.convert_to_tensor(cumulative, dtype=dtype),
                dtype="int32",
                trainable=False,
                name="cumulative_frequencies",
            )

    def call(self, features: Tensor, training: bool = False) -> dict[str, Tensor]:
        """Return features, kernel and bias; a dense head returns logits and probabilities."""
        if self.is_dense:
            kernel, bias = (ops.cast(each, features.dtype) for each in (self.kernel, self.bias))
            logits = at_least_float32(ops.matmul(features, ops.transpose(kernel)) + bias)
            return {"probabilities": ops.softmax(logits, axis=-1), "logits": logits}
        linear = {"features": features, "kernel": self.kernel, "bias": self.bias}
        outputs = {name: at_least_float32(each) for name, each in linear.items()}
        if training and self.sampled is not None:
            uniform = draw_uniform((self.sampled,), "float32", self.seed_generator)
            drawn = drawn_classes(uniform, ops.convert_to_tensor(self.cumulative), self.total)
            outputs |= {"sampled_classes": drawn[0], "log_counts": drawn[1]}
        return outputs

    def predictions(self, outputs: dict[str, Tensor]) -> Tensor | dict[str, Tensor]:
        """Return a dict of the first "classes" and their "probabilities", (..., top_k) each.

        A dense head returns the probabilities of all classes, (..., C).
        """
        return super().predictions(outputs) if self.is_dense else self.first(outputs, self.top_k)

    def first(self, outputs: dict[str, Tensor], k: int) -> dict[str, Tensor]:
        """Return the k classes of the largest probabilities, and these.

        Args:
            outputs: what the head returned.
            k: how many, from 1 to C.

        Returns:
            A dict of "classes" and "probabilities", (..., k) each, the largest first.
        """
        if self.is_dense:
            return super().first(outputs, k)
        features, kernel, bias = (outputs[name] for name in ("features", "kernel", "bias"))
        classes, probabilities = linear_top_k(features, kernel, bias, k)
        return {"classes": classes, "probabilities": probabilities}

    def default_loss(self) -> "LargeMarginCrossentropy":
        """Return the plain cross-entropy."""
        from ..losses import LargeMarginCrossentropy

        return LargeMarginCrossentropy(weight=0.0)


def _check_sampled(sampled: int | None, units: int, dense: bool | None) -> int | None:
    if sampled is not None and dense:
        raise invalid("dense", "False or None where classes are drawn", dense)
    return None if sampled is None else int(check_integer("sampled", sampled, 1, units))


def _check_frequencies(sampled_by: Any, units: int) -> str | list[float]:
    """Return the name of frequencies, or numbers, one per class."""
    if isinstance(sampled_by, str):
        if sampled_by not in ("uniform", "log_uniform"):
            expected = "'uniform', 'log_uniform' or a number above 0 for each class"
            raise invalid("sampled_by", expected, repr(sampled_by))
        return sampled_by
    numbers = check_numbers("sampled_by", sampled_by) or []
    if len(numbers) != units:
        raise invalid("sampled_by", f"{units} numbers, one per class", f"{len(numbers)}")
    check_positive("sampled_by", min(numbers))
    return numbers


def _frequencies(sampled_by: str | list[float], units: int) -> Any:
    if isinstance(sampled_by, str):
        return log_uniform(units) if sampled_by == "log_uniform" else np.ones(units)
    return sampled_by
