import keras
import numpy as np
import pytest

import keras_softmaxes as ks


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [ks.layers.DropMax, ks.layers.ClassAttention, ks.layers.PairedGSoftmax]
)
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_a_quantized_head_is_saved_and_loaded(kind, tmp_path):
    x = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
    network = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    model = ks.models.Classifier(network, kind(4))
    exact = model.predict(x, verbose=0)
    model.quantize("int8")
    expected = model.predict(x, verbose=0)
    assert 0 < np.abs(expected - exact).max() < 0.1
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert [branch.quantization_mode for branch in again.head.branches] == ["int8"] * len(
        model.head.branches
    )
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)


def test_a_branch_with_lora_is_saved_with_the_optimizers_state(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 8)).astype("float32"), rng.integers(0, 4, 16)
    network = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6)])
    model = ks.models.Classifier(network, ks.layers.DropMax(4))
    model.head.logits.enable_lora(2, lora_alpha=3)
    model.compile("adam")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    enabled = [each.lora_enabled for each in again.head.branches]
    assert enabled == [each.lora_enabled for each in model.head.branches]
    assert (again.head.logits.lora_rank, again.head.logits.lora_alpha) == (2, 3)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    for one, other in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_head_that_is_distributed_over_time_raises_with_its_name():
    """It takes (batch, time, features) itself."""
    inputs = keras.Input((3, 8))
    with pytest.raises(
        NotImplementedError, match=r"`layer`.*the head itself.*`drop`.*TimeDistributed"
    ):
        keras.layers.TimeDistributed(ks.layers.DropMax(4, name="drop"))(inputs)
    shapes = {each.shape for each in ks.layers.DropMax(4)(inputs).values()}
    assert shapes == {(None, 3, 4)}
