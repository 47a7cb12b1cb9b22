"""What a leader and its followers tell each other, over a real store in one process and without training."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tb_netviz.pytorch.activations.follower import Follower
from tb_netviz.pytorch.activations.leader import RECENT, Leader
from tb_netviz.pytorch.activations.posts import TOLD, Key, Post, Receipts, Seen
from tb_netviz.pytorch.mailbox import Mailbox
from tb_netviz.recorder import Activities
from tb_netviz.statistics.units import UNIT_SUMS, unit_sums
from tb_netviz_plugin.schema.description import Activation, Response

MOST = 1 << 20
WATCH = 7
LARGEST = UNIT_SUMS.index("largest")
RELU = Activation(name="act", module=0, kind="ReLU", response=Response.RECTIFIER, units=3)
LINEAR = Activation(name="fc", module=0, kind="Linear", response=Response.NONE, units=2)


def looked_at(values, activations=(RELU,)):
    """Return what one look gives of `values`: by activation, of [samples, units], or None where it did not run."""
    found = Activities.none([activation.units for activation in activations])
    for row, one in enumerate(values):
        if one is not None:
            end = found.ends[row]
            found.sums[:, end - one.shape[1] : end] = unit_sums(one, -1, (-np.inf, np.inf))
            found.counts[row] = 1, len(one), len(one), len(one), 0
    return found


class Together:
    """A leader and followers."""

    def __init__(self, followers=1):
        distributed: Any = torch.distributed
        self.store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        self.boxes = [Mailbox(self.store, "a", rank) for rank in range(followers + 1)]
        self.omissions: list[Any] = []
        ranks = range(1, followers + 1)
        receipts = Receipts(WATCH, followers + 1)
        self.leader = Leader(
            self.boxes[0],
            ranks,
            receipts,
            "weights",
            0,
            lambda omission: self.omissions.append(omission.reason),
        )
        self.followers = {rank: Follower(self.boxes[rank], rank, WATCH, "weights", MOST) for rank in ranks}
        for box in self.boxes:
            box.put(receipts.encoded() if box is self.boxes[0] else b"")
            box.settle()
        self.step = 0
        self.interval = 1

    def tell(self, rank, *values, activations=(RELU,)):
        self.followers[rank].exchange(activations, looked_at(values, activations), self.interval)
        self.boxes[rank].settle()

    def record(self, *values, activations=(RELU,), last=False):
        self.step += 1
        own = looked_at(values, activations)
        self.leader.exchange(activations, self.step, own, 8, last=last)
        self.boxes[0].settle()
        return own

    def close(self):
        for box in self.boxes:
            box.close()


@pytest.fixture
def pair():
    pair = Together()
    yield pair
    pair.close()


SILENT = np.zeros((4, 3))


def firing(unit, value=1.0):
    values = SILENT.copy()
    values[0, unit] = value
    return values


def test_sums_and_counts_are_those_of_all(pair):
    noise = np.random.default_rng(0)
    here, there = noise.standard_normal((2, 5, 7, 3)).round(2)
    total = Activities.none([3])
    for own, other in zip(here, there, strict=True):
        pair.tell(1, other)
        total.add(pair.record(own))
    together = np.concatenate([*here, *there])
    assert total.counts[0].tolist() == [5, 70, 70, 70, 0]
    expected = unit_sums(together, -1, (-np.inf, np.inf))
    np.testing.assert_allclose(total.sums[list(TOLD)], expected[list(TOLD)])
    np.testing.assert_allclose(total.sums[LARGEST], expected[LARGEST], rtol=1e-6)


def test_a_message_that_is_not_read_is_made_up_for(pair):
    for unit in range(3):
        pair.tell(1, firing(unit))
    own = pair.record(SILENT)
    assert own.counts[0, 1] == 16
    assert own.sums[LARGEST].tolist() == [1, 1, 1]


def test_a_message_that_comes_late_does_not_make_a_unit_look_dead(pair):
    for _ in range(4):
        pair.tell(1, firing(1))
        assert pair.record(SILENT).sums[LARGEST].tolist() == [0, 1, 0]
        again = pair.record(SILENT)
        assert again.sums[LARGEST].tolist() == [0, 1, 0]
        assert again.counts[0, 1] == 4  # What was told is added once.


def test_a_unit_that_fires_no_more_is_silent_after_a_few_records(pair):
    pair.tell(1, firing(2))
    largest = []
    for _ in range(6):
        largest.append(pair.record(SILENT).sums[LARGEST, 2])
        pair.tell(1, SILENT)
    assert largest[0] == 1
    assert largest[-2:] == [0, 0]


def test_nobody_is_called_silent_before_the_other_process_was_heard(pair):
    assert pair.record(SILENT).sums[LARGEST].tolist() == [-np.inf] * 3
    assert pair.record(firing(0)).sums[LARGEST].tolist() == [1, -np.inf, -np.inf]
    pair.tell(1, firing(1))
    assert pair.record(SILENT).sums[LARGEST].tolist() == [0, 1, 0]


def test_an_activation_that_does_not_run_elsewhere_is_judged_by_this_process(pair):
    for _ in range(RECENT + 1):
        pair.tell(1, None, np.ones((4, 2)), activations=(RELU, LINEAR))
        own = pair.record(SILENT, np.ones((4, 2)), activations=(RELU, LINEAR))
    assert own.sums[LARGEST, :3].tolist() == [0, 0, 0]
    assert own.counts[:, 1].tolist() == [4, 8]


def test_an_activation_that_does_not_run_here_is_judged_by_the_other_process(pair):
    for _ in range(3):
        pair.tell(1, firing(1))
        own = pair.record(None)
    assert own.sums[LARGEST].tolist() == [0, 1, 0]
    assert own.counts[0].tolist() == [0, 4, 4, 4, 0]


def test_values_that_are_no_numbers_may_have_been_above_zero(pair):
    for _ in range(4):
        pair.tell(1, np.full((4, 3), np.nan))
        own = pair.record(firing(0))
    assert own.sums[LARGEST].tolist() == [1, -np.inf, -np.inf]


@pytest.mark.parametrize("reason", ["paused", "stopped"])
def test_a_process_that_has_left_counts_for_two_more_records(pair, reason):
    for _ in range(20):
        pair.tell(1, firing(1))
        pair.record(SILENT)
    pair.followers[1].leave(reason)
    pair.boxes[1].settle()
    largest = [pair.record(SILENT).sums[LARGEST, 1] for _ in range(5)]
    assert largest == [1, 1, 1, 0, 0]
    (omission,) = pair.omissions
    assert "process 1" in omission
    assert reason in omission
    pair.tell(1, firing(1))
    assert pair.record(SILENT).sums[LARGEST, 1] == 1


def test_a_process_that_only_tells_more_seldom_counts_until_the_run_is_twice_as_long(pair):
    for _ in range(10):
        pair.tell(1, firing(1))
        pair.record(SILENT)
    largest = [pair.record(SILENT).sums[LARGEST, 1] for _ in range(15)]
    assert largest == [1] * 10 + [0] * 5
    assert len(pair.omissions) == 1


def test_a_process_that_observes_more_seldom_from_now_on_says_so(pair):
    pair.interval = 32
    pair.tell(1, firing(1))
    largest = [pair.record(SILENT).sums[LARGEST, 1] for _ in range(70)]
    assert largest == [1] * 65 + [0] * 5


def test_nobody_is_to_observe_more_often_than_the_first_process(pair):
    assert pair.followers[1].interval == 1
    pair.tell(1, SILENT)
    pair.record(SILENT)
    pair.tell(1, SILENT)
    assert pair.followers[1].interval == 8


def test_nobody_is_missed_at_the_end(pair):
    pair.followers[1].leave("stopped")
    for _ in range(5):
        pair.record(SILENT, last=True)
    assert not pair.omissions


def test_copies_with_other_weights_are_left_out(pair):
    pair.followers[1] = Follower(pair.boxes[1], 1, WATCH, "others", MOST)
    pair.tell(1, firing(1))
    assert pair.record(SILENT).sums[LARGEST].tolist() == [0, 0, 0]
    pair.record(SILENT)
    assert len(pair.omissions) == 1
    assert "weights of its own" in pair.omissions[0]


def test_what_an_earlier_watch_has_told_is_not_read(pair):
    pair.followers[1] = Follower(pair.boxes[1], 1, WATCH - 1, "weights", MOST)
    pair.tell(1, firing(1))
    assert pair.record(SILENT).counts[0, 1] == 4


def test_units_that_have_no_room_are_named(pair):
    pair.followers[1] = Follower(pair.boxes[1], 1, WATCH, "weights", 3 * (8 * len(TOLD) + 4))
    pair.tell(1, np.ones((4, 2)), firing(1), activations=(LINEAR, RELU))
    own = pair.record(np.ones((4, 2)), SILENT, activations=(LINEAR, RELU))
    assert own.counts[:, 1].tolist() == [4, 8]  # What can die comes first.
    assert len(pair.omissions) == 1
    assert "fc" in pair.omissions[0]


def test_the_first_process_says_that_it_reads_no_more(pair):
    pair.tell(1, SILENT)
    assert not pair.followers[1].is_alone
    pair.leader.leave("")
    pair.boxes[0].settle()
    pair.tell(1, SILENT)
    assert pair.followers[1].is_alone


looks = st.lists(
    st.tuples(st.sampled_from(["tell", "tell", "record"]), st.integers(1, 2), st.integers(-1, 2)), max_size=40
)


@settings(max_examples=30, deadline=None)
@given(looks)
def test_no_unit_that_fired_since_the_last_record_is_silent(events):
    """Whatever the order in which three processes tell and read."""
    trio = Together(2)
    fired, samples = set(), 0
    for kind, rank, unit in events:
        if kind == "tell":
            trio.tell(rank, SILENT if unit < 0 else firing(unit))
            samples += 4
            fired |= {unit} - {-1}
        else:
            own = trio.record(SILENT)
            assert own.counts[0, 1] == 4 + samples
            assert (own.sums[LARGEST, list(fired)] == 1).all()
            fired, samples = set(), 0
    trio.close()


def test_a_post_is_read_as_it_was_written():
    noise = np.random.default_rng(1)
    seen = {
        Key(name, units): Seen(
            noise.random((len(TOLD), units)), noise.random(3), noise.random(units).astype(np.float32)
        )
        for name, units in (("a", 3), ("ü\n", 1), ("c", 0), ("d", 5))
    }
    post = Post.decoded(Post(3, 4, "abc", 8, "left", seen, ()).encoded(MOST))
    assert (post.watch, post.serial, post.weights, post.interval, post.left) == (3, 4, "abc", 8, "left")
    assert post.left_out == ()
    assert list(post.seen) == list(seen)
    for key, one in post.seen.items():
        np.testing.assert_array_equal(one.sums, seen[key].sums)
        np.testing.assert_array_equal(one.counts, seen[key].counts)
        np.testing.assert_array_equal(one.largest, seen[key].largest)
