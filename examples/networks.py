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


def batch_normalised_convnet(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Two convolutions and a dense layer with batch normalisation, for a few minutes on a CPU.

    Args:
        inputs: images of 8 x 8 to 32 x 32, of which the first convolution takes every second pixel.

    Returns:
        Features, (batch, 256).
    """
    x = _normalised_relu(layers.Conv2D(24, 4, strides=2, padding="same", use_bias=False)(inputs))
    x = layers.MaxPooling2D()(x)
    x = _normalised_relu(layers.Conv2D(48, 3, padding="same", use_bias=False)(x))
    x = layers.MaxPooling2D()(x)
    return _normalised_relu(layers.Dense(256, use_bias=False)(layers.Flatten()(x)))


def character_convnet(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Three convolutions and a dense layer with shifts of the training images, for 28 x 28.

    Args:
        inputs: (batch, 28, 28, channels), of which each training image is moved by up to a tenth.

    Returns:
        Features, (batch, 256).
    """
    x = layers.RandomTranslation(0.1, 0.1, fill_mode="constant")(inputs)
    for filters in (32, 64, 128):
        x = _normalised_relu(layers.Conv2D(filters, 3, padding="same", use_bias=False)(x))
        x = layers.MaxPooling2D()(x)
    return layers.Dense(256, activation="relu")(layers.Flatten()(x))


def thirteen_layer_convnet(
    inputs: keras.KerasTensor, weight_decay: float = 0.0
) -> keras.KerasTensor:
    """The 13-layer network of the large-margin paper, for CIFAR's images of 32 x 32.

    Three convolutions of 128 filters, three of 256, and one each of 512, 256 and 128, all of
    3 x 3, with batch normalisation and relu; max pooling after the third and the sixth; the mean
    over the image at the end. The convolution of 512 filters pads nothing, the others keep the
    size.

    Args:
        inputs: (batch, height, width, channels).
        weight_decay: the penalty is weight_decay * ||v||^2 / 2 on every trainable variable.

    Returns:
        Features, (batch, 128).
    """
    x = inputs
    for filters in (128, 128, 128, None, 256, 256, 256, None, 512, 256, 128):
        if filters is None:
            x = layers.MaxPooling2D()(x)
            continue
        x = layers.Conv2D(
            filters,
            3,
            padding="valid" if filters == 512 else "same",
            kernel_initializer=kaiming_fan_out(),
            **decayed(weight_decay),
        )(x)
        x = _normalised_relu(x, weight_decay)
    return layers.GlobalAveragePooling2D()(x)


def mnist_convnet(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """The network of the adversarial-dropout paper for MNIST, up to its cut.

    Three convolutions of 32, 64 and 128 filters, each with max pooling and dropout.

    Args:
        inputs: (batch, 28, 28, 1).

    Returns:
        Features, (batch, 2048), before the cut, a dense layer of 625 units and the head.
    """
    x = inputs
    for filters in (32, 64, 128):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(padding="same")(x)
        x = layers.Dropout(0.5)(x)
    return layers.Flatten()(x)


def conv_large(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Conv-Large, the network of the adversarial-dropout paper for SVHN and CIFAR-10.

    Three convolutions of 128 filters and three of 256, all of 3 x 3, max pooling and dropout after
    each three; one of 512 filters of 3 x 3 that pads nothing, then of 256 and 128 of 1 x 1; all
    with batch normalisation and leaky relu; the mean over the image at the end.

    Args:
        inputs: (batch, height, width, channels), of 32 x 32 in the paper.

    Returns:
        Features, (batch, 128), before the cut and the head.
    """
    x = inputs
    for filters in (128, 256):
        for _ in range(3):
            x = _normalised_leaky_relu(layers.Conv2D(filters, 3, padding="same")(x))
        x = layers.Dropout(0.5)(layers.MaxPooling2D()(x))
    x = _normalised_leaky_relu(layers.Conv2D(512, 3)(x))
    for filters in (256, 128):
        x = _normalised_leaky_relu(layers.Conv2D(filters, 1)(x))
    return layers.GlobalAveragePooling2D()(x)


def kaiming_fan_out() -> keras.Initializer:
    """Return normal weights of variance 2 / fan_out, He et al.'s for the way back."""
    return keras.initializers.VarianceScaling(
        2.0, mode="fan_out", distribution="untruncated_normal"
    )


def shifted_and_flipped(inputs: keras.KerasTensor, pixels: int = 4) -> keras.KerasTensor:
    """Move each training image by up to `pixels` either way, filling with 0, and flip half of them.

    This is the random crop of an image padded by `pixels`, drawn for each image; Keras's RandomCrop
    draws once for a batch.
    """
    height, width = (pixels / size for size in inputs.shape[1:3])
    x = layers.RandomTranslation(height, width, fill_mode="constant", interpolation="nearest")(
        inputs
    )
    return layers.RandomFlip("horizontal")(x)


def _normalised_leaky_relu(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.LeakyReLU(0.1)(layers.BatchNormalization()(x))


def _normalised_relu(x: keras.KerasTensor, weight_decay: float = 0.0) -> keras.KerasTensor:
    penalty = keras.regularizers.L2(weight_decay / 2) if weight_decay else None
    # PyTorch's numbers, as in the paper; Keras's momentum, 0.99, lags behind in short trainings.
    x = layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, beta_regularizer=penalty, gamma_regularizer=penalty
    )(x)
    return layers.ReLU()(x)


def decayed(weight_decay: float) -> dict[str, keras.Regularizer]:
    """Return the regularisers of a layer whose kernel and bias pay weight_decay * ||v||^2 / 2."""
    if not weight_decay:
        return {}
    penalty = keras.regularizers.L2(weight_decay / 2)
    return {"kernel_regularizer": penalty, "bias_regularizer": penalty}
