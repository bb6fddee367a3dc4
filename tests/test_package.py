import ast
import dataclasses
import inspect
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import pytest

import keras_softmaxes as ks

PACKAGE = Path(ks.__file__).parent
FACES = [
    "constraints",
    "datasets",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "perturbations",
    "schedules",
]
PUBLIC = {
    f"{face}.{name}": member
    for face in FACES
    for name, member in vars(getattr(ks, face)).items()
    if not name.startswith("_")
}
CLASSES = {name: member for name, member in PUBLIC.items() if inspect.isclass(member)}
BASES = {
    name
    for name, member in CLASSES.items()
    if any(issubclass(other, member) for other in CLASSES.values() if other is not member)
}
# What puts the methods of others to use has no paper of its own.
WITHOUT_PAPER = {
    *BASES,
    "losses.WeightedSum",
    "metrics.TopKAccuracy",
    "ops.linear_ranks",
    "ops.linear_top_k",
    "perturbations.Step",
}
# What is no object of Keras, or only a part of one, is not saved.
NOT_SAVED = {*BASES, "perturbations.Step", "models.AdversarialDropoutMixin"}
TYPED = (Path(__file__).parent / "typed" / "public.py").read_text()
EACH_NAME = pytest.mark.parametrize("name", PUBLIC)


def test_every_public_attribute_of_a_face_is_a_class_or_a_function_of_its_own():
    """No module stands beside them, nor what one imports."""
    assert len(PUBLIC) > 60
    for name, member in PUBLIC.items():
        assert inspect.isclass(member) or inspect.isfunction(member), name
        assert member.__module__.startswith(f"keras_softmaxes.{name.split('.')[0]}._"), name


@EACH_NAME
def test_public_names_are_documented(name):
    member, parts = PUBLIC[name], ["Example:"]
    if not name.startswith("models.") and name not in WITHOUT_PAPER:
        parts.append("Reference:")
    if inspect.signature(member).parameters and not name.endswith("Mixin"):
        parts.append("Args:")
    if dataclasses.is_dataclass(member):  # which a perturbation is given and none makes
        parts = ["Attributes:"]
    assert not [part for part in parts if part not in member.__doc__]


@EACH_NAME
def test_a_type_checker_is_asked_about_public_names(name):
    assert re.search(rf"\bks\.{re.escape(name)}\b", TYPED)


@pytest.mark.parametrize("mixin", ["PerturbationMixin", "AdversarialDropoutMixin"])
def test_a_mixin_tells_of_its_arguments_in_compile(mixin):
    assert "Args:" in getattr(ks.models, mixin).compile.__doc__


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in NOT_SAVED])
def test_saved_models_find_the_classes_by_a_name_that_never_changes(name):
    registered = f"keras_softmaxes>{name.split('.')[1]}"
    assert keras.saving.get_registered_object(registered) is CLASSES[name]
    assert keras.saving.get_registered_name(CLASSES[name]) == registered


def test_so_does_a_layer_of_the_sparsemax():
    layer = keras.layers.Activation(ks.ops.sparsemax)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.activation is ks.ops.sparsemax


def test_modules_begin_with_an_underscore():
    paths = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    assert len(paths) > 60
    assert not [path for path in paths if not path.name.startswith("_")]


@pytest.mark.slow
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


# On which floor a folder stands: it may import what is on a lower one.
FLOORS = {
    "support": 0,
    "ops": 1,
    "constraints": 2,
    "datasets": 2,
    "layers": 2,
    "metrics": 2,
    "optimizers": 2,
    "schedules": 2,
    "losses": 3,
    "perturbations": 4,
    "models": 5,
}


class Imports(ast.NodeVisitor):
    """The folders of the package that a module imports when it is loaded, and in functions."""

    def __init__(self, path):
        self.folder = path.relative_to(PACKAGE).parts[0]
        self.loaded, self.in_functions, self.function = [], [], None
        self.visit(ast.parse(path.read_text()))

    def visit_FunctionDef(self, node):
        outer, self.function = self.function, node.name
        self.generic_visit(node)
        self.function = outer

    def visit_If(self, node):
        if ast.unparse(node.test) != "TYPE_CHECKING":  # which is never run
            self.generic_visit(node)

    def visit_Import(self, node):
        assert not [each for each in node.names if each.name.startswith("keras_softmaxes")]

    def visit_ImportFrom(self, node):
        module = (node.module or "").split(".")
        if node.level == 0:
            targets = module[1:2] if module[0] == "keras_softmaxes" else []
        else:
            targets = [self.folder] if node.level == 1 else module[:1]
        for target in targets:
            if self.function is None:
                self.loaded.append(target)
            else:
                self.in_functions.append((self.function, target))


@pytest.mark.parametrize("folder", FLOORS)
def test_imports_run_downwards_only(folder):
    """The loss of a head stands above it, and is imported when it is asked for."""
    paths = list((PACKAGE / folder).glob("*.py"))
    assert paths
    for path in paths:
        imports = Imports(path)
        for target in imports.loaded:
            assert target == folder or FLOORS[target] < FLOORS[folder], f"{path}: {target}"
        for function, target in imports.in_functions:
            is_own_loss = (folder, function, target) == ("layers", "default_loss", "losses")
            is_below = target == folder or FLOORS[target] < FLOORS[folder]
            assert is_own_loss or is_below, f"{path}, {function}: {target}"


@pytest.mark.parametrize(
    "way", ["__class__ =", "threading.local", "_get_call_context", "keras.src", "import_module"]
)
def test_the_way_through_the_package_is_written_out(way):
    for path in PACKAGE.rglob("*.py"):
        assert way not in path.read_text(), path


def test_tensorflows_private_graph_context_is_read_in_one_place():
    private = "_get_control_flow_context"
    readers = [path for path in PACKAGE.rglob("*.py") if private in path.read_text()]
    assert readers == [PACKAGE / "support" / "_xla.py"]


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path]
    subprocess.run([*build, Path(ks.__file__).parent.parent], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert all(name.startswith("keras_softmaxes") for name in archive.namelist())  # no tests
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
