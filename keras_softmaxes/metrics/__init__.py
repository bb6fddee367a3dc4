"""The metrics."""

from keras_softmaxes.metrics.average_precision import MeanAveragePrecision as MeanAveragePrecision
from keras_softmaxes.metrics.margin import MarginBias as MarginBias
from keras_softmaxes.metrics.multi_label import MultiLabelF1 as MultiLabelF1
from keras_softmaxes.metrics.multi_label import MultiLabelPrecision as MultiLabelPrecision
from keras_softmaxes.metrics.multi_label import MultiLabelRecall as MultiLabelRecall
