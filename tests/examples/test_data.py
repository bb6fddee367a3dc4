import data
import numpy as np
import pytest


@pytest.mark.parametrize("name", data.DATASETS)
def test_images_are_ready_to_train_on(name, request):
    folder = None if name == "digits" else request.getfixturevalue("data_dir")
    images = data.load(name, folder)
    sizes = {"digits": (1000, 797)}.get(name, (60_000, 10_000))
    assert (len(images.x_train), len(images.x_test)) == sizes
    for x, y in ((images.x_train, images.y_train), (images.x_test, images.y_test)):
        assert x.dtype == "float32"
        assert (x.min(), x.max()) == (0, 1)
        assert len(x) == len(y)
        assert set(y) == set(range(10))


def test_mnist_is_in_the_order_of_its_files(data_dir):
    """The first labels of the published files, train-labels and t10k-labels."""
    images = data.load("mnist", data_dir)
    assert list(images.y_train[:20]) == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7, 2, 8, 6, 9]
    assert list(images.y_test[:10]) == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_sizes_that_classes_cannot_share_are_refused():
    images = data.load("digits")
    for size in (105, 0, 10_000):
        with pytest.raises(SystemExit, match=rf"multiple of 10.*Received: {size}"):
            data.balanced(images, size)


def test_the_first_images_of_each_class_are_kept():
    labels = np.array([0, 1, 1, 0, 1, 0, 2, 2])
    x = np.arange(8).reshape(8, 1, 1, 1)
    kept = data.balanced(data.Images(x, labels, x, labels), 6)
    assert list(kept.x_train.ravel()) == [0, 1, 2, 3, 6, 7]
    assert list(kept.y_train) == [0, 1, 1, 0, 2, 2]
