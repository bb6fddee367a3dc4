import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from numerics import MODES, execute, finite_differences, value_and_gradients
from scipy.special import expit, softmax

import keras_softmaxes as ks
from keras_softmaxes.ops._dropmax import (
    dropmax_objective_of,
    expected_dropmax_objective,
    posterior_logits,
)

DIGITS = 1e-12 if keras.backend.backend() == "tensorflow" else 1e-5  # JAX takes float64 for float32
BRANCHES = ["logits", "retain_logits", "posterior_shift"]
TERMS = ["cross_entropy", "kl", "auxiliary", "negative_entropy"]


def objective(labels, uniform):
    """The authors' objective per example, from the three branches."""

    def function(logits, retain_logits, shift):
        noise = ops.cast(ops.convert_to_tensor(uniform), logits.dtype)
        log_mask = ks.ops.dropmax_log_mask(posterior_logits(retain_logits, shift), noise)
        return sum(ks.ops.dropmax_terms(labels, logits, retain_logits, shift, log_mask).values())

    return function


def naive_objective(labels, logits, retain_logits, shift, uniform, stopped=None):
    """The same by probabilities, as the paper writes it; `stopped` is under the stop-gradient."""
    target = np.eye(logits.shape[1])[labels]
    rho, g = expit(retain_logits), expit((retain_logits if stopped is None else stopped) + shift)
    noise = np.log(g) - np.log(1 - g) + np.log(uniform) - np.log(1 - uniform)
    z = np.where(target, 1, expit(noise / 0.1)) + 1e-20
    cross_entropy = np.log((z * np.exp(logits)).sum(1)) - (target * (np.log(z) + logits)).sum(1)
    kl = g * np.log(g / rho) + (1 - g) * np.log((1 - g) / (1 - rho))
    kl = np.where(target, -np.log(rho), kl).sum(1)
    auxiliary = -np.log(np.where(target, expit(shift), 1 - expit(shift))).sum(1)
    negative_entropy = (rho * np.log(rho) + (1 - rho) * np.log(1 - rho)).sum(1)
    return cross_entropy + kl + auxiliary + negative_entropy


def branches(golden):
    return [np.array(golden[name], "float32") for name in BRANCHES]


@pytest.mark.parametrize("mode", MODES)
def test_objective_and_gradients_are_the_authors(golden, mode):
    count = len(golden["targets"])
    function = objective(golden["targets"], golden["uniform_noise"])
    value, gradients = value_and_gradients(lambda *t: function(*t) / count, branches(golden), mode)
    assert value == pytest.approx(golden["total_mean"], abs=1e-5)
    for name, gradient in zip(BRANCHES, gradients, strict=True):
        np.testing.assert_allclose(gradient, golden[f"d_total_d_{name}"], atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_terms_are_the_authors(golden, mode):
    logits, retain_logits, shift = branches(golden)
    uniform = np.array(golden["uniform_noise"], "float32")

    def term(name):
        def function(logits, retain_logits, shift):
            log_mask = ks.ops.dropmax_log_mask(posterior_logits(retain_logits, shift), uniform)
            terms = ks.ops.dropmax_terms(golden["targets"], logits, retain_logits, shift, log_mask)
            return terms[name] / 2

        return function

    for name in TERMS:
        value, _ = value_and_gradients(term(name), [logits, retain_logits, shift], mode)
        assert value == pytest.approx(golden[f"{name}_mean"], abs=1e-5), name


@pytest.mark.parametrize("mode", MODES)
def test_mask_and_test_probabilities_are_the_authors(golden, mode):
    logits, retain_logits, shift = branches(golden)
    uniform = np.array(golden["uniform_noise"])
    mask = np.exp(execute(ks.ops.dropmax_log_mask, [retain_logits + shift, uniform], mode))
    mask[[0, 1], golden["targets"]] = 1
    np.testing.assert_allclose(mask, golden["mask"], atol=1e-5)
    log_probabilities = execute(ks.ops.dropmax_log_probabilities, [logits, retain_logits], mode)
    np.testing.assert_allclose(np.exp(log_probabilities), golden["test_probabilities"], atol=1e-5)
    likelihood = -log_probabilities[[0, 1], golden["targets"]].mean()
    assert likelihood == pytest.approx(golden["test_cross_entropy_mean"], abs=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("mode", MODES)
def test_gradients_agree_with_finite_differences_of_a_naive_version(mode):
    rng = np.random.default_rng(0)
    logits, retain_logits, shift = rng.normal(size=(3, 4, 5))
    uniform, labels = rng.uniform(0.05, 0.95, (4, 5)), np.array([0, 4, 2, 1])
    value, gradients = value_and_gradients(
        objective(labels, uniform), [logits, retain_logits, shift], mode, "float64"
    )

    def naive(o, a, r):
        return naive_objective(labels, o, a, r, uniform, stopped=retain_logits).sum()

    assert value == pytest.approx(naive(logits, retain_logits, shift), rel=1e-12)
    expected = [
        finite_differences(lambda o: naive(o, retain_logits, shift), logits),
        finite_differences(lambda a: naive(logits, a, shift), retain_logits),
        finite_differences(lambda r: naive(logits, retain_logits, r), shift),
    ]
    for gradient, difference in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, difference, atol=1e-6)


def test_the_posterior_gives_the_retain_branch_no_gradient():
    rng = np.random.default_rng(1)
    retain_logits, shift = rng.normal(size=(2, 3, 4))
    _, (retain_gradient, shift_gradient) = value_and_gradients(
        posterior_logits, [retain_logits, shift]
    )
    assert not retain_gradient.any()
    assert (shift_gradient == 1).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "extreme"), [("float32", 1e4), ("float16", 1e3), ("bfloat16", 1e3)]
)
def test_value_and_gradients_are_finite_at_extremes(mode, dtype, extreme):
    corners = np.array(np.meshgrid(*[[-extreme, -17.0, 0.0, 17.0, extreme]] * 3)).reshape(3, -1, 5)
    count = corners.shape[1]
    corners = np.tile(corners, (1, 3, 1))
    uniform = np.repeat([1e-3, 0.5, 0.99], count)[:, None] * np.ones(5)
    function = objective(np.arange(3 * count) % 5, uniform)
    _, gradients = value_and_gradients(function, corners, mode, dtype)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert np.isfinite(execute(function, corners, mode, dtype)).all()
    log_probabilities = execute(ks.ops.dropmax_log_probabilities, corners[:2], mode, dtype)
    assert np.isfinite(log_probabilities).all()


