"""The maths: pure functions of tensors, per example, without state, randomness or reduction."""

from keras_softmaxes.ops.adversarial_dropout import adversarial_mask as adversarial_mask
from keras_softmaxes.ops.attention import attention_terms as attention_terms
from keras_softmaxes.ops.average_precision import average_precision as average_precision
from keras_softmaxes.ops.dropmax import dropmax_log_mask as dropmax_log_mask
from keras_softmaxes.ops.dropmax import dropmax_log_probabilities as dropmax_log_probabilities
from keras_softmaxes.ops.dropmax import dropmax_terms as dropmax_terms
from keras_softmaxes.ops.gaussian_mixture import gaussian_distances as gaussian_distances
from keras_softmaxes.ops.gaussian_mixture import gaussian_mixture_terms as gaussian_mixture_terms
from keras_softmaxes.ops.gsoftmax import gaussian_cdf as gaussian_cdf
from keras_softmaxes.ops.gsoftmax import gsoftmax_logits as gsoftmax_logits
from keras_softmaxes.ops.hinge import mean_multiclass_hinge as mean_multiclass_hinge
from keras_softmaxes.ops.lsoftmax import lsoftmax_cross_entropy as lsoftmax_cross_entropy
from keras_softmaxes.ops.lsoftmax import lsoftmax_logits as lsoftmax_logits
from keras_softmaxes.ops.margin import large_margin_cross_entropy as large_margin_cross_entropy
from keras_softmaxes.ops.margin import large_margin_divergence as large_margin_divergence
from keras_softmaxes.ops.margin import margin_bias as margin_bias
from keras_softmaxes.ops.masked import masked_cross_entropy as masked_cross_entropy
from keras_softmaxes.ops.paired import paired_cross_entropy as paired_cross_entropy
from keras_softmaxes.ops.separability import compactness as compactness
from keras_softmaxes.ops.separability import separability as separability
from keras_softmaxes.ops.separability import separability_ratio as separability_ratio
from keras_softmaxes.ops.sparsemax import sparsemax as sparsemax
from keras_softmaxes.ops.sparsemax import sparsemax_loss as sparsemax_loss
from keras_softmaxes.ops.super_symmetric import (
    super_symmetric_projection as super_symmetric_projection,
)
