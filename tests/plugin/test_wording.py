"""Numbers and factors in words, as the tab writes them."""

import pytest

from tb_netviz_plugin.analysis import wording


@pytest.mark.parametrize(
    ("factor", "words"),
    [(4.56, "4.6-fold"), (113452, "110,000-fold"), (5.7e7, "57 million-fold"), (6e12, "6e12-fold")],
)
def test_factors_claim_no_more_digits_than_they_have(factor, words):
    assert wording.fold(factor) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.01, "0.01"),
        (0.00291, "0.0029"),
        (1.23e-5, "1.2e-5"),
        (12345, "12,000"),
        (6e7, "6e7"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_are_written_as_the_tab_writes_them(value, words):
    assert wording.number(value) == words
