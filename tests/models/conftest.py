import numpy as np
import pytest
from keras import ops

import keras_softmaxes as ks
import keras_softmaxes.layers.adversarial_dropout as cut_layer
import keras_softmaxes.layers.dropmax as dropmax_layer
from keras_softmaxes.perturbations.step import Step


@pytest.fixture
def fixed_masks(monkeypatch):
    """DropMax draws its masks without randomness."""

    def draw(logits, temperature, generator):
        return ks.ops.dropmax_log_mask(logits, ops.full_like(logits, 0.3), temperature)

    monkeypatch.setattr(dropmax_layer, "draw_log_mask", draw)


def _fixed_normal(step):
    row = np.random.default_rng(1).normal(size=8)
    return ops.broadcast_to(ops.convert_to_tensor(row, "float32"), ops.shape(step.inputs))


@pytest.fixture
def fixed_draws(monkeypatch):
    """The mask is the same for every example, in every step; so is VAT's first direction."""

    def uniform(shape, dtype, generator):
        row = np.random.default_rng(0).uniform(size=16)
        return ops.broadcast_to(ops.convert_to_tensor(row, dtype), shape)

    monkeypatch.setattr(cut_layer, "draw_uniform", uniform)
    monkeypatch.setattr(Step, "draw_normal", _fixed_normal)


@pytest.fixture
def shared_draws(monkeypatch):
    """Each draw of a mask is another one, the same for every example on every replica."""

    def uniform(shape, dtype, generator):
        counter = ops.cast(generator.next(), "float64")[1]
        row = 1e4 * ops.sin((counter + 1.7) * ops.arange(1, 17, dtype="float64"))
        return ops.broadcast_to(ops.cast(row - ops.floor(row), dtype), shape)

    monkeypatch.setattr(cut_layer, "draw_uniform", uniform)
    monkeypatch.setattr(Step, "draw_normal", _fixed_normal)
