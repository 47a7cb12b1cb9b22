"""What goes when there is no more room."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tb_netviz.embedding.thinning import MOST_STEPS, drop
from tb_netviz.embedding.vectors import VectorFile


def file(step, points=10, name="a"):
    return VectorFile(Path(name) / f"{step}", step, (points, 1))


def test_nothing_goes_where_there_is_room():
    assert drop([file(1), file(2)], 0) == []
    assert drop([], 100) == []


def test_what_stays_is_spread_over_the_run():
    kept: list[VectorFile] = []
    for step in range(0, 1_500, 5):
        kept = [one for one in kept if one not in drop(kept, 40 * (len(kept) - 31))]
        kept.append(file(step))
    steps = [one.step for one in kept]
    assert len(steps) == 32
    assert (steps[0], steps[-1]) == (0, 1495)
    assert np.diff(steps).max() <= 3 * 1_500 / 32


def test_an_embedding_has_so_many_steps_and_not_more():
    kept: list[VectorFile] = []
    for step in range(500):
        gone = drop(kept + [file(0, name="b")] * (step > 0), -1_000_000)
        kept = [one for one in kept if one not in gone] + [file(step)]
    assert len(kept) == MOST_STEPS
    steps = [one.step for one in kept]
    assert (steps[0], steps[-1]) == (0, 499)
    assert np.diff(steps).max() <= 3 * 500 / MOST_STEPS


@given(
    st.lists(
        st.tuples(st.integers(-5, 50), st.integers(1, 50), st.sampled_from("abc")), unique_by=lambda one: one[::2]
    ),
    st.integers(-10, 3_000),
)
def test_enough_goes_and_no_more(listed, excess):
    files = [file(*one) for one in listed]
    gone = drop(files, excess)
    assert len(set(gone)) == len(gone)
    assert set(gone) <= set(files)
    freed = sum(one.nbytes for one in gone)
    assert freed >= excess or len(gone) == len(files)
    assert not gone or freed - gone[-1].nbytes < excess
