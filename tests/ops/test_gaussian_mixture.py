import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from numerics import MODES, execute, finite_differences, value_and_gradients
from scipy.special import log_softmax
from scipy.stats import multivariate_normal

from keras_softmaxes.ops import gaussian_distances, gaussian_mixture_terms

LABELS = np.array([2, 0, 1, 2, 1])


def make_problem(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(5, 4)), rng.normal(size=(3, 4)), 0.5 * rng.normal(size=(3, 4))


def naive_distances(features, means, log_variances):
    differences = features[:, None] - means
    return (differences**2 / np.exp(log_variances)).sum(axis=2) / 2


def naive_terms(features, means, log_variances, margin):
    distances, rows = naive_distances(features, means, log_variances), np.arange(len(LABELS))
    half_log_determinants = np.log(np.prod(np.exp(log_variances), axis=1)) / 2
    enlarged = distances * (1 + margin * np.eye(3)[LABELS])
    cross_entropy = -log_softmax(-enlarged - half_log_determinants, axis=1)[rows, LABELS]
    return cross_entropy, distances[rows, LABELS] + half_log_determinants[LABELS]


def objective(margin, weight):
    def function(features, means, log_variances):
        distances, half = gaussian_distances(features, means, log_variances)
        half = ops.broadcast_to(half, distances.shape)
        terms = gaussian_mixture_terms(LABELS, distances, half, margin)
        return terms["cross_entropy"] + weight * terms["likelihood"]

    return function


@pytest.mark.parametrize("mode", MODES)
def test_values_worked_out_by_hand(mode):
    """Means 0 and (2, 0), variances (1, 1) and (4, 1), at x = (1, 1)."""
    features, means = np.array([[1.0, 1.0]]), np.array([[0.0, 0.0], [2.0, 0.0]])
    log_variances = np.log([[1.0, 1.0], [4.0, 1.0]])
    problem = [features, means, log_variances]
    distances = execute(lambda *t: gaussian_distances(*t)[0], problem, mode)
    np.testing.assert_allclose(distances, [[1.0, 0.625]], rtol=1e-6)
    half = execute(lambda *t: gaussian_distances(*t)[1], problem, mode)
    np.testing.assert_allclose(half, [0, np.log(2)], rtol=1e-6)
    terms = gaussian_mixture_terms([0], [[1.0, 0.625]], [[0.0, np.log(2)]], margin=0.5)
    expected = 1.5 + np.log(np.exp(-1.5) + np.exp(-0.625) / 2)
    assert float(terms["cross_entropy"][0]) == pytest.approx(expected, rel=1e-6)
    assert float(terms["likelihood"][0]) == pytest.approx(1.0)


@pytest.mark.tensorflow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("margin", "weight"), [(0.3, 0.1), (0.0, 0.0), (1.0, 2.0)])
def test_gradients_agree_with_finite_differences_of_a_naive_version(mode, margin, weight):
    problem = make_problem()
    value, gradients = value_and_gradients(objective(margin, weight), problem, mode, "float64")

    def naive(*arrays):
        cross_entropy, likelihood = naive_terms(*arrays, margin)
        return (cross_entropy + weight * likelihood).sum()

    assert value == pytest.approx(naive(*problem), rel=1e-12)
    for index, gradient in enumerate(gradients):
        others = list(problem)

        def shifted(array, index=index, others=others):
            return naive(*others[:index], array, *others[index + 1 :])

        difference = finite_differences(shifted, problem[index])
        np.testing.assert_allclose(gradient, difference, atol=1e-6)


def test_margin_and_weight_zero_are_bayes_rule():
    """The posterior of Gaussians with equal priors, from SciPy's densities."""
    features, means, log_variances = make_problem(1)
    densities = np.stack(
        [
            multivariate_normal(mean, np.diag(np.exp(row))).pdf(features)
            for mean, row in zip(means, log_variances, strict=True)
        ],
        axis=1,
    )
    posterior = densities / densities.sum(axis=1, keepdims=True)
    ours = execute(objective(0.0, 0.0), [features, means, log_variances])
    np.testing.assert_allclose(np.exp(-ours), posterior[np.arange(5), LABELS], rtol=1e-5)


