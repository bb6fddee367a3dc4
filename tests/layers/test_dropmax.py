import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import expit, softmax

import keras_softmaxes as ks


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def branch(dense, features):
    return features @ numpy(dense.kernel) + numpy(dense.bias)


def test_probabilities_are_the_softmax_weighted_by_the_retain_probabilities(features):
    head = ks.layers.DropMax(4, bias_initializer="random_normal")
    for training in (False, True):
        outputs = head(features, training=training)
        o, a = branch(head.logits, features), branch(head.retain, features)
        expected = softmax(o + np.log(expit(a)), axis=1)
        np.testing.assert_allclose(numpy(outputs["probabilities"]), expected, atol=1e-6)
        np.testing.assert_allclose(numpy(head.retain_probabilities(features)), expit(a), atol=1e-6)


@pytest.mark.parametrize("posterior", ["label", "prior"])
def test_it_returns_the_branches_and_the_mask(features, posterior):
    head = ks.layers.DropMax(4, posterior=posterior)
    outputs = {name: numpy(each) for name, each in head(features).items()}
    branches = {"logits": head.logits, "retain_logits": head.retain}
    if posterior == "label":
        branches["posterior_shift"] = head.shift
    assert set(outputs) == {"probabilities", "log_mask", *branches}
    for name, dense in branches.items():
        np.testing.assert_allclose(outputs[name], branch(dense, features), atol=1e-6)
    # At inference the mask is at its expectation under the prior.
    retain = expit(outputs["retain_logits"])
    np.testing.assert_allclose(np.exp(outputs["log_mask"]), retain, atol=1e-6)


def drawn_log_mask(head, features):
    return numpy(head(features, training=True)["log_mask"])


def test_training_draws_from_the_posterior_and_inference_draws_nothing(features):
    head = ks.layers.DropMax(4)
    many = np.repeat(features[:1], 20_000, axis=0)
    first, second = drawn_log_mask(head, many), drawn_log_mask(head, many)
    assert (first != second).mean() > 0.9
    posterior = numpy(head.posterior_probabilities(features[:1]))[0]
    np.testing.assert_allclose((np.exp(first) > 0.5).mean(axis=0), posterior, atol=0.02)
    calm = [numpy(head(features)["log_mask"]) for _ in range(2)]
    np.testing.assert_array_equal(*calm)


def test_the_prior_variant_draws_from_the_retain_probabilities(features):
    head = ks.layers.DropMax(4, posterior="prior")
    mask = np.exp(drawn_log_mask(head, np.repeat(features[:1], 20_000, axis=0)))
    retain = numpy(head.retain_probabilities(features[:1]))[0]
    np.testing.assert_allclose((mask > 0.5).mean(axis=0), retain, atol=0.02)
    np.testing.assert_array_equal(numpy(head.posterior_probabilities(features[:1]))[0], retain)


def test_draws_repeat_under_the_global_seed(features):
    draws = []
    for _ in range(2):
        keras.utils.set_random_seed(11)
        draws.append(drawn_log_mask(ks.layers.DropMax(4), features))
    np.testing.assert_array_equal(*draws)


def test_regularisers_act_on_the_logits_alone(features):
    head = ks.layers.DropMax(4, kernel_regularizer=keras.regularizers.L2(1.0))
    head(features)
    (penalty,) = head.losses
    assert float(penalty) == pytest.approx(float((numpy(head.logits.kernel) ** 2).sum()), rel=1e-5)


@pytest.mark.tensorflow
def test_the_posterior_branch_leaves_the_retain_branch_alone(features):
    """The mask, and the posterior's side of the divergence, give theta no gradient."""
    import tensorflow as tf

    head = ks.layers.DropMax(4)
    with tf.GradientTape() as tape:
        log_mask = head(features, training=True)["log_mask"]
    into_retain, into_shift = tape.gradient(log_mask, [head.retain.kernel, head.shift.kernel])
    assert into_retain is None or not np.abs(into_retain).any()
    assert np.abs(into_shift).max() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 1}, "`units`.*at least 2.*units=1"),
        ({"units": 2.0}, "`units`.*integer.*units=2.0"),
        ({"units": "5"}, "`units`.*integer.*units='5'"),
        ({"units": np.int64(1)}, r"`units`.*at least 2.*units=np.int64\(1\)"),
        ({"units": True}, "`units`.*integer.*units=True"),
        ({"units": 3, "temperature": 0}, "`temperature`.*above 0.*temperature=0"),
        ({"units": 3, "temperature": float("nan")}, "`temperature`.*above 0.*nan"),
        ({"units": 3, "temperature": float("inf")}, "`temperature`.*finite.*inf"),
        ({"units": 3, "temperature": "a"}, "`temperature`.*number.*temperature='a'"),
        ({"units": 3, "temperature": True}, "`temperature`.*number.*temperature=True"),
        ({"units": 3, "posterior": "q"}, "`posterior`.*'label', 'prior'.*'q'"),
    ],
)
def test_bad_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        ks.layers.DropMax(**arguments)


@pytest.mark.parametrize("initializer", ["glorot_uniform", keras.initializers.HeNormal()])
def test_each_branch_starts_from_values_of_its_own(features, initializer):
    starts = {"kernel_initializer": initializer, "branch_initializer": initializer}
    head = ks.layers.DropMax(4, bias_initializer="random_normal", **starts)
    head(features)
    for first, second in (("logits", "retain"), ("logits", "shift"), ("retain", "shift")):
        for one, other in zip(
            getattr(head, first).weights, getattr(head, second).weights, strict=True
        ):
            assert (numpy(one) != numpy(other)).all()


def test_all_classes_are_equally_likely_at_the_start(features):
    outputs = ks.layers.DropMax(4)(features)
    assert not numpy(outputs["logits"]).any()
    assert numpy(outputs["retain_logits"]).any()
    assert numpy(outputs["posterior_shift"]).any()