finite = st.floats(-8, 8, width=32)
rows = arrays("float32", (2, 4), elements=finite)


@given(rows, rows, st.floats(-20, 20, width=32))
def test_probabilities_are_the_softmax_weighted_by_rho(logits, retain_logits, constant):
    expected = softmax(logits.astype("float64") + np.log(expit(retain_logits.astype("float64"))), 1)
    shifted = ks.ops.dropmax_log_probabilities(logits + constant, retain_logits)
    np.testing.assert_allclose(np.exp(ops.convert_to_numpy(shifted)), expected, atol=1e-5)


def test_the_prior_variant_has_the_targets_divergence_alone():
    rng = np.random.default_rng(3)
    logits, retain_logits = rng.normal(size=(2, 3, 4)).astype("float32")
    labels = np.array([1, 0, 3])
    terms = ks.ops.dropmax_terms(labels, logits, retain_logits, None, np.zeros_like(logits))
    expected = -np.log(expit(retain_logits))[np.arange(3), labels]
    np.testing.assert_allclose(ops.convert_to_numpy(terms["kl"]), expected, rtol=1e-5)
    assert not ops.convert_to_numpy(terms["auxiliary"]).any()


def test_the_optimum_of_an_easy_example_is_not_certainty():
    """With g = 0 on the non-targets the best rho is 0.782 for the target and 0.218 elsewhere."""
    grid = np.linspace(-4, 4, 8001, dtype="float32")
    logits = np.zeros((8001, 2), "float32")
    for label, best in ((0, 0.782), (1, 0.218)):  # the first class as the target, then not
        retain_logits = np.stack([grid, np.zeros_like(grid)], axis=1)
        shift = np.full_like(logits, -60)
        terms = ks.ops.dropmax_terms(
            np.full(8001, label), logits, retain_logits, shift, np.full_like(logits, -1e4)
        )
        cost = ops.convert_to_numpy(terms["kl"] + terms["negative_entropy"])
        assert expit(grid[cost.argmin()]) == pytest.approx(best, abs=2e-3)


def test_log_mask_is_the_logistic_noise_of_the_paper():
    rng = np.random.default_rng(5)
    retain_logits, uniform = rng.normal(size=(2, 3)), rng.uniform(0.1, 0.9, (2, 3))
    for temperature in (0.1, 0.5, 2.0):
        noise = np.log(uniform) - np.log(1 - uniform)
        expected = expit((retain_logits + noise) / temperature)
        log_mask = ks.ops.dropmax_log_mask(
            retain_logits.astype("float32"), uniform.astype("float32"), temperature
        )
        np.testing.assert_allclose(np.exp(ops.convert_to_numpy(log_mask)), expected, rtol=2e-5)


