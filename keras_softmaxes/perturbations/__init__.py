"""Terms of perturbed passes, which `keras_softmaxes.models.PerturbationMixin` adds to the loss."""

from ._adversarial_dropout import SupervisedAdversarialDropout as SupervisedAdversarialDropout
from ._adversarial_dropout import VirtualAdversarialDropout as VirtualAdversarialDropout
from ._adversarial_training import AdversarialTraining as AdversarialTraining
from ._perturbation import Perturbation as Perturbation
from ._pi_model import PiModel as PiModel
from ._step import Step as Step
from ._temporal_ensembling import TemporalEnsembling as TemporalEnsembling
from ._virtual_adversarial_training import VirtualAdversarialTraining as VirtualAdversarialTraining
