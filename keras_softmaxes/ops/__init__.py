"""The maths: pure functions of tensors, per example, without state, randomness or reduction."""

from ._adversarial_dropout import adversarial_mask as adversarial_mask
from ._average_precision import average_precision as average_precision
from ._class_attention import attention_terms as attention_terms
from ._class_masking import masked_cross_entropy as masked_cross_entropy
from ._dropmax import dropmax_log_mask as dropmax_log_mask
from ._dropmax import dropmax_log_probabilities as dropmax_log_probabilities
from ._dropmax import dropmax_terms as dropmax_terms
from ._gaussian_mixture import gaussian_distances as gaussian_distances
from ._gaussian_mixture import gaussian_mixture_terms as gaussian_mixture_terms
from ._gsoftmax import gaussian_cdf as gaussian_cdf
from ._gsoftmax import gsoftmax_logits as gsoftmax_logits
from ._large_margin import large_margin_cross_entropy as large_margin_cross_entropy
from ._large_margin import large_margin_divergence as large_margin_divergence
from ._large_margin import margin_bias as margin_bias
from ._lsoftmax import lsoftmax_cross_entropy as lsoftmax_cross_entropy
from ._lsoftmax import lsoftmax_logits as lsoftmax_logits
from ._mean_multiclass_hinge import mean_multiclass_hinge as mean_multiclass_hinge
from ._paired_gsoftmax import paired_cross_entropy as paired_cross_entropy
from ._separability import compactness as compactness
from ._separability import separability as separability
from ._separability import separability_ratio as separability_ratio
from ._sparsemax import sparsemax as sparsemax
from ._sparsemax import sparsemax_loss as sparsemax_loss
from ._super_symmetric import super_symmetric_projection as super_symmetric_projection
