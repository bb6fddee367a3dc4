"""The metrics."""

from ._average_precision import MeanAveragePrecision as MeanAveragePrecision
from ._large_margin import MarginBias as MarginBias
from ._multi_label import MultiLabelF1 as MultiLabelF1
from ._multi_label import MultiLabelPrecision as MultiLabelPrecision
from ._multi_label import MultiLabelRecall as MultiLabelRecall
from ._top_k_accuracy import TopKAccuracy as TopKAccuracy
