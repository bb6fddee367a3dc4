"""The models: where evidence, probabilities and gradients go."""

from keras_softmaxes.models.adversarial_dropout import (
    AdversarialDropoutMixin as AdversarialDropoutMixin,
)
from keras_softmaxes.models.classifier import Classifier as Classifier
from keras_softmaxes.models.dropout_ensemble import dropout_ensemble as dropout_ensemble
from keras_softmaxes.models.monte_carlo import monte_carlo as monte_carlo
