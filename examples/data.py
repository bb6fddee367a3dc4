"""Images as arrays: scikit-learn's digits, and others through TFDS."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

FILE_ORDERED = ("mnist", "fashion_mnist")
DATASETS = (
    "digits",
    *FILE_ORDERED,
    "cifar10",
    "cifar100",
    "tiny_imagenet_100x32",
    "omniglot_964x28",
)


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
        data_dir: TFDS's folder; None is its own default. TFDS downloads what is not there, but two
            that have to be prepared before: tiny_imagenet_100x32, 100 classes of Tiny ImageNet, 500
            training and 50 test images each, averaged down to 32 x 32; and omniglot_964x28, the
            964 characters of Omniglot's background set, 16 training and 4 test drawings each by
            different drawers, averaged down to 28 x 28, ink bright.

    Returns:
        The images: of digits, MNIST and Fashion-MNIST in the order of the dataset's own files, of
        the others in TFDS's.
    """
    return _digits() if name == "digits" else _from_tfds(name, data_dir)


def balanced(images: Images, size: int) -> Images:
    """Keep `size` training images, the first of each class, in their order; or all of them."""
    everything = len(images.y_train)
    if size == everything:
        return images
    available = int(np.bincount(images.y_train).min()) * images.classes
    if size < 1 or size % images.classes or size > available:
        raise SystemExit(
            f"The training size must be a multiple of {images.classes}, at most {available}, "
            f"or {everything}, all of them. Received: {size}"
        )
    kept = position_in_class(images.y_train) < size // images.classes
    return Images(images.x_train[kept], images.y_train[kept], images.x_test, images.y_test)


def position_in_class(labels: np.ndarray) -> np.ndarray:
    """Return how many labels of the same class come before each one."""
    position = np.zeros(len(labels), dtype=int)
    for label in np.unique(labels):
        position[labels == label] = np.arange((labels == label).sum())
    return position


def mislabelled(images: Images, share: float, seed: int) -> Images:
    """Switch the labels of a share of the training images to wrong classes.

    Args:
        images: the images; those of the test keep their labels.
        share: the share of training images in [0, 1], rounded to whole images. They are drawn
            without replacement, and each gets one of the other classes, all equally likely.
        seed: what the draw depends on, besides the number of images and of classes. With the same
            seed a larger share holds the wrong labels of a smaller one.

    Returns:
        The images, with the new labels.
    """
    if not 0 <= share <= 1:
        raise SystemExit(f"The share of wrong labels must be in [0, 1]. Received: {share}")
    count, labels = len(images.y_train), images.y_train.copy()
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(count)[: round(share * count)]
    steps = rng.integers(1, images.classes, count)[: len(chosen)].astype(labels.dtype)
    labels[chosen] = (labels[chosen] + steps) % images.classes
    return replace(images, y_train=labels)


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
        try:
            dataset = tfds.load(name, data_dir=data_dir, split=split, batch_size=-1)
        except tfds.core.DatasetNotFoundError:
            raise SystemExit(
                f"{name} is not in TFDS's folder, {data_dir or 'its default one'}, and cannot be "
                "downloaded. Name the folder that holds it."
            ) from None
        rows = tfds.as_numpy(dataset)
        x, y = rows["image"], rows["label"]
        if name in FILE_ORDERED:
            order = _file_order(split, len(y))
            x, y = x[order], y[order]
        arrays += [x.astype("float32") / 255, y]
    return Images(*arrays)


def _file_order(split: str, count: int) -> np.ndarray:
    """Return the positions of the original files' rows in TFDS's fixed shuffle.

    TFDS sorts the rows by the MD5 of the split's name followed by their number.
    """
    digests = [hashlib.md5(f"{split}{row}".encode()).digest() for row in range(count)]
    return np.argsort(np.argsort(np.array(digests, dtype="S16"), kind="stable"), kind="stable")
