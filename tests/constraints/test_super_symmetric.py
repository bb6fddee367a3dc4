import keras
import numpy as np
import pytest
from keras import ops
from numerics import MODES, execute
from scipy.optimize import minimize

from keras_softmaxes.constraints import SuperSymmetric

SHAPES = pytest.mark.parametrize("shape", [(1, 2), (6, 4), (3, 4), (2, 3), (40, 10)])


def project(kernel, mode="eager", dtype="float32"):
    return execute(SuperSymmetric(), [kernel], mode, dtype)


def simplex(classes):
    """The Gram matrix of the set for v = 1."""
    return (np.eye(classes) * classes - 1) / (classes - 1)


def random_member(rng, features, classes, v):
    """A super-symmetric kernel: random orthonormal directions of a root of the Gram matrix."""
    values, vectors = np.linalg.eigh(v * simplex(classes))
    root = vectors[:, 1:] * np.sqrt(values[1:])
    return np.linalg.qr(rng.normal(size=(features, classes - 1)))[0] @ root.T


@pytest.mark.parametrize("mode", MODES)
@SHAPES
def test_the_result_is_super_symmetric_and_stays(mode, shape):
    kernel = project(np.random.default_rng(0).normal(size=shape) + 3, mode)
    gram = kernel.T @ kernel
    assert gram[0, 0] > 0
    np.testing.assert_allclose(gram, gram[0, 0] * simplex(shape[1]), atol=1e-5 * gram[0, 0])
    np.testing.assert_allclose(project(kernel, mode), kernel, atol=1e-5)


@pytest.mark.tensorflow
@SHAPES
def test_no_member_of_the_set_is_nearer(shape):
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=shape)
    nearest = project(kernel, dtype="float64")
    distance = np.linalg.norm(nearest - kernel)
    v = (nearest**2).sum() / shape[1]
    for scale in np.geomspace(0.1, 10, 200):
        assert np.linalg.norm(random_member(rng, *shape, scale * v) - kernel) >= distance
        assert np.linalg.norm(np.sqrt(scale) * nearest - kernel) >= distance - 1e-12


@pytest.mark.tensorflow
def test_an_independent_optimiser_finds_the_same_kernel():
    """Least squares over rotations, by the exponential of a skew matrix, and over v."""
    from scipy.linalg import expm

    rng = np.random.default_rng(2)
    kernel = rng.normal(size=(3, 3)) + 0.5
    start = random_member(rng, 3, 3, 1.0)
    upper = np.triu_indices(3, 1)

    def member(parameters):
        skew = np.zeros((3, 3))
        skew[upper] = parameters[:3]
        return np.exp(parameters[3]) * expm(skew - skew.T) @ start

    def cost(parameters):
        return ((member(parameters) - kernel) ** 2).sum()

    runs = [minimize(cost, rng.normal(size=4), tol=1e-12) for _ in range(8)]
    best = min(runs, key=lambda run: run.fun)
    np.testing.assert_allclose(project(kernel, dtype="float64"), member(best.x), atol=1e-4)


@pytest.mark.tensorflow
def test_members_are_their_own_projection_whatever_is_common_to_the_classes():
    rng = np.random.default_rng(3)
    member = random_member(rng, 5, 4, 2.5)
    np.testing.assert_allclose(project(member, dtype="float64"), member, atol=1e-12)
    shifted = member + rng.normal(size=(5, 1))
    np.testing.assert_allclose(project(shifted, dtype="float64"), member, atol=1e-12)


def test_a_kernel_of_lower_rank_has_a_projection_and_zero_stays_zero():
    kernel = np.zeros((5, 4))
    assert not project(kernel).any()
    kernel[0, 0] = 1
    gram = project(kernel).T @ project(kernel)
    np.testing.assert_allclose(gram, gram[0, 0] * simplex(4), atol=1e-6)
    assert gram[0, 0] == pytest.approx((np.sqrt(3 / 4) / 3) ** 2 * 3 / 4, rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_projected_in_float32(dtype):
    kernel = ops.cast(np.random.default_rng(4).normal(size=(6, 4)), dtype)
    projected = SuperSymmetric()(kernel)
    assert keras.backend.standardize_dtype(projected.dtype) == dtype
    exact = project(ops.convert_to_numpy(ops.cast(kernel, "float32")))
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(projected, "float32")), exact, atol=0.01
    )


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 4), r"`kernel`.*at least classes - 1 features.*\(2, 4\)"),
        ((4, 1), r"`kernel`.*at least 2.*\(4, 1\)"),
        ((3, 3, 8, 4), r"`kernel`.*\(3, 3, 8, 4\)"),
    ],
)
def test_kernels_without_a_projection_raise(shape, message):
    with pytest.raises(ValueError, match=message):
        SuperSymmetric()(np.zeros(shape, "float32"))


def make_model(**compile_arguments):
    dense = keras.layers.Dense(4, kernel_constraint=SuperSymmetric())
    model = keras.Sequential([keras.Input((8,)), dense])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(0.05)
    model.compile(optimizer, loss=loss, metrics=["accuracy"], **compile_arguments)
    return model


def check_training(model):
    x = np.random.default_rng(5).normal(size=(256, 8)).astype("float32")
    y = x[:, :4].argmax(axis=1)
    history = model.fit(x, y, epochs=3, verbose=0).history
    assert history["accuracy"][-1] > 0.7
    kernel = model.layers[-1].kernel.numpy()
    gram = kernel.T @ kernel
    np.testing.assert_allclose(gram, gram[0, 0] * simplex(4), atol=1e-5 * gram[0, 0])
    return x


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_holds_in_training_and_after_loading(jit_compile, tmp_path):
    if keras.backend.backend() == "jax" and not jit_compile:
        pytest.skip("JAX compiles every step")
    model = make_model(jit_compile=jit_compile)
    x = check_training(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.layers[-1].kernel_constraint) is SuperSymmetric
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.tensorflow
def test_it_holds_on_two_replicas(two_replicas):
    with two_replicas.scope():
        model = make_model()
    check_training(model)


def test_config_round_trip():
    again = keras.constraints.deserialize(keras.constraints.serialize(SuperSymmetric()))
    assert type(again) is SuperSymmetric
