"""The weights of the examples."""

from keras import ops

from keras_softmaxes.ops.checks import Tensor, invalid, static_shape


def example_weights(sample_weight: Tensor, scores: Tensor) -> Tensor:
    """Return the weight of each example as a column.

    Args:
        sample_weight: (batch,) or (batch, 1), a number, or None for 1.
        scores: (batch, classes).

    Returns:
        (batch, 1), of the type of `scores`.

    Raises:
        ValueError: weights of another shape.
    """
    ones = ops.ones_like(scores[:, :1])
    if sample_weight is None:
        return ones
    weights = ops.convert_to_tensor(sample_weight, dtype=scores.dtype)
    shape = static_shape("sample_weight", weights)
    if shape == ():
        return weights * ones
    batch = scores.shape[0]
    is_aligned = shape[0] == batch or None in (shape[0], batch)
    if len(shape) > 2 or shape[1:] not in ((), (1,)) or not is_aligned:
        known = "batch" if batch is None else batch
        expected = f"shape ({known},) or ({known}, 1), a weight for each example"
        raise invalid("sample_weight", expected, f"a tensor of shape {shape}")
    return ops.reshape(weights, ops.shape(ones))
