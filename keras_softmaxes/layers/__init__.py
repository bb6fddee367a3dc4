"""Heads, and layers that regularise. All weights and all random numbers are here."""

from ._adversarial_dropout import AdversarialDropout as AdversarialDropout
from ._class_attention import ClassAttention as ClassAttention
from ._class_dropout import ClassDropout as ClassDropout
from ._class_sampling import ClassSampling as ClassSampling
from ._dropmax import DropMax as DropMax
from ._gaussian_mixture import GaussianMixture as GaussianMixture
from ._gsoftmax import GSoftmax as GSoftmax
from ._head import Head as Head
from ._lsoftmax import LSoftmax as LSoftmax
from ._many_classes import ManyClasses as ManyClasses
from ._norm_constraint import NormConstraint as NormConstraint
from ._paired_gsoftmax import PairedGSoftmax as PairedGSoftmax
from ._parameter_tying import ParameterTying as ParameterTying
from ._sparsemax import Sparsemax as Sparsemax
from ._weight_noise import WeightNoise as WeightNoise
