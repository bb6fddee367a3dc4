"""How many cases were fuzzed."""

import pytest


@pytest.fixture
def count(record_property):
    """Record how many cases of a kind there were, which are added up when all tests have run."""
    return lambda kind, cases: record_property(f"fuzzed {kind}", cases)
