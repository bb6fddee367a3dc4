"""Constraints of kernels."""

from ._super_symmetric import SuperSymmetric as SuperSymmetric
