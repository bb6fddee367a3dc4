import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from intervals import Interval, mean_interval, ratio_interval
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
