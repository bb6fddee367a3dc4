import keras
import numpy as np
import pytest
from keras import ops
from numerics import MODES, value_and_gradients

import keras_softmaxes as ks

RNG = np.random.default_rng(0)
CLASSES = 5
PIXELS = RNG.integers(0, CLASSES, (2, 3, 4))
IMAGE = RNG.normal(size=(2, 3, 4, CLASSES)).astype("float32") * 3
IGNORED = np.array([[[True, False, False, True]] * 3, [[False] * 4] * 3])


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def per_pixel(weight=0.3, **settings):
    loss = ks.losses.LargeMarginCrossentropy(weight, reduction=None, **settings)
    return numpy(loss(PIXELS.ravel(), IMAGE.reshape(-1, CLASSES))).reshape(PIXELS.shape)


def test_it_is_cross_entropy_and_weighted_divergence():
    plain = keras.losses.sparse_categorical_crossentropy(PIXELS, IMAGE, from_logits=True)
    for divergence in ("symmetric", "forward", "reverse"):
        regulariser = ks.ops.large_margin_divergence(PIXELS, IMAGE, divergence)
        expected = numpy(plain) + 0.7 * numpy(regulariser)
        np.testing.assert_allclose(per_pixel(0.7, divergence=divergence), expected, rtol=2e-6)


@pytest.mark.parametrize("scale", [1, 30])
def test_weight_0_equals_keras(scale):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(500, 100)).astype("float32") * scale
    labels = rng.integers(0, 100, 500)
    ours = ks.losses.LargeMarginCrossentropy(weight=0.0, reduction=None)(labels, logits)
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)(
        labels, logits
    )
    last_bits = 4 * np.spacing(np.abs(logits).max())
    np.testing.assert_allclose(numpy(ours), numpy(theirs), rtol=0, atol=last_bits)


def test_label_smoothing_equals_keras_and_equation_13():
    one_hot = np.eye(CLASSES, dtype="float32")[PIXELS]
    ours = per_pixel(0.0, label_smoothing=0.2)
    theirs = keras.losses.CategoricalCrossentropy(True, label_smoothing=0.2, reduction=None)
    np.testing.assert_allclose(ours, numpy(theirs(one_hot, IMAGE)), rtol=1e-5)
    negative = -numpy(ops.log_softmax(IMAGE, axis=-1))
    equation_13 = 0.8 * (one_hot * negative).sum(-1) + 0.2 * negative.mean(-1)
    np.testing.assert_allclose(ours, equation_13, rtol=1e-5)


def test_the_bias_is_subtracted_from_the_targets_logit_before_everything():
    moved = IMAGE - np.eye(CLASSES, dtype="float32")[PIXELS]
    loss = ks.losses.LargeMarginCrossentropy(0.3, label_smoothing=0.1, reduction=None)
    np.testing.assert_allclose(
        per_pixel(0.3, label_smoothing=0.1, bias=1.0), numpy(loss(PIXELS, moved)), rtol=1e-5
    )


@pytest.mark.parametrize("ignore_class", [2, -1, 255])
def test_ignored_pixels_have_no_part_in_any_term(ignore_class):
    labels = np.where(IGNORED, ignore_class, np.where(PIXELS == 2, 3, PIXELS))
    kept = ~IGNORED
    loss = ks.losses.LargeMarginCrossentropy(ignore_class=ignore_class)
    expected, (only_kept,) = value_and_gradients(
        lambda f: ks.losses.LargeMarginCrossentropy()(labels[kept], f), [IMAGE[kept]]
    )
    for mode in MODES:
        value, (gradient,) = value_and_gradients(lambda f: loss(labels, f), [IMAGE], mode)
        assert value == pytest.approx(expected, rel=1e-6)
        assert not gradient[IGNORED].any()
        np.testing.assert_allclose(gradient[kept], only_kept, atol=1e-7)


@pytest.mark.parametrize("ignore_class", [None, -1])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_ignoring_weighting_and_masking_are_keras_own(reduction, ignore_class):
    """With weight 0 Keras's loss says what every combination gives."""
    labels = PIXELS if ignore_class is None else np.where(IGNORED, ignore_class, PIXELS)
    weights = np.random.default_rng(2).uniform(size=labels.shape).astype("float32")
    masked = keras.layers.Masking()(np.where(PIXELS[..., None] == 4, 0, IMAGE))
    settings = {"ignore_class": ignore_class, "reduction": reduction}
    ours = ks.losses.LargeMarginCrossentropy(0.0, **settings)
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True, **settings)
    # Of a number for all of them Keras's weighted mean counts the weight once.
    pairs = [(2.0, np.full(labels.shape, 2.0)), (weights.tolist(), weights)]
    pairs += [(each, each) for each in (None, weights, weights[..., None])]
    for logits in (ops.convert_to_tensor(IMAGE), masked):
        for sample_weight, same in pairs:
            expected = float(theirs(labels, logits, same))
            assert float(ours(labels, logits, sample_weight)) == pytest.approx(expected, rel=1e-5)


