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
    labels = [label.attrib["name"] for label in ElementTree.parse(folder / f"{name}.xml").getroot()]
    x_train, y_train = _read(folder / f"{name}-train.arff", labels)
    x_test, y_test = _read(folder / f"{name}-test.arff", labels)
    mean, stddev = x_train.mean(axis=0), x_train.std(axis=0)
    stddev[stddev == 0] = 1
    return MultiLabel((x_train - mean) / stddev, y_train, (x_test - mean) / stddev, y_test, labels)


def _read(path: Path, labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    rows, attributes = arff.loadarff(path)
    features = [name for name in attributes.names() if name not in set(labels)]
    x = np.stack([rows[name] for name in features], axis=1).astype("float32")
    return x, np.stack([rows[name].astype(int) for name in labels], axis=1)
