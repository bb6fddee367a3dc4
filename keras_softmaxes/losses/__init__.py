"""The losses: thin `keras.losses.Loss` classes over the ops."""

from keras_softmaxes.losses.dropmax import DropMaxLoss as DropMaxLoss
