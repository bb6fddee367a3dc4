"""The maths: pure functions of tensors, per example, without state, randomness or reduction."""

from keras_softmaxes.ops.dropmax import dropmax_log_mask as dropmax_log_mask
from keras_softmaxes.ops.dropmax import dropmax_log_probabilities as dropmax_log_probabilities
from keras_softmaxes.ops.dropmax import dropmax_terms as dropmax_terms
from keras_softmaxes.ops.masked import masked_cross_entropy as masked_cross_entropy
