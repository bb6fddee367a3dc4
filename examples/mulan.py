"""Mulan's multi-label datasets, from a folder of its ARFF and XML files."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from scipy.io import arff

DATASETS = ("scene", "yeast")


@dataclass(frozen=True)
class MultiLabel:
    """Standardised features, (examples, features), with zeros and ones, (examples, labels)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    labels: list[str]


def load(name: str, data_dir: str | Path) -> MultiLabel:
    """Load a dataset in its own split.

    Every label that the XML file names is one, at any depth of a hierarchy, and every other
    attribute is a feature. A file that is not as it should be ends the program by its name: one
    that cannot be read, a label that is not in the ARFF file or not 0 and 1, a feature with a
    missing value ("?") or with words, features that training and test examples do not share. A
    missing value is not guessed: what stands for it is for whoever uses the data to say.

    Args:
        name: one of `DATASETS`, or another one of numbers alone.
        data_dir: the folder that holds NAME/NAME-train.arff, NAME-test.arff and NAME.xml, as
            http://mulan.sourceforge.net/datasets-mlc.html offers them.

    Returns:
        The data. Features have mean 0 and deviation 1 over the training examples.
    """
    folder = Path(data_dir) / name
    if not folder.is_dir():
        raise SystemExit(f"There is no folder {folder}. Name the one that holds {name}'s files.")
    labels = _labels(folder / f"{name}.xml")
    paths = [folder / f"{name}-{split}.arff" for split in ("train", "test")]
    train, test = (_columns(path, labels) for path in paths)
    if differing := sorted(train.keys() ^ test.keys()):
        raise SystemExit(f"{paths[0]} and {paths[1]} do not share the features {differing}.")
    features = [attribute for attribute in train if attribute not in labels]
    x_train, x_test = (_matrix(columns, features) for columns in (train, test))
    y_train, y_test = (_matrix(columns, labels).astype(int) for columns in (train, test))
    mean, stddev = x_train.mean(axis=0), x_train.std(axis=0)
    stddev[stddev == 0] = 1
    return MultiLabel((x_train - mean) / stddev, y_train, (x_test - mean) / stddev, y_test, labels)


def _labels(path: Path) -> list[str]:
    """Return the labels in the order of the file, a parent before its children."""
    try:
        entries = ElementTree.parse(path).getroot().findall(".//{*}label")
    except (OSError, ElementTree.ParseError) as error:
        raise SystemExit(f"{path} cannot be read: {error}") from error
    labels = [entry.attrib.get("name", "") for entry in entries]
    if not labels or "" in labels or len(set(labels)) < len(labels):
        raise SystemExit(f"{path} must name its labels, each once; it has {labels}.")
    return labels


def _columns(path: Path, labels: list[str]) -> dict[str, np.ndarray]:
    """Return the values of each attribute."""
    try:
        rows, attributes = arff.loadarff(path)
    except (OSError, NotImplementedError, StopIteration, LookupError, ValueError) as error:
        raise SystemExit(f"{path} cannot be read: {error}") from error
    if absent := [label for label in labels if label not in attributes.names()]:
        raise SystemExit(f"{path} lacks the labels {absent} of its XML file.")
    if len(rows) == 0 or len(attributes.names()) == len(labels):
        raise SystemExit(f"{path} must have examples, and features beside the labels.")
    columns = {name: _numbers(rows[name], name, path) for name in attributes.names()}
    for label in labels:
        if not np.isin(columns[label], (0, 1)).all():
            raise SystemExit(f"{path}: label {label!r} must be 0 or 1 in each example.")
    return columns


def _numbers(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    """Return the values of an attribute as numbers; nominal ones come as bytes."""
    try:
        numbers = values.astype("float32")
    except ValueError as error:
        raise SystemExit(f"{path}: {name!r} is not of numbers alone: {error}") from error
    if missing := np.count_nonzero(~np.isfinite(numbers)):
        raise SystemExit(f"{path}: {name!r} has no number in {missing} of {len(numbers)} examples.")
    return numbers


def _matrix(columns: dict[str, np.ndarray], names: list[str]) -> np.ndarray:
    return np.stack([columns[name] for name in names], axis=1)
