"""The losses: thin `keras.losses.Loss` classes over the ops."""

from keras_softmaxes.losses.attention import AttentionCrossentropy as AttentionCrossentropy
from keras_softmaxes.losses.dropmax import DropMaxLoss as DropMaxLoss
from keras_softmaxes.losses.gaussian_mixture import GaussianMixtureLoss as GaussianMixtureLoss
from keras_softmaxes.losses.hinge import MeanMulticlassHinge as MeanMulticlassHinge
from keras_softmaxes.losses.lsoftmax import LSoftmaxLoss as LSoftmaxLoss
from keras_softmaxes.losses.margin import LargeMarginCrossentropy as LargeMarginCrossentropy
from keras_softmaxes.losses.masked import MaskedCrossentropy as MaskedCrossentropy
from keras_softmaxes.losses.paired import PairedCrossentropy as PairedCrossentropy
from keras_softmaxes.losses.sparsemax import SparsemaxLoss as SparsemaxLoss
