import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats
from scipy.special import softmax

from keras_softmaxes.layers import ClassDropout, ClassSampling
from keras_softmaxes.losses import MaskedCrossentropy

HEADS = {
    "dropout": lambda **kw: ClassDropout(5, **kw),
    "sampling": lambda **kw: ClassSampling(5, **kw),
}
WHOLE = {"dropout": {"retain": 1.0}, "sampling": {"fraction": 1.0}}


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(6, 3)).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def drawn_masks(head, count):
    """Return the masks of `count` examples, (rows, count, classes), True where a class stays."""
    evidence = numpy(head(np.zeros((count, 2), "float32"), training=True)["evidence"])
    log_masks = np.moveaxis(evidence[:, 1:], 1, 0)
    assert set(np.unique(log_masks)) <= {0, -np.inf}
    return log_masks == 0


@pytest.mark.parametrize("name", HEADS)
def test_probabilities_are_the_plain_softmax_and_inference_draws_nothing(features, name):
    head = HEADS[name]()
    for training in (True, False):
        outputs = head(features, training=training)
        logits = features @ numpy(head.logits.kernel)
        np.testing.assert_allclose(
            numpy(outputs["probabilities"]), softmax(logits, axis=1), atol=1e-6
        )
        np.testing.assert_allclose(numpy(outputs["evidence"])[:, 0], logits, atol=1e-6)
    assert not numpy(outputs["evidence"])[:, 1:].any()


@pytest.mark.parametrize("name", HEADS)
def test_the_whole_share_is_the_plain_softmax_exactly(features, name):
    head, labels = HEADS[name](**WHOLE[name]), np.array([0, 1, 2, 3, 4, 0])
    evidence = head(features, training=True)["evidence"]
    if name == "dropout":
        assert not numpy(evidence)[:, 1:].any()
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    ours = numpy(MaskedCrossentropy(reduction=None)(labels, evidence))
    np.testing.assert_allclose(ours, numpy(plain(labels, evidence[:, 0])), rtol=1e-6)


@pytest.mark.parametrize("retain", [0.2, 0.6])
def test_classes_are_dropped_independently_at_their_rate(retain):
    (kept,) = drawn_masks(ClassDropout(4, retain=retain), 20_000)
    for stays in kept.T:
        assert stats.binomtest(int(stays.sum()), len(stays), retain).pvalue > 1e-4
    together = (kept[:, 0] & kept[:, 1]).sum()
    assert stats.binomtest(int(together), len(kept), retain**2).pvalue > 1e-4


@pytest.mark.parametrize("jit_compile", [False, True])
def test_exactly_n_classes_are_drawn_uniformly_without_replacement(jit_compile):
    """Each of the 10 sets of 3 of 5 classes is as likely as the others, under XLA too."""
    head = ClassSampling(5, fraction=0.6)
    head.build((None, 2))
    if keras.backend.backend() == "jax":
        fewer, kept = drawn_masks(head, 20_000)
    else:
        import tensorflow as tf

        step = tf.function(lambda x: head(x, training=True), jit_compile=jit_compile)
        evidence = step(tf.zeros((20_000, 2)))["evidence"].numpy()
        fewer, kept = np.moveaxis(evidence[:, 1:], 1, 0) == 0
    assert (fewer.sum(axis=1) == 2).all()
    assert (kept.sum(axis=1) == 3).all()
    assert (kept | ~fewer).all()  # the reserve comes on top of the others
    for masks, size in ((fewer, 10), (kept, 10)):
        _, counts = np.unique(masks, axis=0, return_counts=True)
        assert len(counts) == size
        assert stats.chisquare(counts).pvalue > 1e-4


