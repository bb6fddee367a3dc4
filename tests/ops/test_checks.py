import numpy as np
import pytest
from keras import ops

from keras_softmaxes.ops.checks import require

RECEIVED = {
    "integers": (np.array([3, -1, 7, 2]), "values from -1 to 7"),
    "unsigned": (np.array([3, 7], "uint16"), "values from 3 to 7"),
    "floats": (np.array([[0.25, 0.75]], "float16"), "values from 0.25 to 0.75"),
    "not a number": (np.array([1, np.nan, 0], "float32"), "values from nan to nan"),
}


def refuse(values):
    tensor = ops.convert_to_tensor(values)
    require(ops.zeros(len(values), "bool"), "labels", "other values", tensor)
    return tensor


@pytest.mark.parametrize("case", RECEIVED)
def test_the_message_tells_the_extremes_alone(case):
    values, extremes = RECEIVED[case]
    message = f"`labels`. Expected other values. Received: labels={extremes}$"
    with pytest.raises(ValueError, match=message):
        refuse(values)


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", RECEIVED)
def test_a_graph_uses_the_same_words(case):
    import tensorflow as tf

    values, extremes = RECEIVED[case]
    with pytest.raises(tf.errors.InvalidArgumentError) as refusal:
        tf.function(refuse)(values)
    message = refusal.value.message.replace("[", "").replace("]", "")
    assert f"`labels`. Expected other values. Received: labels={extremes}" in message


def test_what_holds_passes():
    require(ops.ones(2, "bool"), "labels", "other values", ops.zeros(2))
    require(ops.zeros(0, "bool"), "labels", "other values", ops.zeros(0))
