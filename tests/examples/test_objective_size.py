import objective_size
import pytest


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_papers_sums_outgrow_the_cross_entropy_and_the_default_does_not():
    few, many = (objective_size.pushes(classes) for classes in (10, 300))
    assert few[objective_size.PAPER] == few[objective_size.DEFAULT]

    def ratio(pushes, name):
        return pushes[name] / pushes["cross_entropy"]

    assert ratio(many, objective_size.PAPER) > 10 * ratio(few, objective_size.PAPER)
    assert ratio(many, objective_size.DEFAULT) < 3 * ratio(few, objective_size.DEFAULT)
