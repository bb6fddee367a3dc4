"""Networks up to the features; the head comes from the method."""

import keras
from keras import layers


def small_convnet(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Two convolutions and a dense layer, for images of 8 x 8 to 32 x 32."""
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(inputs)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    return layers.Dense(128, activation="relu")(layers.Flatten()(x))


def lenet(inputs: keras.KerasTensor, weight_decay: float = 0.0) -> keras.KerasTensor:
    """LeNet as DropMax's authors released it, for images of 28 x 28.

    Args:
        inputs: (batch, 28, 28, channels).
        weight_decay: the penalty is weight_decay * ||v||^2 / 2 on every kernel and bias.

    Returns:
        Features, (batch, 500).
    """
    decay = decayed(weight_decay)
    x = layers.Conv2D(20, 5, activation="relu", **decay)(inputs)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(50, 5, activation="relu", **decay)(x)
    x = layers.MaxPooling2D()(x)
    return layers.Dense(500, activation="relu", **decay)(layers.Flatten()(x))


def decayed(weight_decay: float) -> dict[str, keras.Regularizer]:
    """Return the regularisers of a layer whose kernel and bias pay weight_decay * ||v||^2 / 2."""
    if not weight_decay:
        return {}
    penalty = keras.regularizers.L2(weight_decay / 2)
    return {"kernel_regularizer": penalty, "bias_regularizer": penalty}
