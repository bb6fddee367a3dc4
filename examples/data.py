"""Images as arrays: scikit-learn's digits, and MNIST and Fashion-MNIST through TFDS."""

import hashlib
from dataclasses import dataclass

import numpy as np

DATASETS = ("digits", "mnist", "fashion_mnist")


@dataclass(frozen=True)
class Images:
    """Images in [0, 1], (count, height, width, channels), with integer labels, (count,)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.y_train.max()) + 1


def load(name: str, data_dir: str | None = None) -> Images:
    """Load a dataset.

    Args:
        name: one of `DATASETS`.
        data_dir: TFDS's folder; None is its own default. TFDS downloads what is not there.

    Returns:
        The images, in the order of the dataset's own files.
    """
    return _digits() if name == "digits" else _from_tfds(name, data_dir)


def balanced(images: Images, size: int) -> Images:
    """Keep `size` training images, the first of each class, in their order."""
    available = int(np.bincount(images.y_train).min()) * images.classes
    if size < 1 or size % images.classes or size > available:
        raise SystemExit(
            f"The training size must be a multiple of {images.classes}, at most {available}. "
            f"Received: {size}"
        )
    count = size // images.classes
    rank = np.zeros(len(images.y_train), dtype=int)
    for label in range(images.classes):
        rank[images.y_train == label] = np.arange((images.y_train == label).sum())
    kept = rank < count
    return Images(images.x_train[kept], images.y_train[kept], images.x_test, images.y_test)


def _digits() -> Images:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    x = digits.images[..., None].astype("float32") / 16
    x_train, x_test, y_train, y_test = train_test_split(
        x, digits.target, test_size=797, random_state=0, stratify=digits.target
    )
    return Images(x_train, y_train, x_test, y_test)


def _from_tfds(name: str, data_dir: str | None) -> Images:
    import tensorflow_datasets as tfds

    arrays = []
    for split in ("train", "test"):
        rows = tfds.as_numpy(tfds.load(name, data_dir=data_dir, split=split, batch_size=-1))
        order = _file_order(split, len(rows["label"]))
        arrays += [rows["image"][order].astype("float32") / 255, rows["label"][order]]
    return Images(*arrays)


def _file_order(split: str, count: int) -> np.ndarray:
    """Return the positions of the original files' rows in TFDS's fixed shuffle.

    TFDS sorts the rows by the MD5 of the split's name followed by their number.
    """
    digests = [hashlib.md5(f"{split}{row}".encode()).digest() for row in range(count)]
    return np.argsort(np.argsort(np.array(digests, dtype="S16"), kind="stable"), kind="stable")
