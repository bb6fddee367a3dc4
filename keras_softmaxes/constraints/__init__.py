"""The constraints: what a kernel may be."""

from ._super_symmetric import SuperSymmetric as SuperSymmetric
