import numpy as np
import pytest
from keras import ops
from scipy.special import expit, log_expit
from scipy.stats import norm

import keras_softmaxes as ks


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("form", ["sigmoids", "softmax"])
@pytest.mark.parametrize("scale", [0.0, 0.7])
def test_the_head_is_the_papers_formula(form, scale):
    """With scale 0 the first form's loss is Eq. 15 of the two branches."""
    head = ks.layers.PairedGSoftmax(3, scale, mean=0.2, stddev=[0.5, 1.0, 2.0], form=form)
    features = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    labels = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    outputs = head(features)
    positive, negative = (
        x + scale * norm.cdf(x, 0.2, [0.5, 1.0, 2.0])
        for x in (features @ numpy(b.kernel) for b in (head.logits, head.other_logits))
    )
    expected = expit(positive - negative)
    if form == "softmax":
        losses = -np.where(labels == 1, np.log(expected), np.log(1 - expected)).sum(axis=1)
    else:
        losses = -np.where(labels == 1, log_expit(positive), log_expit(negative)).sum(axis=1)
    np.testing.assert_allclose(numpy(outputs["probabilities"]), expected, atol=1e-6)
    ours = ks.losses.PairedCrossentropy(reduction=None)(labels, outputs)
    np.testing.assert_allclose(numpy(ours), losses, rtol=1e-5)


def test_the_default_form_is_the_one_to_take():
    assert ks.layers.PairedGSoftmax(3).form == "softmax"


def test_adapt_takes_the_moments_of_both_branches():
    x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
    head = ks.layers.PairedGSoftmax(4)
    head.adapt(x)
    for branch, gaussians in ((head.logits, head.positive), (head.other_logits, head.negative)):
        logits = x @ numpy(branch.kernel)
        np.testing.assert_allclose(numpy(gaussians.mean), logits.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(numpy(gaussians.stddev), logits.std(axis=0), rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_adapt_is_exact_in_mixed_precision(policy):
    x = np.random.default_rng(0).normal(20, 1, size=(4000, 2)).astype("float32")
    head = ks.layers.PairedGSoftmax(3, kernel_initializer="ones", dtype=policy)
    head.adapt(x)
    np.testing.assert_allclose(numpy(head.positive.mean), x.sum(axis=1).mean(), rtol=0.01)
    np.testing.assert_allclose(numpy(head.positive.stddev), x.sum(axis=1).std(), rtol=0.01)


def test_another_form_raises():
    with pytest.raises(ValueError, match=r"`form`.*'sigmoids', 'softmax'.*'pair'"):
        ks.layers.PairedGSoftmax(4, form="pair")