def test_infinite_logits_give_the_limit_or_nan():
    infinity = float("inf")
    logits = np.zeros((4, 3), "float32")
    logits[0, 0], logits[1, 0], logits[2, 1], logits[3, 1] = (
        infinity,
        -infinity,
        -infinity,
        infinity,
    )
    labels = np.zeros(4, int)
    plain, regularised = (
        ks.losses.LargeMarginCrossentropy(weight, reduction=None) for weight in (0.0, 0.3)
    )
    np.testing.assert_allclose(
        numpy(plain(labels, logits)), [0, infinity, np.log(2), np.nan], rtol=1e-6
    )
    np.testing.assert_allclose(
        numpy(regularised(labels, logits)), [0, infinity, infinity, np.nan], atol=1e-6
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("classes", [4099, 70_000])
def test_labels_stay_exact_in_half_precision(dtype, classes):
    labels = np.array([classes - 1, 301])
    logits = np.zeros((2, classes), "float32")
    logits[[0, 1], labels] = 100
    loss = ks.losses.LargeMarginCrossentropy(dtype=dtype, reduction=None)
    assert numpy(loss(labels, ops.cast(logits, dtype))).max() == pytest.approx(0, abs=1e-6)
    assert numpy(loss(labels - 1, ops.cast(logits, dtype))).min() > 100


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_gives_no_nan_at_any_logit_the_type_holds(mode, dtype):
    extreme = 65504 if dtype == "float16" else 3e38
    rng = np.random.default_rng(1)
    logits = rng.choice([-extreme, -1e3, 0, 1e3, extreme], size=(40, 300))
    labels = rng.integers(0, 300, 40)
    loss = ks.losses.LargeMarginCrossentropy(1.0, label_smoothing=0.1, dtype=dtype)
    value, (gradient,) = value_and_gradients(lambda f: loss(labels, f), [logits], mode, dtype)
    assert not np.isnan(value)
    assert np.isfinite(gradient).all()


def test_numpy_scalars_are_numbers():
    loss = ks.losses.LargeMarginCrossentropy(np.float32(0.5), ignore_class=np.int64(-1))
    assert float(loss(PIXELS, IMAGE)) == pytest.approx(per_pixel(0.5).mean(), rel=1e-6)
    assert {type(value) for value in (loss.weight, loss.ignore_class)} == {float, int}


BAD_SETTINGS = {
    "weight": ({"weight": -0.1}, r"`weight`.*at least 0.*-0\.1"),
    "bias": ({"bias": -1}, "`bias`.*at least 0.*-1"),
    "smoothing": ({"label_smoothing": 1.0}, r"`label_smoothing`.*below 1.*1\.0"),
    "divergence": ({"divergence": "kl"}, "`divergence`.*'symmetric'.*'kl'"),
    "ignored class": ({"ignore_class": 0.5}, r"`ignore_class`.*integer.*0\.5"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings_raise(case):
    settings, message = BAD_SETTINGS[case]
    with pytest.raises(ValueError, match=message):
        ks.losses.LargeMarginCrossentropy(**settings)


def classifier():
    return keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(3)]
    )


def data(count=64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 6)).astype("float32")
    return x, x[:, :3].argmax(1)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["default", "jit", "eager"])
def test_it_trains(how):
    if (keras.backend.backend(), how) in (("jax", "eager"), ("torch", "jit")):
        pytest.skip("JAX's training is compiled, torch's is not")
    model = classifier()
    options = {"jit": {"jit_compile": True}, "eager": {"run_eagerly": True}}.get(how, {})
    loss = ks.losses.LargeMarginCrossentropy()
    model.compile(keras.optimizers.Adam(0.03), loss=loss, metrics=["accuracy"], **options)
    x, y = data()
    history = model.fit(x, y, epochs=12, batch_size=16, verbose=0, shuffle=False).history
    assert history["loss"][-1] < 0.6 * history["loss"][0]
    assert history["accuracy"][-1] > 0.85


@pytest.mark.tensorflow
def test_class_weights_act_on_the_whole_loss():
    x, y = data()
    class_weight = {0: 0.0, 1: 2.0, 2: 0.5}
    model = classifier()
    model.compile("sgd", loss=ks.losses.LargeMarginCrossentropy(0.9))
    each = numpy(ks.losses.LargeMarginCrossentropy(0.9, reduction=None)(y, model(x)))
    history = model.fit(x, y, batch_size=64, class_weight=class_weight, verbose=0)
    expected = (each * np.vectorize(class_weight.get)(y)).mean()
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.tensorflow
def test_a_step_on_two_replicas_is_the_step_on_one(two_replicas):
    x, y = data(16)

    def weights_after_a_step():
        keras.utils.set_random_seed(3)
        model = classifier()
        model.compile(keras.optimizers.SGD(0.5), loss=ks.losses.LargeMarginCrossentropy(1.0))
        model.fit(x, y, batch_size=16, epochs=1, shuffle=False, verbose=0)
        return model.get_weights()

    expected = weights_after_a_step()
    with two_replicas.scope():
        weights = weights_after_a_step()
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_model_is_saved_and_goes_on_training(tmp_path):
    x, y = data()
    model = classifier()
    model.compile("adam", loss=ks.losses.LargeMarginCrossentropy(0.5, "forward", bias=1.0))
    model.fit(x, y, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.loss.get_config() == model.loss.get_config()
    losses = [m.fit(x, y, verbose=0, shuffle=False).history["loss"][0] for m in (model, again)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