def test_the_likelihood_is_the_density_and_the_centre_loss():
    features, means, log_variances = make_problem(2)
    constant = 4 / 2 * np.log(2 * np.pi)
    with_weight = execute(objective(0.0, 1.0), [features, means, log_variances])
    likelihood = with_weight - execute(objective(0.0, 0.0), [features, means, log_variances])
    for row, label, value in zip(features, LABELS, likelihood, strict=True):
        density = multivariate_normal(means[label], np.diag(np.exp(log_variances[label])))
        assert value == pytest.approx(-density.logpdf(row) - constant, rel=1e-4)
    zeros = np.zeros_like(log_variances)
    identity = execute(objective(0.0, 1.0), [features, means, zeros])
    centre_loss = ((features - means[LABELS]) ** 2).sum(axis=1) / 2
    without = execute(objective(0.0, 0.0), [features, means, zeros])
    np.testing.assert_allclose(identity - without, centre_loss, rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("offset", [0.0, 30.0, 1000.0])
def test_distances_are_close_to_the_exact_ones_in_float32(mode, offset):
    """512 features that lie far from the origin together, near their class's mean."""
    rng = np.random.default_rng(3)
    means = (offset + rng.normal(size=(20, 512))).astype("float32").astype("float64")
    features = means[np.arange(60) % 20] + 0.01 * rng.normal(size=(60, 512))
    features = features.astype("float32").astype("float64")
    log_variances = 0.3 * rng.normal(size=(20, 512)).astype("float32").astype("float64")
    distances = execute(
        lambda *t: gaussian_distances(*t)[0], [features, means, log_variances], mode
    )
    exact = naive_distances(features, means, log_variances)
    assert (distances >= 0).all()
    # The own distance is 0.03 among others of 500; the origin's offset alone would leave no digit.
    np.testing.assert_allclose(distances, exact, atol=2e-6 * exact.max())


@pytest.mark.parametrize("mode", MODES)
def test_rounding_gives_no_negative_distance_and_keeps_the_gradient(mode):
    means = np.random.default_rng(4).normal(size=(50, 64)).astype("float32")
    features = means + np.float32(1e-4)
    arrays_ = [features, means, np.zeros_like(means)]

    def own(*tensors):
        return ops.diagonal(gaussian_distances(*tensors)[0])

    distances = execute(own, arrays_, mode)
    assert (distances >= 0).all()
    np.testing.assert_allclose(distances, 64e-8 / 2, atol=2e-5)
    _, (gradient, *_) = value_and_gradients(own, arrays_, mode)
    np.testing.assert_allclose(gradient, features - means, atol=2e-6)


values = st.floats(-8, 8, width=32)


@given(
    arrays("float32", (2, 3), elements=values),
    arrays("float32", (4, 3), elements=values),
    arrays("float32", (4, 3), elements=st.floats(-2, 2, width=32)),
    st.floats(-50, 50, width=32),
)
def test_distances_are_those_of_the_naive_form_wherever_the_origin_is(
    features, means, log_variances, shift
):
    exact = naive_distances(*(a.astype("float64") for a in (features, means, log_variances)))
    ours = execute(
        lambda *t: gaussian_distances(*t)[0], [features + shift, means + shift, log_variances]
    )
    np.testing.assert_allclose(ours, exact, atol=0.02, rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "size"), [("float32", 60.0), ("float16", 15.0), ("bfloat16", 15.0)]
)
def test_value_and_gradients_are_finite_at_extremes(mode, dtype, size):
    corners = np.array(np.meshgrid(*[[-size, 0.0, size]] * 3)).reshape(3, -1).T[:5]
    means, log_variances = corners[:3] - corners[2:], np.array([[-1.0] * 3, [0.0] * 3, [20.0] * 3])
    problem = [corners, means, log_variances]
    function = objective(0.3, 0.1)
    _, gradients = value_and_gradients(function, problem, mode, dtype)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert np.isfinite(execute(function, problem, mode, dtype)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x, mu: gaussian_distances(x[:, :2], mu, mu),
            r"`features`.*\(batch, \.\.\., 4\).*\(5, 2\)",
        ),
        (
            lambda x, mu: gaussian_distances(x[0], mu, mu),
            r"`features`.*\(batch, \.\.\., 4\).*\(4,\)",
        ),
        (lambda x, mu: gaussian_distances(x, mu[:1], mu), r"`means`.*at least 2.*\(1, 4\)"),
        (lambda x, mu: gaussian_distances(x, mu, mu[:2]), r"`log_variances`.*\(3, 4\).*\(2, 4\)"),
        (lambda x, mu: gaussian_mixture_terms(LABELS, x, x, -0.1), "`margin`.*at least 0.*-0.1"),
        (lambda x, mu: gaussian_mixture_terms(LABELS, x, x[:, :3]), "`half_log_determinants`"),
        (lambda x, mu: gaussian_mixture_terms(LABELS + 2, x, x), "`labels`.*from 0 to 3"),
    ],
)
def test_bad_input_raises_with_its_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((5, 4), "float32"), np.ones((3, 4), "float32"))
