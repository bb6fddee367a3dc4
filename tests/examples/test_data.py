import data
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from scipy import stats

PREPARED = [
    ("mnist", (28, 28, 1), (60_000, 10_000), 10),
    ("fashion_mnist", (28, 28, 1), (60_000, 10_000), 10),
    ("tiny_imagenet_100x32", (32, 32, 3), (50_000, 5_000), 100),
]


@pytest.mark.parametrize(
    ("name", "shape", "sizes", "classes"),
    [
        ("digits", (8, 8, 1), (1000, 797), 10),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in PREPARED),
    ],
)
def test_images_are_ready_to_train_on(name, shape, sizes, classes, request):
    folder = None if name == "digits" else request.getfixturevalue("data_dir")
    images = data.load(name, folder)
    assert images.classes == classes
    assert (len(images.x_train), len(images.x_test)) == sizes
    for x, y in ((images.x_train, images.y_train), (images.x_test, images.y_test)):
        assert x.dtype == "float32"
        assert x.shape == (len(y), *shape)
        assert (x.min(), x.max()) == (0, 1)
        assert set(y) == set(range(classes))


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_comes_as_pixels_and_classes(name, classes, monkeypatch, tmp_path):
    """On made-up rows of the shape that TFDS declares."""
    features = tfds.builder(name, data_dir=tmp_path).info.features
    pixels = np.arange(2 * 32 * 32 * 3).reshape(2, *features["image"].shape).astype("uint8")
    labels = tf.constant([0, features["label"].num_classes - 1])
    rows = {"image": tf.constant(pixels), "label": labels}
    monkeypatch.setattr(tfds, "load", lambda asked, **arguments: rows if asked == name else None)
    images = data.load(name, tmp_path)
    assert images.classes == classes
    for x, y in ((images.x_train, images.y_train), (images.x_test, images.y_test)):
        np.testing.assert_array_equal(x, pixels.astype("float32") / 255)
        assert list(y) == [0, classes - 1]


def test_what_cannot_be_downloaded_is_asked_for(tmp_path):
    with pytest.raises(SystemExit, match="tiny_imagenet_100x32 is not in TFDS's folder"):
        data.load("tiny_imagenet_100x32", str(tmp_path))


@pytest.mark.slow
def test_mnist_is_in_the_order_of_its_files(data_dir):
    """The first labels of the published files, train-labels and t10k-labels."""
    images = data.load("mnist", data_dir)
    assert list(images.y_train[:20]) == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7, 2, 8, 6, 9]
    assert list(images.y_test[:10]) == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_sizes_that_classes_cannot_share_raise():
    images = data.load("digits")
    for size in (105, 0, 10_000):
        with pytest.raises(SystemExit, match=rf"multiple of 10.*Received: {size}"):
            data.balanced(images, size)


def test_all_images_are_kept_though_classes_differ_in_size():
    images = data.load("digits")
    assert np.ptp(np.bincount(images.y_train)) > 0
    assert data.balanced(images, 1000) is images


def test_the_first_images_of_each_class_are_kept():
    labels = np.array([0, 1, 1, 0, 1, 0, 2, 2])
    x = np.arange(8).reshape(8, 1, 1, 1)
    kept = data.balanced(data.Images(x, labels, x, labels), 6)
    assert list(kept.x_train.ravel()) == [0, 1, 2, 3, 6, 7]
    assert list(kept.y_train) == [0, 1, 1, 0, 2, 2]


def many(classes=5, count=4000):
    labels = np.arange(count) % classes
    return data.Images(labels, labels, labels, labels)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_labels_and_no_other_is_wrong(share):
    images = many()
    noisy = data.mislabelled(images, share, seed=0)
    assert (noisy.y_train != images.y_train).sum() == share * 4000
    assert set(noisy.y_train) <= set(range(5))
    assert noisy.y_train.dtype == images.y_train.dtype
    assert list(images.y_train) == list(images.x_train), "the original was changed"
    np.testing.assert_array_equal(noisy.y_test, images.y_test)
    np.testing.assert_array_equal(noisy.x_train, images.x_train)


def test_wrong_labels_are_uniform_over_images_and_other_classes():
    images = many()
    noisy = data.mislabelled(images, 0.5, seed=1)
    wrong = noisy.y_train != images.y_train
    pairs = np.stack([images.y_train[wrong], noisy.y_train[wrong]])
    counts = np.histogram2d(*pairs, bins=range(6))[0]
    assert np.diag(counts).sum() == 0
    assert stats.chisquare(counts[~np.eye(5, dtype=bool)]).pvalue > 0.01
    halves = wrong[:2000].sum(), wrong[2000:].sum()
    assert stats.chisquare(halves).pvalue > 0.01


def test_wrong_labels_follow_the_seed_and_grow_with_the_share():
    few, same, more, other = (
        data.mislabelled(many(), share, seed).y_train
        for share, seed in ((0.2, 3), (0.2, 3), (0.4, 3), (0.2, 4))
    )
    np.testing.assert_array_equal(few, same)
    assert (few != other).any()
    wrong = few != many().y_train
    np.testing.assert_array_equal(few[wrong], more[wrong])


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_that_is_none_raises(share):
    with pytest.raises(SystemExit, match=rf"must be in \[0, 1\]. Received: {share}"):
        data.mislabelled(many(), share, seed=0)
