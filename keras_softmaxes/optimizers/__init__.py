"""The optimizers."""

from ._row_wise import RowWiseAdam as RowWiseAdam
