"""The layers: all the weights and all the randomness."""

from keras_softmaxes.layers.dropmax import DropMax as DropMax
from keras_softmaxes.layers.gaussian_mixture import GaussianMixture as GaussianMixture
from keras_softmaxes.layers.lsoftmax import LSoftmax as LSoftmax
