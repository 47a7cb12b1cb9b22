"""`lr_too_high`: large steps at the very beginning alone."""

import numpy as np
import pytest

from tests.support.modelled import RECORDS, Model, falling, flat, found


def large(ratio, count, grown):
    """Return weights of which the first `count` records' steps are `ratio`, and that grow by the end."""
    model = Model()
    model.ratios[:count] = ratio
    model.weights *= np.linspace(1, grown, RECORDS)[:, None]
    return model


@pytest.mark.parametrize(
    ("ratio", "count", "grown", "expected"), [(0.17, 1, 1.0, 0), (0.17, 1, 6.0, 1), (0.17, 9, 1.0, 1), (0.7, 1, 1.0, 1)]
)
def test_first_steps_that_leave_most_of_the_weights_are_not_why_a_loss_stands(ratio, count, grown, expected):
    loss = flat()
    loss[5] = 1.6 * loss[0]
    assert len(found("lr_too_high", large(ratio, count, grown), train=loss)) == expected


@pytest.mark.parametrize(("ratio", "expected"), [(0.17, 0), (0.7, 1)])
def test_nor_are_they_why_a_loss_loses_again_what_it_gained(ratio, expected):
    loss = np.append(falling(noise=0)[:30], np.full(RECORDS - 30, 1.6))
    assert len(found("lr_too_high", large(ratio, 1, 1.0), train=loss)) == expected


@pytest.mark.parametrize(("leap", "grown", "expected"), [(3.6, 4.0, 1), (3.6, 1.2, 0), (2.2, 4.0, 0)])
def test_one_record_far_up_tells_where_the_weights_are_larger_for_good(leap, grown, expected):
    loss = falling(noise=0)
    loss[1] = leap * loss[0]
    findings = found("lr_too_high", large(0.7, 1, grown), train=loss)
    assert ["little is left of the weights" in finding.message for finding in findings] == [True] * expected
