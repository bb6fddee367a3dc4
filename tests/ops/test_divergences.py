import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from numerics import finite_differences, value_and_gradients
from scipy.special import expit
from scipy.stats import bernoulli

from keras_softmaxes.ops._divergences import bernoulli_kl, bernoulli_negative_entropy

logit = st.floats(-15, 15, width=32)


@given(logit, logit)
def test_kl_is_the_definition(a, b):
    q, p = expit(np.float64(a)), expit(np.float64(b))
    q_off, p_off = expit(-np.float64(a)), expit(-np.float64(b))
    expected = q * np.log(q / p) + q_off * np.log(q_off / p_off)
    ours = float(
        bernoulli_kl(ops.convert_to_tensor(a, "float32"), ops.convert_to_tensor(b, "float32"))
    )
    assert ours == pytest.approx(expected, rel=1e-4, abs=5e-6)
    assert ours >= -5e-6


@given(logit)
def test_negative_entropy_is_scipys(a):
    ours = float(bernoulli_negative_entropy(ops.convert_to_tensor(a, "float32")))
    assert ours == pytest.approx(-bernoulli(expit(np.float64(a))).entropy(), abs=5e-6)


@pytest.mark.tensorflow
def test_gradients_agree_with_finite_differences():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 7))
    for function, arrays in ((bernoulli_kl, [a, b]), (bernoulli_negative_entropy, [a])):
        _, gradients = value_and_gradients(function, arrays, dtype="float64")
        for index, gradient in enumerate(gradients):

            def moved(array, index=index, arrays=arrays, function=function):
                return float(ops.sum(function(*arrays[:index], array, *arrays[index + 1 :])))

            np.testing.assert_allclose(
                gradient, finite_differences(moved, arrays[index]), atol=1e-8
            )
