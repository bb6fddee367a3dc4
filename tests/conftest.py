"""Two logical CPU devices, configured before TensorFlow starts, and fixtures."""

import json
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import settings
from keras import ops
from problems import make_problem

import keras_softmaxes as ks
from keras_softmaxes.layers import _adversarial_dropout, _class_masking, _dropmax
from keras_softmaxes.perturbations import Step

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration(), tf.config.LogicalDeviceConfiguration()],
    )

    # A private name, through which each iterator gets its dataset.
    iterated = tf.data.Dataset._apply_debug_options

    def untuned(dataset):
        """Return a dataset without the thread that tunes it.

        An iterator that is left before its end, as by an error, waits for that thread when it is
        freed, up to a minute, and everything else waits with it.
        """
        options = tf.data.Options()
        options.autotune.enabled = False
        return iterated(dataset).with_options(options)

    tf.data.Dataset._apply_debug_options = untuned

# JAX compiles each operation anew for each shape, which is most of what an example costs.
settings.register_profile(
    "all", deadline=None, max_examples=15 if keras.backend.backend() == "jax" else 100
)
settings.load_profile("all")

# No docstring of these is an example; collected, they would be imported a second time.
collect_ignore = [
    "class_shards.py",
    "cut_models.py",
    "fuzzing.py",
    "loss_cases.py",
    "many_classes.py",
    "metric_cases.py",
    "numerics.py",
    "problems.py",
]

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "tensorflow_datasets"


# What `make test` takes through conformance: a head with every kind of branch, a loss of classes,
# and one of several labels. CI takes all heads and losses.
QUICK = (ks.layers.DropMax, ks.losses.LargeMarginCrossentropy, ks.losses.PairedCrossentropy)


def pytest_collection_modifyitems(items):
    """Mark what `make test` leaves out: by its folder, its head or loss, its compiler or device."""
    for item in items:
        folder = item.path.parent.name
        given = item.callspec.params if hasattr(item, "callspec") else {}
        fixtures = getattr(item, "fixturenames", ())
        if folder == "conformance":
            item.add_marker(pytest.mark.conformance)
        if folder == "examples" or (folder == "conformance" and is_left_to_ci(given.get("kind"))):
            item.add_marker(pytest.mark.thorough)
        if given.get("mode") in ("xla", "jit") or "two_replicas" in fixtures:
            item.add_marker(pytest.mark.slow)
        if keras.backend.backend() != "tensorflow" and item.get_closest_marker("tensorflow"):
            item.add_marker(pytest.mark.skip(reason="needs the TensorFlow backend"))


def is_left_to_ci(kind):
    is_compared = isinstance(kind, type) and issubclass(kind, (ks.layers.Head, ks.losses.HeadLoss))
    return is_compared and kind not in QUICK


def pytest_terminal_summary(terminalreporter):
    """Print how many cases were fuzzed of each kind, whichever processes ran them."""
    counts = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, cases in report.user_properties:
            if report.when == "call" and name.startswith("fuzzed "):
                counts[name.removeprefix("fuzzed ")] += cases
    if counts:
        told = ", ".join(f"{cases:,} of {kind}" for kind, cases in sorted(counts.items()))
        terminalreporter.write_line(f"Fuzzed {counts.total():,} cases: {told}.")


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
def fixed_masks(monkeypatch):
    """Heads draw the same mask for every example, on every replica, in every step."""

    def log_mask(logits, temperature, generator):
        return ks.ops.dropmax_log_mask(logits, ops.full_like(logits, 0.3), temperature)

    def uniform(shape, dtype, generator):
        row = 0.7 * np.arange(1, shape[-1] + 1) % 1
        return ops.broadcast_to(ops.convert_to_tensor(row, dtype), shape)

    monkeypatch.setattr(_dropmax, "draw_log_mask", log_mask)
    monkeypatch.setattr(_class_masking, "draw_uniform", uniform)


@pytest.fixture
def fixed_draws(monkeypatch):
    """The mask at the cut is the same for every example, in every step; so is VAT's direction."""

    def uniform(shape, dtype, generator):
        row = np.random.default_rng(0).uniform(size=shape[-1])
        return ops.broadcast_to(ops.convert_to_tensor(row, dtype), shape)

    monkeypatch.setattr(_adversarial_dropout, "draw_uniform", uniform)
    monkeypatch.setattr(Step, "draw_normal", _fixed_normal)


@pytest.fixture
def shared_draws(monkeypatch):
    """Each draw of a mask is another one, the same for every example on every replica."""

    def uniform(shape, dtype, generator):
        counter = ops.cast(generator.next(), "float64")[1]
        row = 1e4 * ops.sin((counter + 1.7) * ops.arange(1, shape[-1] + 1, dtype="float64"))
        return ops.broadcast_to(ops.cast(row - ops.floor(row), dtype), shape)

    monkeypatch.setattr(_adversarial_dropout, "draw_uniform", uniform)
    monkeypatch.setattr(Step, "draw_normal", _fixed_normal)


def _fixed_normal(step):
    row = np.random.default_rng(1).normal(size=step.inputs.shape[-1])
    return ops.broadcast_to(ops.convert_to_tensor(row, "float32"), ops.shape(step.inputs))


@pytest.fixture
def golden():
    return json.loads((Path(__file__).parent / "golden" / "dropmax.json").read_text())


@pytest.fixture
def data_dir():
    if not DATA.exists():
        pytest.skip(f"no prepared datasets in {DATA}")
    return DATA
