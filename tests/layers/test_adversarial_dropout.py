import keras
import numpy as np
import pytest
from keras import ops

import keras_softmaxes as ks


def numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


@pytest.mark.parametrize("shape", [(400, 50), (400, 7, 50), (400, 3, 3, 50)])
def test_in_training_it_is_dropout_of_units_and_of_whole_channels(shape):
    layer = ks.layers.AdversarialDropout(rate=0.3)
    dropped = numpy(layer(np.ones(shape, "float32"), training=True))
    assert set(np.unique(dropped)) == {0, np.float32(1 / 0.7)}
    flat = dropped.reshape(400, -1, 50)
    assert (flat == flat[:, :1]).all()  # all positions alike
    assert (flat[:, 0] == 0).mean() == pytest.approx(0.3, abs=0.015)  # five standard errors
    per_unit = (flat[:, 0] == 0).mean(axis=0)
    assert per_unit.std() == pytest.approx(np.sqrt(0.3 * 0.7 / 400), rel=0.4)


def test_at_inference_and_without_a_rate_nothing_happens():
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    layer = ks.layers.AdversarialDropout(0.5)
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer(x, training=False), x)
    never = ks.layers.AdversarialDropout(0)
    np.testing.assert_array_equal(never(x, training=True), x)
    np.testing.assert_array_equal(never.masked(x, never.draw_mask(x)), x)


def test_an_adversarial_mask_sums_the_jacobian_over_the_positions():
    layer = ks.layers.AdversarialDropout(budget=0.5)
    features = np.array([[[1, 2, -1, 1], [3, -1, 1, 1]]], "float32")  # (1, 2 positions, 4)
    gradient = np.array([[[-1, 1, 1, 1], [1, 1, -1, -2]]], "float32")
    # J = -1 + 3, 2 - 1, -1 - 1, 1 - 2: only the last two are candidates.
    mask = layer.adversarial_mask(ops.ones((1, 4)), features, gradient)
    np.testing.assert_array_equal(mask, [[1, 1, 0, 0]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_it_keeps_half_precision_and_the_jacobian_does_not(dtype):
    layer = ks.layers.AdversarialDropout(budget=0.5, dtype=dtype)
    features = ops.full((1, 2), 1e-4, dtype=dtype)
    assert keras.backend.standardize_dtype(layer(features, training=True).dtype) == dtype
    gradient = ops.convert_to_tensor([[1e-4, -1e-4]], dtype=dtype)  # a product of 1e-8
    mask = layer.adversarial_mask(ops.ones((1, 2), dtype=dtype), features, gradient)
    np.testing.assert_array_equal(numpy(mask), [[1, 0]])


def test_draws_repeat_under_the_global_seed_and_differ_between_steps():
    def draws():
        keras.utils.set_random_seed(5)
        layer = ks.layers.AdversarialDropout()
        return [numpy(layer(np.ones((9, 9), "float32"), training=True)) for _ in range(2)]

    first, second = draws()
    np.testing.assert_array_equal([first, second], draws())
    assert (first != second).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 1.0}, r"`rate`. Expected a number of at least 0 and below 1. .*rate=1.0"),
        ({"rate": -0.1}, "rate=-0.1"),
        ({"rate": "half"}, "rate='half'"),
        ({"budget": 1.01}, r"`budget`. Expected a number of at least 0 and at most 1"),
    ],
)
def test_bad_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        ks.layers.AdversarialDropout(**arguments)


def test_a_budget_of_less_than_a_unit_raises_where_a_mask_is_asked_for():
    features = ops.ones((2, 19))
    layer = ks.layers.AdversarialDropout(0.5, budget=0.05)
    layer(features, training=True)
    with pytest.raises(ValueError, match=r"`budget`. Expected at least one of the 19 units, 0.05"):
        layer.adversarial_mask(ops.ones((2, 19)), features, features)
    none = ks.layers.AdversarialDropout(0.5, budget=0.0)
    mask = none.adversarial_mask(ops.ones((2, 19)), features, -features)
    assert ops.all(mask == 1)


def test_features_without_units_raise():
    with pytest.raises(ValueError, match=r"`features`. Expected shape \(batch, \.\.\., units\)"):
        ks.layers.AdversarialDropout()(keras.Input((3, None)))
