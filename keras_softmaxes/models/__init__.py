"""Classifier, training with perturbations, Monte Carlo, calibration, conformal sets, top-k."""

from ._calibration import calibrate as calibrate
from ._classifier import Classifier as Classifier
from ._conformal import conformal_sets as conformal_sets
from ._dropout_ensemble import dropout_ensemble as dropout_ensemble
from ._monte_carlo import monte_carlo as monte_carlo
from ._perturbation_mixin import AdversarialDropoutMixin as AdversarialDropoutMixin
from ._perturbation_mixin import PerturbationMixin as PerturbationMixin
from ._top_k import top_k as top_k
