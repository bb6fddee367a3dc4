import pytest
from keras import ops

import keras_softmaxes as ks
import keras_softmaxes.layers.dropmax as dropmax_layer


@pytest.fixture
def fixed_masks(monkeypatch):
    """DropMax draws its masks without randomness."""

    def draw(logits, temperature, generator):
        return ks.ops.dropmax_log_mask(logits, ops.full_like(logits, 0.3), temperature)

    monkeypatch.setattr(dropmax_layer, "draw_log_mask", draw)
