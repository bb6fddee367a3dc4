import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from intervals import Interval, holm, mean_interval, p_value, ratio_interval
from scipy import stats

errors = st.lists(
    st.tuples(st.floats(1, 9), st.floats(5, 9)), min_size=3, max_size=8, unique_by=(lambda p: p[0])
)


def test_mean_interval_is_students():
    values = [3.1, 3.5, 2.9, 3.3, 3.0]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((3.16, *expected), rel=1e-12)


@given(errors)
def test_the_bounds_of_a_ratio_are_where_a_paired_t_test_turns(pairs):
    values, reference = np.array(pairs).T
    ratio, low, high = ratio_interval(values, reference)
    if math.isnan(low):
        return
    assert low <= ratio <= high
    for bound in (low, high):
        difference = values - bound * reference
        if difference.std() > 1e-6:
            assert stats.ttest_1samp(difference, 0).pvalue == pytest.approx(0.05, rel=1e-3)


def test_a_method_has_the_ratio_one_to_itself():
    assert ratio_interval([5.0, 6.0, 4.0], [5.0, 6.0, 4.0]) == pytest.approx((1, 1, 1))


def test_one_seed_and_a_reference_near_zero_have_no_interval():
    assert math.isnan(mean_interval([3.0])[1])
    assert math.isnan(ratio_interval([3.0], [4.0])[1])
    assert math.isnan(ratio_interval([3.0, 2.0], [0.1, -0.1])[1])
    assert mean_interval([3.0]).describe() == "3.00"
    assert mean_interval([3.0]).plain() == {"estimate": 3.0, "low": None, "high": None}
    assert Interval(3.0, 2.5, 3.5).describe(1) == "3.0 [2.5, 3.5]"


@given(st.lists(st.floats(0, 1), max_size=6), st.floats(0.001, 0.999))
def test_holms_values_are_below_a_level_where_his_procedure_rejects(p_values, level):
    rejected = set()
    for place, index in enumerate(np.argsort(p_values)):
        if p_values[index] * (len(p_values) - place) > level:
            break
        rejected.add(index)
    assert {index for index, value in enumerate(holm(p_values)) if value <= level} == rejected


def test_holms_values_by_hand():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_a_p_value_is_that_of_the_paired_test():
    values, reference = [3.1, 3.5, 2.9], [3.3, 3.4, 3.6]
    assert p_value(values, reference) == stats.ttest_rel(values, reference).pvalue
    assert p_value(values, values) == 1
    assert p_value([1.0, 2.0], [2.0, 3.0]) == 0
    assert math.isnan(p_value([1.0], [2.0]))
