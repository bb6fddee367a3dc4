import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_softmaxes.layers import ClassSampling
from keras_softmaxes.losses import MaskedCrossentropy

COUNT = 20_000


def drawn(outputs):
    """Return which classes are drawn, without the one in reserve and with it."""
    masks = [ops.convert_to_numpy(outputs[name]) for name in ("log_mask", "reserve_log_mask")]
    assert set(np.unique(masks)) == {0, -np.inf}
    return [mask == 0 for mask in masks]


def is_uniform(masks, size):
    """Tell whether each of `size` sets of classes is as likely as the others."""
    _, counts = np.unique(masks, axis=0, return_counts=True)
    return len(counts) == size and stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("jit_compile", [False, True])
def test_exactly_n_classes_are_drawn_uniformly_without_replacement(jit_compile):
    """Each of the 10 sets of 3 of 5 classes is as likely as the others, under XLA too."""
    head = ClassSampling(5, fraction=0.6)
    head.build((None, 2))
    step, features = (lambda x: head(x, training=True)), np.zeros((COUNT, 2), "float32")
    if jit_compile:
        if keras.backend.backend() != "tensorflow":
            pytest.skip("a seed generator's state does not pass through jax.jit; fit covers it")
        import tensorflow as tf

        step = tf.function(step, jit_compile=True)
    fewer, kept = drawn(step(features))
    assert (fewer.sum(axis=1) == 2).all()
    assert (kept.sum(axis=1) == 3).all()
    assert (kept | ~fewer).all()  # the reserve comes on top of the others
    assert is_uniform(fewer, 10)
    assert is_uniform(kept, 10)


def test_with_the_target_exactly_n_classes_enter_and_the_others_are_uniform():
    """The loss of equal logits is the logarithm of the number of classes."""
    head = ClassSampling(5, fraction=0.6, kernel_initializer="zeros")
    outputs = head(np.zeros((COUNT, 2), "float32"), training=True)
    losses = MaskedCrossentropy(reduction=None)(np.full(COUNT, 2), outputs)
    np.testing.assert_allclose(ops.convert_to_numpy(losses), np.log(3), rtol=1e-6)
    fewer, kept = drawn(outputs)
    others = np.delete(np.where(fewer[:, 2:3], kept, fewer), 2, axis=1)
    assert (others.sum(axis=1) == 2).all()
    assert is_uniform(others, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 1}, "`units`.*at least 2.*units=1"),
        ({"units": 3, "fraction": "a"}, "`fraction`.*number.*fraction='a'"),
        ({"units": 3, "fraction": float("nan")}, "`fraction`.*above 0.*nan"),
        ({"units": 3, "fraction": 0.4}, r"`fraction`.*two of 3 classes.*fraction=0\.4"),
    ],
)
def test_bad_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClassSampling(**arguments)
