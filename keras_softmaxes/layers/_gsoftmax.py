"""The G-softmax layer."""

from collections.abc import Iterable, Iterator
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from ..ops._gsoftmax import gsoftmax_logits
from ..support._arguments import (
    Tensor,
    check_boolean,
    check_not_negative,
    invalid,
    positive_stddev,
)
from ..support._configuration import serializable
from ..support._options import LayerOptions, Numbers
from ..support._xla import xla_compiled

SMALLEST_STDDEV = 1e-3
Start = float | Numbers  # for all classes, or for each

_gsoftmax_logits = xla_compiled(gsoftmax_logits)


@serializable
class GSoftmax(keras.layers.Layer):
    """Adds to each logit the Gaussian CDF of its class, whose mean and deviation are learned.

        a = x + lambda Phi(x; mu, sigma)

    It goes between the last `Dense(classes)` and any loss of logits: Keras's cross-entropies,
    `keras_softmaxes.losses.LargeMarginCrossentropy`, or for several labels per example
    `keras.losses.BinaryCrossentropy(from_logits=True)`, the paper's Eq. 14 with the Gaussian term.
    Its `mean` and `stddev` show how compact and how separable the classes are; see
    `keras_softmaxes.ops.separability`.

    The paper says that mu and sigma are learned by gradient. Its authors' single-label script never
    updates them, which is `learn=False`, and their multi-label script moves mu the wrong way. No
    step of an optimiser takes sigma below 0.001, where the CDF is as good as a step.

    Args:
        scale: lambda, at least 0; 0 leaves the logits as they are. The paper starts from 1 and
            tries values in [0, 1].
        mean: the start of mu, a number or one for each class. The paper's is 0, or what `adapt`
            computes.
        stddev: the start of sigma, at least 0.001, likewise. The paper's is 1.
        learn: whether mu and sigma are learned. With scale 0 there is nothing to learn.
        **kwargs: the arguments of every Keras layer.

    Attributes:
        mean: mu, a variable of shape (classes,), once the layer is built.
        stddev: sigma, likewise.

    Input:
        Logits of shape (..., classes).

    Output:
        Logits of the same shape, in float32 or float64.

    Raises:
        ValueError: an argument out of its range; logits of rank 1, of fewer than 2 classes or of a
            number that is not known; a number of starts other than 1 or the number of classes.

    Example:
        >>> import keras_softmaxes as ks
        >>> inputs = keras.Input((64,))
        >>> outputs = ks.layers.GSoftmax()(keras.layers.Dense(10)(inputs))
        >>> model = keras.Model(inputs, outputs)
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> model.compile("adam", loss=loss, metrics=["accuracy"])

    Reference:
        Luo et al., G-softmax: Improving Intra-class Compactness and Inter-class Separability of
        Features, IEEE TNNLS 2019, Eq. 3 (https://arxiv.org/abs/1904.04317).
    """

    def __init__(
        self,
        scale: float = 1.0,
        mean: Start = 0.0,
        stddev: Start = 1.0,
        learn: bool = True,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        # Keras's autocast would round logits of float32 to half precision in mixed precision.
        super().__init__(autocast=False, **kwargs)
        self.scale = float(check_not_negative("scale", scale))
        self.start = {"mean": _start("mean", mean), "stddev": _start("stddev", stddev)}
        if np.min(self.start["stddev"]) < SMALLEST_STDDEV:
            raise invalid("stddev", f"at least {SMALLEST_STDDEV}", repr(self.start["stddev"]))
        self.learn = check_boolean("learn", learn)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the means and the standard deviations."""
        classes = input_shape[-1]
        if len(input_shape) < 2 or classes is None or classes < 2:
            expected = "shape (batch, ..., classes) with a known number of classes, at least 2"
            raise invalid("logits", expected, f"a tensor of shape {input_shape}")
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: classes})
        self.mean = self._parameter("mean", classes)
        self.stddev = self._parameter("stddev", classes, constraint=_FarFromZero())

    def call(self, logits: Tensor, training: bool = False) -> Tensor:
        """Return x + lambda Phi(x; mu, sigma)."""
        logits = ops.cast(logits, self._output_dtype)
        mean, stddev = ops.copy(self.mean), ops.copy(self.stddev)  # tensors, as kernels need
        if not training or self.scale == 0:  # what is served must run where there is no XLA
            return gsoftmax_logits(logits, mean, stddev, self.scale)
        return _gsoftmax_logits(logits, mean, positive_stddev(stddev), self.scale)

    def adapt(self, data: Any) -> None:
        """Set mu and sigma to the mean and the population deviation of each class's logits.

        This is the paper's data-driven start. Call it before training, with the logits of a
        network that has learned something: `layer.adapt(keras.Model(model.input,
        layer.input).predict(x))`.

        Args:
            data: logits of shape (examples, classes), or batches of them: a `tf.data.Dataset`, a
                `keras.utils.PyDataset` or a generator. The moments are taken in float64.

        Raises:
            ValueError: data of another shape, with a class whose logits are all the same, or with a
                NaN or infinity.
        """
        mean, stddev = _moments(data)
        if not self.built:
            self.build((None, len(mean)))
        if len(mean) != self.mean.shape[0]:
            expected = f"logits of shape (examples, {self.mean.shape[0]})"
            raise invalid("data", expected, f"{len(mean)} classes")
        if stddev.min() < SMALLEST_STDDEV:
            expected = f"logits that deviate by at least {SMALLEST_STDDEV} in each class"
            raise invalid("data", expected, f"a deviation of {stddev.min()}")
        self.mean.assign(mean)
        self.stddev.assign(stddev)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the logits."""
        return input_shape

    def compute_output_spec(self, logits: Tensor, training: bool = False) -> keras.KerasTensor:
        """Return the shape of the logits, and a type of at least float32."""
        return keras.KerasTensor(logits.shape, self._output_dtype)

    @property
    def _output_dtype(self) -> str:
        dtype: str = keras.backend.result_type(self.compute_dtype, "float32")
        return dtype

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; the attributes `mean` and `stddev` are variables."""
        start = {"scale": self.scale, **self.start, "learn": self.learn}
        return {**keras.layers.Layer.get_config(self), **start}

    def _parameter(self, name: str, classes: int, constraint: Any = None) -> keras.Variable:
        start = np.array(self.start[name])
        if start.shape not in ((), (classes,)):
            raise invalid(name, f"a number, or one for each of {classes} classes", self.start[name])
        return self.add_weight(
            shape=(classes,),
            initializer=keras.initializers.Constant(start),
            trainable=self.learn and self.scale > 0,
            constraint=constraint,
            autocast=False,
            name=name,
        )


class _FarFromZero(keras.constraints.Constraint):
    """Keep standard deviations from falling below the smallest."""

    def __call__(self, stddev: Tensor) -> Tensor:
        return ops.maximum(stddev, SMALLEST_STDDEV)


def _start(argument: str, value: Start) -> float | list[float]:
    """Return a number or a list of them, as JSON keeps it."""
    try:
        start = np.asarray(value, dtype="float64")
    except (OverflowError, TypeError, ValueError):  # no numbers, or too large for a float
        start = np.array(np.nan)
    if start.ndim > 1 or not start.size or not np.isfinite(start).all():
        raise invalid(argument, "a finite number, or one for each class", repr(value))
    numbers: float | list[float] = start.tolist()
    return numbers


def _moments(data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the population deviation of each column, merged batch by batch."""
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for batch in _batches(data):
        rows = keras.ops.convert_to_numpy(batch).astype("float64")
        if rows.ndim != 2 or rows.shape[0] < 1 or rows.shape[1] < 2:
            raise invalid("data", "logits of shape (examples, classes)", f"shape {rows.shape}")
        if count and rows.shape[1:] != mean.shape:
            expected = f"as many classes in each batch as in the first, {len(mean)}"
            raise invalid("data", expected, f"a batch of shape {rows.shape}")
        if not np.isfinite(rows).all():
            raise invalid("data", "finite logits", f"values from {rows.min()} to {rows.max()}")
        share = len(rows) / (count + len(rows))
        difference = rows.mean(axis=0) - mean
        squares = squares + len(rows) * rows.var(axis=0) + count * share * difference**2
        count, mean = count + len(rows), mean + share * difference
    if not count:
        raise invalid("data", "at least one example", "none")
    return mean, np.sqrt(squares / count)


def _batches(data: Any) -> Iterable[Any]:
    if isinstance(data, keras.utils.PyDataset):
        return (data[number] for number in range(data.num_batches))
    is_of_batches = hasattr(data, "as_numpy_iterator") or isinstance(data, Iterator)
    return data if is_of_batches else [data]
