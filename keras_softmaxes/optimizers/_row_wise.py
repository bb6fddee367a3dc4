"""Adam that skips rows without a gradient."""

from typing import Any

import keras

from ..support._arguments import Tensor, check_boolean, check_positive, check_share
from ..support._replicas import replica_count


@keras.saving.register_keras_serializable("keras_softmaxes")
class RowWiseAdam(keras.optimizers.Adam):
    """Adam whose step reads and writes only those rows of a table that have a gradient.

    Keras's Adam moves every row of an embedding or of a kernel in each step, by the running means
    of past gradients. With a million rows that costs more than the rest of the step. Here a sparse
    gradient updates the means and the weights of its own rows alone. Sparse gradients
    (`tf.IndexedSlices`) come from `keras.layers.Embedding` and from
    `keras_softmaxes.layers.ManyClasses(sampled=n)`. For a dense gradient the step is Adam's. The
    bias correction counts all steps, not those of a row. So a row whose first gradient comes late
    starts with a step of (1 - beta_1) / sqrt(1 - beta_2) times the learning rate, 3.2 by default,
    where Adam's first step of all is the learning rate.

    The step is sparse on TensorFlow, on one device. JAX's gradients are dense, and with several
    replicas they are made dense. `clipnorm` and `clipvalue` bound each occurrence of a row, and not
    their sum, as Keras's optimizers do. `weight_decay`, `use_ema` and `global_clipnorm` act on all
    weights and stay as slow as in Adam.

    Args:
        learning_rate: a number or a schedule, as in `keras.optimizers.Adam`, all others too.
        beta_1: decay of the mean of gradients, in [0, 1).
        beta_2: decay of the mean of their squares, in [0, 1).
        epsilon: what the root is kept from 0 by, above 0.
        amsgrad: True takes the dense way.
        **kwargs: the arguments of every Keras optimizer.

    Raises:
        ValueError: betas, an epsilon or an amsgrad that are none of these.

    Example:
        >>> import keras_softmaxes as ks
        >>> network = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
        >>> head = ks.layers.ManyClasses(1_000_000, sampled=8192)
        >>> model = ks.models.Classifier(network, head)
        >>> model.compile(ks.optimizers.RowWiseAdam(1e-3))

    Reference:
        Kingma & Ba, Adam: A Method for Stochastic Optimization, ICLR 2015
        (https://arxiv.org/abs/1412.6980).
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1=check_share("beta_1", beta_1, below_one=True),
            beta_2=check_share("beta_2", beta_2, below_one=True),
            epsilon=check_positive("epsilon", epsilon),
            amsgrad=check_boolean("amsgrad", amsgrad),
            **kwargs,
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Tensor) -> None:
        """Update a variable; with a sparse gradient, its rows that have one."""
        if not _is_sparse(gradient):
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        if replica_count() > 1 or self.amsgrad:
            super().update_step(tf.convert_to_tensor(gradient), variable, learning_rate)
            return

        variable = variable if isinstance(variable, tf.Variable) else variable.value
        index = self._get_variable_index(variable)
        states = self._momentums[index], self._velocities[index]
        tables = variable, *(state.value for state in states)
        ids, slopes = gradient.indices, tf.cast(_sum_of_equal(gradient), variable.dtype)
        rows, means, squares = (tf.gather(each, ids) for each in tables)
        means += (slopes - means) * (1 - self.beta_1)
        squares += (slopes**2 - squares) * (1 - self.beta_2)
        step = tf.cast(self.iterations + 1, slopes.dtype)
        beta_1, beta_2 = (tf.cast(each, slopes.dtype) for each in (self.beta_1, self.beta_2))
        rate = tf.cast(learning_rate, slopes.dtype) * tf.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        rows -= rate * means / (tf.sqrt(squares) + self.epsilon)
        for table, updated in zip(tables, (rows, means, squares), strict=True):
            table.scatter_update(tf.IndexedSlices(updated, ids))


def _is_sparse(gradient: Any) -> bool:
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(gradient, tf.IndexedSlices)


def _sum_of_equal(gradient: Any) -> Tensor:
    """Return for each index the sum of all slices with that index.

    A repeated row is then written several times with the same value. So the number of distinct rows
    is not needed, which XLA does not know.
    """
    import tensorflow as tf

    ids, values = gradient.indices, gradient.values
    order = tf.argsort(ids)
    ordered = tf.gather(ids, order)
    differs = tf.cast(ordered[1:] != ordered[:-1], ids.dtype)
    groups = tf.cumsum(tf.concat([tf.zeros_like(ordered[:1]), differs], axis=0))
    sums = tf.math.unsorted_segment_sum(tf.gather(values, order), groups, tf.size(ids))
    group_of = tf.scatter_nd(order[:, tf.newaxis], groups, tf.shape(ids))
    return tf.gather(sums, group_of)
