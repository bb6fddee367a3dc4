"""What a model with `keras_softmaxes.models.AdversarialDropoutMixin` adds to its objective."""

from keras_softmaxes.perturbations.base import Perturbation as Perturbation
from keras_softmaxes.perturbations.dropout import PiModel as PiModel
from keras_softmaxes.perturbations.dropout import (
    SupervisedAdversarialDropout as SupervisedAdversarialDropout,
)
from keras_softmaxes.perturbations.dropout import (
    VirtualAdversarialDropout as VirtualAdversarialDropout,
)
from keras_softmaxes.perturbations.ensembling import TemporalEnsembling as TemporalEnsembling
from keras_softmaxes.perturbations.inputs import AdversarialTraining as AdversarialTraining
from keras_softmaxes.perturbations.inputs import (
    VirtualAdversarialTraining as VirtualAdversarialTraining,
)
from keras_softmaxes.perturbations.step import Step as Step
