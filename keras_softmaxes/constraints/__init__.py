"""The constraints: what a kernel may be."""

from keras_softmaxes.constraints.super_symmetric import SuperSymmetric as SuperSymmetric
