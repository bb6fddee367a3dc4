from contextlib import nullcontext

import keras
import numpy as np
import pytest
from cut_models import make_cut_model

import keras_softmaxes as ks
from keras_softmaxes.support._arguments import INDEX

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def rows(problem):
    x, y = problem
    return (x[:60], y[:60]), x[60:]


def batches(dataset):
    return [tuple(np.asarray(part) for part in batch) for batch in dataset]


def test_a_batch_has_the_rows_that_were_asked_for(rows):
    (known, labels), others = rows
    for x, y, weight in batches(ks.datasets.semi_supervised((known, labels), others, 8, 24)):
        is_known = weight > 0
        assert is_known.sum() == 8
        assert set(weight[is_known]) == {4.0}
        for row, label in zip(x[is_known], y[is_known], strict=True):
            (position,) = np.flatnonzero((known == row).all(axis=1))
            assert labels[position] == label
        for row in x[~is_known]:
            assert (others == row).all(axis=1).sum() == 1


def test_an_epoch_sees_each_unlabelled_row_at_most_once_and_repeats_the_labelled(rows):
    (known, labels), others = rows
    seen = np.concatenate(
        [
            x[weight == 0]
            for x, _, weight in batches(
                ks.datasets.semi_supervised((known, labels), others, 30, 20)
            )
        ]
    )
    assert len(seen) == 180  # of 196
    assert len(np.unique(seen, axis=0)) == 180
    labelled = np.concatenate(
        [
            x[weight > 0]
            for x, _, weight in batches(
                ks.datasets.semi_supervised((known, labels), others, 30, 20)
            )
        ]
    )
    _, counts = np.unique(labelled, axis=0, return_counts=True)
    assert len(counts) == 60
    assert counts.min() >= 4
    assert counts.max() <= 5  # 270 of 60


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("form", ["integers", "one-hot"])
def test_the_loss_is_the_mean_over_the_labelled_rows(rows, replicas, form, two_replicas):
    (known, labels), others = rows
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if form == "one-hot":
        labels = np.eye(4, dtype="float32")[labels]
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    with two_replicas.scope() if replicas == 2 else nullcontext():
        dataset = ks.datasets.semi_supervised((known, labels), others, 6, 26, seed=1)
        model = make_cut_model([], loss=loss, rate=0.0, optimizer=keras.optimizers.SGD(0.0))
    x, y, weight = (np.concatenate(part) for part in zip(*batches(dataset), strict=True))
    expected = float(loss(y[weight > 0], model.predict(x[weight > 0], verbose=0)))
    ours = model.fit(x, y, sample_weight=weight, batch_size=32, shuffle=False, verbose=0)
    assert ours.history["loss"] == pytest.approx([expected], rel=1e-5)


def test_the_pipeline_itself_is_shared_by_replicas(rows, two_replicas):
    with two_replicas.scope():
        dataset = ks.datasets.semi_supervised(*rows, 6, 26)
        model = make_cut_model([], rate=0.0, optimizer=keras.optimizers.SGD(0.0))
    (known, labels), _ = rows
    ours = model.fit(dataset, epochs=8, shuffle=False, verbose=0).history["loss"]
    expected = float(model.loss(labels, model.predict(known, verbose=0)))
    assert np.mean(ours) == pytest.approx(expected, rel=0.1)  # 48 batches of 6 of 60


def test_both_kinds_are_spread_evenly(rows):
    for labelled, unlabelled in ((8, 24), (24, 8), (7, 25), (1, 31)):
        ((_, _, weight), *_) = batches(ks.datasets.semi_supervised(*rows, labelled, unlabelled))
        halves = [int((half > 0).sum()) for half in np.split(weight, 2)]
        assert abs(halves[0] - halves[1]) <= 1


def test_the_order_repeats_under_the_seed_and_changes_with_the_epoch(rows):
    def epochs(seed=None):
        keras.utils.set_random_seed(7)
        dataset = ks.datasets.semi_supervised(*rows, 8, 24, seed=seed)
        return [np.concatenate([x for x, _, _ in batches(dataset)]) for _ in range(2)]

    for seed in (None, 3):
        first, second = epochs(seed)
        np.testing.assert_array_equal([first, second], epochs(seed))
        assert (first != second).any()


