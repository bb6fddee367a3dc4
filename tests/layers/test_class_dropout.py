import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_softmaxes.layers import ClassDropout


@pytest.mark.parametrize("retain", [0.2, 0.6])
def test_classes_are_dropped_independently_at_their_rate(retain):
    outputs = ClassDropout(4, retain=retain)(np.zeros((20_000, 2), "float32"), training=True)
    log_mask = ops.convert_to_numpy(outputs["log_mask"])
    assert set(np.unique(log_mask)) == {0, -np.inf}
    kept = log_mask == 0
    for stays in kept.T:
        assert stats.binomtest(int(stays.sum()), len(stays), retain).pvalue > 1e-4
    together = (kept[:, 0] & kept[:, 1]).sum()
    assert stats.binomtest(int(together), len(kept), retain**2).pvalue > 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 1}, "`units`.*at least 2.*units=1"),
        ({"units": 3, "retain": 0}, "`retain`.*above 0.*retain=0"),
        ({"units": 3, "retain": 1.5}, r"`retain`.*at most 1.*retain=1\.5"),
        ({"units": 3, "retain": True}, "`retain`.*number.*retain=True"),
    ],
)
def test_bad_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClassDropout(**arguments)
