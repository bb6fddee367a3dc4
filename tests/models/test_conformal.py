import keras
import numpy as np
import pytest
from problems import CLASSES, make_model
from scipy import stats

import keras_softmaxes as ks

IDENTITY = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Softmax()])


def make_data(rows, seed=0):
    """Return logits and classes that are not quite drawn from them."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(rows, CLASSES)).astype("float32")
    return logits, (0.5 * logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def split(x, y, first):
    return (x[:first], y[:first]), x[first:], y[first:]


def covered(sets, y):
    return int(np.take_along_axis(sets, y[:, None], axis=1).sum())


@pytest.mark.slow
@pytest.mark.parametrize("score", ["lac", "aps"])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_coverage_is_what_was_asked_for_on_twenty_splits(score, coverage):
    """Of one split it is beta-binomial, over draws of the calibration examples too."""
    x, y = make_data(3000)
    rank = np.ceil(1001 * coverage)
    one = stats.betabinom(2000, rank, 1001 - rank)
    counts = []
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(3000)
        calibration, unseen, labels = split(x[order], y[order], 1000)
        found = ks.models.conformal_sets(IDENTITY, unseen, calibration, coverage, score, seed=seed)
        counts.append(covered(found["sets"], labels))
    low, high = one.interval(0.99)
    assert low <= min(counts)
    assert max(counts) <= high
    assert np.mean(counts) / 2000 == pytest.approx(coverage, abs=0.01)


def naive_scores(p, score, u):
    """Return the scores of one example, class by class."""
    if score == "lac":
        return 1 - p
    return np.array([p[p > each].sum() + u * each for each in p])


@pytest.mark.parametrize("score", ["lac", "aps"])
def test_sets_are_those_of_the_definition(score):
    x, y = make_data(60)
    calibration, unseen, _ = split(x, y, 40)
    found = ks.models.conformal_sets(IDENTITY, unseen, calibration, 0.85, score, seed=3)
    rng = np.random.default_rng(3)
    probabilities = [
        IDENTITY.predict(each, verbose=0).astype("float64") for each in (calibration[0], unseen)
    ]
    scores = [
        np.array(
            [
                naive_scores(row, score, u)
                for row, u in zip(p, rng.uniform(size=len(p)), strict=True)
            ]
        )
        for p in probabilities
    ]
    of_labels = np.sort(scores[0][np.arange(40), calibration[1]])
    assert found["threshold"] == pytest.approx(of_labels[34], rel=1e-6)  # ceil(41 * 0.85) = 35
    np.testing.assert_array_equal(found["sets"], scores[1] <= of_labels[34] + 1e-9)


def test_a_classifier_and_a_model_of_logits_have_sets_too():
    x, y = make_data(200)
    plain = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Activation("linear")])
    ours, theirs = (
        ks.models.conformal_sets(model, x[100:], (x[:100], y[:100])) for model in (plain, IDENTITY)
    )
    np.testing.assert_array_equal(ours["sets"], theirs["sets"])
    features = np.random.default_rng(0).normal(size=(50, 8)).astype("float32")
    labels = keras.utils.to_categorical(features[:, :CLASSES].argmax(axis=1), CLASSES)
    found = ks.models.conformal_sets(make_model(), features, (features, labels), score="aps")
    assert found["sets"].shape == (50, CLASSES)


def test_a_monotone_change_of_probabilities_leaves_the_best_class_in():
    """A temperature changes the sets, not their coverage."""
    x, y = make_data(2000)
    calibrated = ks.models.calibrate(IDENTITY, x[:500], y[:500])
    calibration, unseen, labels = split(x[500:], y[500:], 700)
    found = ks.models.conformal_sets(calibrated, unseen, calibration, 0.9)
    rank = np.ceil(701 * 0.9)
    low, high = stats.betabinom(800, rank, 701 - rank).interval(0.99)
    assert low <= covered(found["sets"], labels) <= high


def test_too_few_examples_give_all_classes():
    x, y = make_data(20)
    found = ks.models.conformal_sets(IDENTITY, x, (x[:8], y[:8]), coverage=0.9)
    assert found["threshold"] == np.inf
    assert found["sets"].all()
    assert not ks.models.conformal_sets(IDENTITY, x, (x[:9], y[:9]), coverage=0.9)["sets"].all()


def test_draws_follow_the_seed():
    x, y = make_data(100)

    def sets(seed):
        found = ks.models.conformal_sets(IDENTITY, x, (x, y), score="aps", seed=seed)
        return found["sets"].tolist()

    assert sets(1) == sets(1) != sets(2)
    keras.utils.set_random_seed(4)
    first = sets(None)
    assert first != sets(None)
    keras.utils.set_random_seed(4)
    assert first == sets(None)


def test_what_is_wrong_raises():
    x, y = make_data(20)
    for coverage in (0, 1, 1.5, "a"):
        with pytest.raises(ValueError, match="`coverage`"):
            ks.models.conformal_sets(IDENTITY, x, (x, y), coverage)
    with pytest.raises(ValueError, match=r"`score`.*'lac', 'aps'"):
        ks.models.conformal_sets(IDENTITY, x, (x, y), score="raps")
    with pytest.raises(ValueError, match="`seed`"):
        ks.models.conformal_sets(IDENTITY, x, (x, y), seed=-1)
    with pytest.raises(ValueError, match="`labels`"):
        ks.models.conformal_sets(IDENTITY, x, (x, y[:-1]))


def test_calibration_data_are_a_tuple_of_arrays():
    x, y = make_data(20)
    for wrong in ({"x": x, "y": y}, (x,), (x, y, y), x, iter([(x, y)]), None):
        with pytest.raises(
            ValueError, match=r"`calibration`\. Expected a tuple of inputs and labels"
        ):
            ks.models.conformal_sets(IDENTITY, x, wrong)
    with pytest.raises(ValueError, match=r"`calibration\[0\]`\. Expected an array"):
        ks.models.conformal_sets(IDENTITY, x, (None, y))
    with pytest.raises(ValueError, match=r"`len\(x\)`"):
        ks.models.conformal_sets(IDENTITY, x[:0], (x, y))


@pytest.mark.tensorflow
def test_datasets_raise():
    import tensorflow as tf

    x, y = make_data(20)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    with pytest.raises(ValueError, match=r"`calibration`\. Expected a tuple"):
        ks.models.conformal_sets(IDENTITY, x, batches)
    with pytest.raises(ValueError, match=r"`x`\. Expected an array"):
        ks.models.conformal_sets(IDENTITY, batches, (x, y))