def test_datasets_are_taken_and_indexed(rows):
    import tensorflow as tf

    (known, labels), others = rows
    dataset = ks.datasets.semi_supervised(
        tf.data.Dataset.from_tensor_slices((known, labels)),
        tf.data.Dataset.from_tensor_slices(others),
        10,
        14,
        indexed=True,
    )
    everything = np.concatenate([known, others])
    count = 0
    for x, _, weight in dataset:
        np.testing.assert_array_equal(everything[x[INDEX]], x["inputs"])
        np.testing.assert_array_equal(x[INDEX] < 60, weight > 0)
        count += 1
    assert count == 196 // 14


@pytest.mark.slow
def test_a_model_learns_from_it(problem, rows):
    x, y = problem
    dataset = ks.datasets.semi_supervised(*rows, 16, 48)
    model = make_cut_model()
    history = model.fit(
        dataset, epochs=30, shuffle=False, validation_data=(x, y), verbose=0
    ).history
    assert history["val_accuracy"][-1] > 0.6
    assert history["accuracy"][-1] > 0.55  # of the labelled rows alone; of all it would be 0.4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labelled_batch_size": 0}, "`labelled_batch_size`"),
        ({"unlabelled_batch_size": 2.0}, "`unlabelled_batch_size`"),
        ({"shuffle_buffer": 0}, "`shuffle_buffer`"),
        ({"unlabelled_batch_size": 197}, r"`unlabelled`\. Expected at least 197 rows"),
    ],
)
def test_bad_arguments_raise(rows, arguments, message):
    with pytest.raises(ValueError, match=message):
        ks.datasets.semi_supervised(*rows, **arguments)


def test_rows_that_do_not_fit_together_raise(rows):
    (known, labels), others = rows
    with pytest.raises(ValueError, match=r"`unlabelled`\. Expected rows as the x of `labelled`"):
        ks.datasets.semi_supervised((known, labels), others.astype("float64"))
    with pytest.raises(ValueError, match=r"`unlabelled`\. Expected rows as the x"):
        ks.datasets.semi_supervised((known, labels), (others, others))
    with pytest.raises(ValueError, match=r"`labelled`\. Expected rows \(x, y\)"):
        ks.datasets.semi_supervised(known, others)
    with pytest.raises(ValueError, match=r"`labelled`\. Expected at least one row"):
        ks.datasets.semi_supervised((known[:0], labels[:0]), others)


def test_batches_and_several_labels_raise(rows):
    import tensorflow as tf

    (known, labels), others = rows
    dataset = tf.data.Dataset.from_tensor_slices((known, labels))
    with pytest.raises(ValueError, match=r"`labelled`\. Expected rows; `dataset.unbatch\(\)`"):
        ks.datasets.semi_supervised(dataset.batch(5), others)
    with pytest.raises(ValueError, match=r"`labelled`\. Expected labels in one array"):
        ks.datasets.semi_supervised((known, {"one": labels, "two": labels}), others)


def test_what_is_no_array_raises(rows):
    (known, labels), others = rows
    with pytest.raises(ValueError, match=r"`unlabelled`\. Expected arrays .* unlabelled=list"):
        ks.datasets.semi_supervised((known, labels), others.tolist())
    with pytest.raises(ValueError, match=r"`unlabelled`\. Expected arrays .* unlabelled=NoneType"):
        ks.datasets.semi_supervised((known, labels), None)
    with pytest.raises(ValueError, match=r"`labelled`\. Expected arrays of one length"):
        ks.datasets.semi_supervised((known, labels[1:]), others)


def test_a_buffer_larger_than_the_rows_is_as_large_as_they_are(rows):
    """TensorFlow reserves room for all of it, here more than there is."""
    order = [x for x, _, _ in batches(ks.datasets.semi_supervised(*rows, seed=1))]
    again = ks.datasets.semi_supervised(*rows, seed=1, shuffle_buffer=10**13)
    np.testing.assert_array_equal([x for x, _, _ in batches(again)], order)


def test_batches_that_replicas_cannot_share_raise(rows, two_replicas):
    with two_replicas.scope(), pytest.raises(ValueError, match="a multiple of 2 rows"):
        ks.datasets.semi_supervised(*rows, 8, 25)


def test_an_index_needs_a_known_number_of_labelled_rows(rows):
    import tensorflow as tf

    labelled = tf.data.Dataset.from_tensor_slices(rows[0]).filter(lambda x, y: True)
    with pytest.raises(ValueError, match=r"`labelled`. Expected a known number of rows"):
        ks.datasets.semi_supervised(labelled, rows[1], indexed=True)
