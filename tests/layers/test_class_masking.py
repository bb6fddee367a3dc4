"""What the two heads share that drop classes at random."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from keras_softmaxes.layers import ClassDropout, ClassSampling
from keras_softmaxes.losses import MaskedCrossentropy

WHOLE = {ClassDropout: {"retain": 1.0}, ClassSampling: {"fraction": 1.0}}
HEADS = pytest.mark.parametrize("kind", WHOLE)


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(6, 3)).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def log_masks(outputs):
    return np.stack([numpy(each) for name, each in outputs.items() if "log_mask" in name])


@HEADS
def test_probabilities_are_the_plain_softmax_and_inference_draws_nothing(features, kind):
    head = kind(5)
    for training in (True, False):
        outputs = head(features, training=training)
        logits = features @ numpy(head.logits.kernel)
        probabilities = softmax(logits, axis=1)
        np.testing.assert_allclose(numpy(outputs["probabilities"]), probabilities, atol=1e-6)
        np.testing.assert_allclose(numpy(outputs["logits"]), logits, atol=1e-6)
    assert not log_masks(outputs).any()


@HEADS
def test_the_whole_share_is_the_plain_softmax_exactly(features, kind):
    head, labels = kind(5, **WHOLE[kind]), np.array([0, 1, 2, 3, 4, 0])
    outputs = head(features, training=True)
    if kind is ClassDropout:
        assert not log_masks(outputs).any()
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    ours = numpy(MaskedCrossentropy(reduction=None)(labels, outputs))
    np.testing.assert_allclose(ours, numpy(plain(labels, outputs["logits"])), rtol=1e-6)


@HEADS
def test_draws_repeat_under_the_global_seed_and_differ_between_steps(features, kind):
    many = np.repeat(features, 20, axis=0)

    def draws():
        keras.utils.set_random_seed(11)
        head = kind(5)
        return [log_masks(head(many, training=True)) for _ in range(2)]

    first, second = draws()
    np.testing.assert_array_equal([first, second], draws())
    assert (first != second).any(axis=(0, 2)).mean() > 0.5


@HEADS
def test_a_sample_is_the_softmax_over_the_classes_that_stay(kind):
    head = kind(5, kernel_initializer="zeros")
    outputs = head(np.zeros((2000, 2), "float32"))
    sampled = numpy(head.sample_probabilities(outputs, keras.random.SeedGenerator(0)))
    np.testing.assert_allclose(sampled.sum(axis=1), 1, rtol=1e-5)
    stay = (sampled > 1e-6).sum(axis=1)
    np.testing.assert_allclose(sampled.max(axis=1), 1 / stay, rtol=1e-5)
    if kind is ClassSampling:
        assert (stay == 2).all()
    else:
        assert set(stay) == {1, 2, 3, 4, 5}  # all of them where none was retained


@pytest.mark.tensorflow
@HEADS
def test_replicas_draw_differently(kind, two_replicas):
    import tensorflow as tf

    with two_replicas.scope():
        head = kind(5)
        head.build((None, 2))
    step = tf.function(
        lambda: two_replicas.run(lambda: head(tf.zeros((50, 2)), training=True)["log_mask"]),
        autograph=False,
    )
    one, other = (value.numpy() for value in two_replicas.experimental_local_results(step()))
    assert (one != other).any(axis=1).mean() > 0.5
