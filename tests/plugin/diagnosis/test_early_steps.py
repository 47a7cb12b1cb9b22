"""`lr_too_high`: large steps at the very beginning alone, and rates that rise past the one at which a loss did best."""

import numpy as np
import pytest

from tests.support.modelled import INTERVAL, RECORDS, Model, falling, flat, found

STEPS = INTERVAL * np.arange(RECORDS)


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


def rising(first, last, *, share=1.0):
    """Return a rate that rises evenly over the first `share` of a run, and is as low as at first after it."""
    values = np.linspace(first, last, RECORDS)
    values[int(share * RECORDS) :] = first
    return {"Adam/group 0": ("learning_rate", STEPS, values)}


def turning(end, noise=0.0):
    """Return a loss that is best at a fifth of the run, and rises from there to `end`."""
    turn = RECORDS // 5
    loss = np.append(np.linspace(3.0, 1.4, turn), np.linspace(1.4, end, RECORDS - turn))
    return loss + noise * np.where(np.arange(RECORDS) % 2, 1, -1)


@pytest.mark.parametrize(
    ("rate", "loss", "expected"),
    [
        (rising(0.001, 0.26), turning(2.1), 1),
        (rising(0.03, 0.26), turning(2.1), 0),  # It is not ten times what it was at first.
        (rising(0.001, 0.26, share=0.7), turning(2.1), 0),  # It came down again.
        (rising(0.001, 0.26), turning(1.55), 0),
        (rising(0.001, 0.26), turning(1.9, noise=0.2), 0),
        (rising(0.001, 0.26), turning(2.1) - 4, 0),  # A loss without a scale.
        (rising(0.001, 0.26), falling(), 0),
    ],
)
def test_a_rate_that_rises_on_and_on_past_the_one_at_which_the_loss_did_best(rate, loss, expected):
    findings = found("lr_too_high", Model(), train=loss, **rate)
    assert len(findings) == expected
    for finding in findings:
        assert STEPS[RECORDS // 6] < finding.first_step <= STEPS[RECORDS // 4]
        assert finding.beyond.measured > 3
