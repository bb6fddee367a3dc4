"""Everything public has its cases, and there are enough of them."""

import pytest
from fuzzing import (
    CASES,
    CONSTRAINTS,
    EAGER,
    LAYERS,
    LOSSES,
    METRICS,
    OPS,
    PLAN,
    SCHEDULES,
    given_to,
    op_of,
    settings_of,
)


@pytest.mark.parametrize("name", OPS)
def test_the_arguments_of_an_op_are_known(name):
    op = op_of(name)
    assert op.rows


@pytest.mark.parametrize("name", [*LOSSES, *METRICS, *LAYERS, *SCHEDULES, *CONSTRAINTS])
def test_the_arguments_of_a_class_are_known(name):
    kind = {**LOSSES, **METRICS, **LAYERS, **SCHEDULES, **CONSTRAINTS}[name]
    plain = {argument: values[0] for argument, values in settings_of(name, kind).items()}
    assert isinstance(kind(**plain, **given_to(name)), kind)


@pytest.mark.skipif(not EAGER, reason="there are fewer where each shape is compiled")
def test_there_are_a_hundred_thousand_cases():
    """Each test makes as many as it plans, or fails."""
    planned = sum(PLAN[kind][0] * PLAN[kind][1] * count for kind, count in CASES.items())
    assert planned >= 100_000
