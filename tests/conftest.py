"""Two logical CPU devices, configured before TensorFlow starts, and fixtures."""

import json
from pathlib import Path

import keras
import pytest
from hypothesis import settings
from problems import make_problem

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration(), tf.config.LogicalDeviceConfiguration()],
    )

# JAX compiles each operation anew for each shape, which is most of what an example costs.
settings.register_profile(
    "all", deadline=None, max_examples=15 if keras.backend.backend() == "jax" else 100
)
settings.load_profile("all")

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "tensorflow_datasets"


def pytest_collection_modifyitems(items):
    for item in items:
        if keras.backend.backend() != "tensorflow" and item.get_closest_marker("tensorflow"):
            item.add_marker(pytest.mark.skip(reason="needs the TensorFlow backend"))


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def two_replicas():
    """The one strategy of all tests: a second one's collectives would collide with the first's."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("needs the TensorFlow backend")
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture
def problem():
    return make_problem()


@pytest.fixture
def golden():
    return json.loads((Path(__file__).parent / "golden" / "dropmax.json").read_text())


@pytest.fixture
def data_dir():
    if not DATA.exists():
        pytest.skip(f"no prepared datasets in {DATA}")
    return DATA
