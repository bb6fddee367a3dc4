"""The layers: all the weights and all the randomness."""

from keras_softmaxes.layers.adversarial_dropout import AdversarialDropout as AdversarialDropout
from keras_softmaxes.layers.attention import ClassAttention as ClassAttention
from keras_softmaxes.layers.dropmax import DropMax as DropMax
from keras_softmaxes.layers.gaussian_mixture import GaussianMixture as GaussianMixture
from keras_softmaxes.layers.gsoftmax import GSoftmax as GSoftmax
from keras_softmaxes.layers.lsoftmax import LSoftmax as LSoftmax
from keras_softmaxes.layers.masked import ClassDropout as ClassDropout
from keras_softmaxes.layers.masked import ClassSampling as ClassSampling
from keras_softmaxes.layers.norm_constraint import NormConstraint as NormConstraint
from keras_softmaxes.layers.paired import PairedGSoftmax as PairedGSoftmax
from keras_softmaxes.layers.parameter_tying import ParameterTying as ParameterTying
from keras_softmaxes.layers.weight_noise import WeightNoise as WeightNoise