def test_with_the_target_exactly_n_classes_enter_and_the_others_are_uniform():
    """The loss of equal logits is the logarithm of the number of classes."""
    head, count = ClassSampling(5, fraction=0.6, kernel_initializer="zeros"), 20_000
    evidence = head(np.zeros((count, 2), "float32"), training=True)["evidence"]
    labels = np.full(count, 2)
    losses = numpy(MaskedCrossentropy(reduction=None)(labels, evidence))
    np.testing.assert_allclose(losses, np.log(3), rtol=1e-6)
    fewer, kept = np.moveaxis(numpy(evidence)[:, 1:], 1, 0) == 0
    others = np.delete(np.where(fewer[:, 2:3], kept, fewer), 2, axis=1)
    assert (others.sum(axis=1) == 2).all()
    _, counts = np.unique(others, axis=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("name", HEADS)
def test_draws_repeat_under_the_global_seed_and_differ_between_steps(features, name):
    many = np.repeat(features, 20, axis=0)

    def draws():
        keras.utils.set_random_seed(11)
        head = HEADS[name]()
        return [numpy(head(many, training=True)["evidence"]) for _ in range(2)]

    first, second = draws()
    np.testing.assert_array_equal([first, second], draws())
    assert (first != second).any(axis=(1, 2)).mean() > 0.5


@pytest.mark.parametrize("name", HEADS)
def test_a_sample_is_the_softmax_over_the_classes_that_stay(name):
    head = HEADS[name](kernel_initializer="zeros")
    evidence = head(np.zeros((2000, 2), "float32"))["evidence"]
    sampled = numpy(head.sample_probabilities(evidence, keras.random.SeedGenerator(0)))
    np.testing.assert_allclose(sampled.sum(axis=1), 1, rtol=1e-5)
    stay = (sampled > 1e-6).sum(axis=1)
    np.testing.assert_allclose(sampled.max(axis=1), 1 / stay, rtol=1e-5)
    if name == "sampling":
        assert (stay == 2).all()
    else:
        assert set(stay) == {1, 2, 3, 4, 5}  # all of them where none was retained


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("name", HEADS)
def test_outputs_are_at_least_float32(features, name, policy):
    if policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX runs in 32 bits by default")
    outputs = HEADS[name](dtype=policy)(features, training=True)
    expected = "float64" if policy == "float64" else "float32"
    assert {keras.backend.standardize_dtype(t.dtype) for t in outputs.values()} == {expected}


@pytest.mark.parametrize("name", HEADS)
def test_config_round_trip(features, name):
    head = HEADS[name](
        **dict.fromkeys(WHOLE[name], 0.6),
        seed=3,
        kernel_initializer="ones",
        bias_regularizer="l2",
        name="head",
    )
    again = keras.layers.deserialize(keras.layers.serialize(head))
    assert again.get_config() == head.get_config()
    draws = [numpy(layer(features, training=True)["evidence"]) for layer in (head, again)]
    np.testing.assert_array_equal(*draws)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", HEADS)
def test_replicas_draw_differently(name, two_replicas):
    import tensorflow as tf

    with two_replicas.scope():
        head = HEADS[name]()
        head.build((None, 2))
    step = tf.function(
        lambda: two_replicas.run(lambda: head(tf.zeros((50, 2)), training=True)["evidence"]),
        autograph=False,
    )
    one, other = (value.numpy() for value in two_replicas.experimental_local_results(step()))
    assert (one != other).any(axis=(1, 2)).mean() > 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClassDropout(1), "`units`.*at least 2.*units=1"),
        (lambda: ClassDropout(3, retain=0), "`retain`.*above 0.*retain=0"),
        (lambda: ClassDropout(3, retain=1.5), r"`retain`.*at most 1.*retain=1\.5"),
        (lambda: ClassDropout(3, retain=True), "`retain`.*number.*retain=True"),
        (lambda: ClassSampling(3, fraction="a"), "`fraction`.*number.*fraction='a'"),
        (lambda: ClassSampling(3, fraction=float("nan")), "`fraction`.*above 0.*nan"),
        (lambda: ClassSampling(3, fraction=0.4), r"`fraction`.*two of 3 classes.*fraction=0\.4"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
