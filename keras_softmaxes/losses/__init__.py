"""Losses: one per head, and losses for the logits of any model."""

from ._class_attention import AttentionCrossentropy as AttentionCrossentropy
from ._class_masking import MaskedCrossentropy as MaskedCrossentropy
from ._dropmax import DropMaxLoss as DropMaxLoss
from ._gaussian_mixture import GaussianMixtureLoss as GaussianMixtureLoss
from ._head_loss import HeadLoss as HeadLoss
from ._large_margin import LargeMarginCrossentropy as LargeMarginCrossentropy
from ._large_margin import LargeMarginDivergence as LargeMarginDivergence
from ._lsoftmax import LSoftmaxLoss as LSoftmaxLoss
from ._mean_multiclass_hinge import MeanMulticlassHinge as MeanMulticlassHinge
from ._paired_gsoftmax import PairedCrossentropy as PairedCrossentropy
from ._sparsemax import SparsemaxLoss as SparsemaxLoss
from ._weighted_sum import WeightedSum as WeightedSum
