"""The layers: all the weights and all the randomness."""

from keras_softmaxes.layers.adversarial_dropout import AdversarialDropout as AdversarialDropout
from keras_softmaxes.layers.attention import ClassAttention as ClassAttention
from keras_softmaxes.layers.dropmax import DropMax as DropMax
from keras_softmaxes.layers.gaussian_mixture import GaussianMixture as GaussianMixture
from keras_softmaxes.layers.gsoftmax import GSoftmax as GSoftmax
from keras_softmaxes.layers.lsoftmax import LSoftmax as LSoftmax
from keras_softmaxes.layers.masked import ClassDropout as ClassDropout
from keras_softmaxes.layers.masked import ClassSampling as ClassSampling
from keras_softmaxes.layers.paired import PairedGSoftmax as PairedGSoftmax
