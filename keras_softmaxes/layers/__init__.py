"""The layers: all the weights and all the randomness."""

from keras_softmaxes.layers.dropmax import DropMax as DropMax