BAD_CALLS = [
    (lambda x: ks.ops.dropmax_log_mask(x, x, temperature=0.0), "`temperature`.*above 0.*=0.0"),
    (lambda x: ks.ops.dropmax_log_mask(x, x[:, :2]), r"`uniform`.*\(2, 3\).*\(2, 2\)"),
    (lambda x: ks.ops.dropmax_log_probabilities(x, x[0]), r"`retain_logits`.*\(3,\)"),
    (lambda x: ks.ops.dropmax_log_probabilities(x[:, :1], x[:, :1]), r"`logits`.*at least 2"),
    (lambda x: ks.ops.dropmax_terms([0, 1], x, x, x[:, :2], x), r"`posterior_shift`.*\(2, 2\)"),
]


@pytest.mark.parametrize(("call", "message"), BAD_CALLS)
def test_bad_input_raises_with_its_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((2, 3), "float32"))


@pytest.mark.parametrize("is_prior", [False, True])
@pytest.mark.parametrize("entropy_weight", [1.0, 0.1])
@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
def test_non_targets_are_weighted_in_the_terms_and_in_the_objective(
    is_prior, entropy_weight, weight
):
    rng = np.random.default_rng(0)
    o, a, r = rng.normal(size=(3, 4, 6))
    log_mask = -np.abs(rng.normal(size=(4, 6)))
    labels = np.array([0, 5, 2, 2], "int32")
    weights = np.where(np.eye(6)[labels] == 1, 1, weight)
    rho, g = expit(a), expit(a + r)
    kl = g * np.log(g / rho) + (1 - g) * np.log((1 - g) / (1 - rho))
    kl = np.where(np.eye(6)[labels] == 1, -np.log(rho), 0 if is_prior else kl)
    auxiliary = -np.log(np.where(np.eye(6)[labels] == 1, expit(r), 1 - expit(r)))
    entropy = rho * np.log(rho) + (1 - rho) * np.log(1 - rho)
    expected = {
        "kl": (weights * kl).sum(1),
        "auxiliary": 0 if is_prior else (weights * auxiliary).sum(1),
        "negative_entropy": (weights * entropy).sum(1),
    }
    shift = None if is_prior else r
    terms = ks.ops.dropmax_terms(labels, o, a, shift, log_mask, non_target_weight=weight)
    for name, values in expected.items():
        np.testing.assert_allclose(ops.convert_to_numpy(terms[name]), values, atol=DIGITS)
    settings = {"entropy_weight": entropy_weight, "non_target_weight": weight}
    total = ops.convert_to_numpy(sum(terms.values()))
    total = total + (entropy_weight - 1) * ops.convert_to_numpy(terms["negative_entropy"])
    tensors = [ops.convert_to_tensor(each) for each in (o, a, log_mask)]
    shift = None if is_prior else ops.convert_to_tensor(r)
    objective = dropmax_objective_of(ops.convert_to_tensor(labels), *tensors, shift, **settings)
    np.testing.assert_allclose(ops.convert_to_numpy(objective), total, atol=DIGITS)
    rows = ops.convert_to_tensor(np.eye(6)[labels])
    expectation = expected_dropmax_objective(rows, *tensors, shift, **settings)
    np.testing.assert_allclose(ops.convert_to_numpy(expectation), total, atol=DIGITS)


def test_weighted_by_their_number_the_non_targets_push_no_harder_than_nine():
    """Where features tell nothing, all non-targets are pushed alike, and their pushes add up."""

    def push(classes, weight):
        def terms(retain, shift):
            zeros, ones = ops.zeros((1, classes)), ops.ones((1, classes))
            branches = (retain * ones, shift * ones, zeros)
            terms = ks.ops.dropmax_terms([0], zeros, *branches, non_target_weight=weight)
            return terms["kl"] + terms["auxiliary"] + terms["negative_entropy"]

        starts = [np.array([[0.2]], "float32"), np.array([[-0.1]], "float32")]
        _, gradients = value_and_gradients(terms, starts, "eager")
        return np.abs(gradients).sum()

    at_ten = push(10, 1.0)
    for classes in (100, 1_000, 100_000):
        assert push(classes, 9 / (classes - 1)) == pytest.approx(at_ten, rel=1e-4)
        assert push(classes, 1.0) > classes / 20 * at_ten
