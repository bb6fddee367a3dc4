import inspect
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import pytest

import keras_softmaxes as ks

FUNCTIONS = [
    "datasets.semi_supervised",
    "ops.adversarial_mask",
    "ops.attention_terms",
    "ops.average_precision",
    "ops.compactness",
    "ops.gaussian_cdf",
    "ops.gsoftmax_logits",
    "ops.paired_cross_entropy",
    "ops.separability",
    "ops.separability_ratio",
    "ops.dropmax_log_mask",
    "ops.dropmax_terms",
    "ops.dropmax_log_probabilities",
    "ops.masked_cross_entropy",
    "ops.gaussian_distances",
    "ops.gaussian_mixture_terms",
    "ops.large_margin_cross_entropy",
    "ops.large_margin_divergence",
    "ops.lsoftmax_cross_entropy",
    "ops.lsoftmax_logits",
    "ops.margin_bias",
    "ops.mean_multiclass_hinge",
    "ops.sparsemax",
    "ops.sparsemax_loss",
    "ops.super_symmetric_projection",
    "models.dropout_ensemble",
    "models.monte_carlo",
]
CLASSES = [
    "constraints.SuperSymmetric",
    "layers.AdversarialDropout",
    "layers.ClassAttention",
    "layers.ClassDropout",
    "layers.ClassSampling",
    "layers.DropMax",
    "layers.GSoftmax",
    "layers.PairedGSoftmax",
    "layers.GaussianMixture",
    "layers.LSoftmax",
    "layers.NormConstraint",
    "layers.ParameterTying",
    "layers.WeightNoise",
    "losses.AttentionCrossentropy",
    "losses.DropMaxLoss",
    "losses.GaussianMixtureLoss",
    "losses.LSoftmaxLoss",
    "losses.LargeMarginCrossentropy",
    "losses.MaskedCrossentropy",
    "losses.MeanMulticlassHinge",
    "losses.PairedCrossentropy",
    "losses.SparsemaxLoss",
    "metrics.MarginBias",
    "metrics.MeanAveragePrecision",
    "metrics.MultiLabelF1",
    "metrics.MultiLabelPrecision",
    "metrics.MultiLabelRecall",
    "models.Classifier",
    "perturbations.AdversarialTraining",
    "perturbations.PiModel",
    "perturbations.SupervisedAdversarialDropout",
    "perturbations.TemporalEnsembling",
    "perturbations.VirtualAdversarialDropout",
    "perturbations.VirtualAdversarialTraining",
    "schedules.GaussianRampUp",
    "schedules.MalleableLearningRate",
]


def resolve(name):
    floor, member = name.split(".")
    return getattr(getattr(ks, floor), member)


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_public_names_are_documented(name):
    member = resolve(name)
    parts = ["Example:"] if name.startswith("models.") else ["Example:", "Reference:"]
    parts += ["Args:"] * bool(inspect.signature(member).parameters)
    assert not [part for part in parts if part not in member.__doc__]


def test_the_mixin_is_documented():
    mixin = ks.models.AdversarialDropoutMixin
    assert not [part for part in ("Example:", "Reference:") if part not in mixin.__doc__]
    assert "Args:" in mixin.compile.__doc__


@pytest.mark.parametrize("name", CLASSES)
def test_saved_models_find_the_classes_by_a_name_that_never_changes(name):
    registered = f"keras_softmaxes>{name.split('.')[1]}"
    assert keras.saving.get_registered_object(registered).__name__ == name.split(".")[1]
    assert issubclass(keras.saving.get_registered_object(registered), resolve(name))


def test_importing_the_package_costs_little_beside_keras():
    """It brings in no heavy package that Keras has not brought in itself."""
    program = """
import sys, keras
before = set(sys.modules)
import keras_softmaxes
roots = {name.split(".")[0] for name in set(sys.modules) - before}
heavy = {"tensorflow_probability", "tf_keras", "tensorflow_datasets", "matplotlib", "scipy", "jax"}
assert not roots & heavy, roots & heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_imports_run_downwards_only():
    floors = [
        "ops",
        "constraints datasets layers losses metrics schedules",
        "perturbations",
        "models",
    ]
    height = {folder: index for index, level in enumerate(floors) for folder in level.split()}
    package = Path(ks.__file__).parent
    for folder, level in height.items():
        for path in (package / folder).glob("*.py"):
            for line in path.read_text().splitlines():
                if line.startswith("from keras_softmaxes."):
                    target = line.split(".")[1].split()[0]
                    assert target == folder or height[target] < level, f"{path}: {line}"


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path]
    subprocess.run([*build, Path(ks.__file__).parent.parent], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    assert (tmp_path / "installed" / "keras_softmaxes" / "py.typed").exists()
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path / "installed")!r})
import keras_softmaxes as ks
assert ks.__file__.startswith({str(tmp_path)!r}), ks.__file__
ks.layers.DropMax(3)
"""
    subprocess.run([sys.executable, "-I", "-c", program], check=True, cwd=tmp_path)


def test_the_version_lives_in_one_place():
    from importlib import metadata

    assert metadata.version("keras-softmaxes") == ks.__version__
