"""Metrics: margin bias, calibration, risk and coverage, top-k, several labels per example."""

from ._average_precision import MeanAveragePrecision as MeanAveragePrecision
from ._brier_score import BrierScore as BrierScore
from ._calibration import CalibrationError as CalibrationError
from ._large_margin import MarginBias as MarginBias
from ._multi_label import MultiLabelF1 as MultiLabelF1
from ._multi_label import MultiLabelPrecision as MultiLabelPrecision
from ._multi_label import MultiLabelRecall as MultiLabelRecall
from ._risk_coverage import RiskCoverage as RiskCoverage
from ._top_k_accuracy import TopKAccuracy as TopKAccuracy
