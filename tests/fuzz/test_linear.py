"""Losses of logits that are never all there, against those of the logits, on difficult numbers."""

import numpy as np
import pytest
from fuzzing import fuzz, numbers, rows_of
from hypothesis import strategies as st
from keras import ops
from linear_problems import small_tiles as small_tiles
from numerics import value_and_gradients

import keras_softmaxes as ks

CLASSES, FEATURES = 11, 3


def close(ours, theirs, scale):
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("divergence", ["symmetric", "forward", "reverse"])
@pytest.mark.usefixtures("small_tiles")
def test_the_large_margin_of_linear_logits_is_that_of_the_logits(divergence):
    rows = rows_of("linear")

    def check(data):
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
        limit = data.draw(st.sampled_from([1.0, 10.0, 50.0]))  # logits up to 1e4
        tensors = [numbers(rng, (rows, FEATURES), limit), numbers(rng, (CLASSES, FEATURES), limit)]
        tensors = [each.astype("float32") for each in (*tensors, rng.normal(size=CLASSES))]
        labels = rng.integers(0, CLASSES, rows)
        settings = data.draw(st.sampled_from([0.0, 0.3])), divergence, 1.0, 0.1

        def by_tiles(*given):
            return ks.ops.linear_cross_entropy(labels, *given, *settings)

        def of_logits(features, kernel, bias):
            logits = ops.matmul(features, ops.transpose(kernel)) + bias
            return ks.ops.large_margin_cross_entropy(labels, logits, *settings)

        values, gradients = value_and_gradients(by_tiles, tensors)
        expected, theirs = value_and_gradients(of_logits, tensors)
        close(values, expected, max(1.0, np.abs(expected).max()))
        for ours, other in zip(gradients, theirs, strict=True):
            close(ours, other, max(1.0, np.abs(other).max()))
        return rows

    fuzz("linear", divergence, check)
