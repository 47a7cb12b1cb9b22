"""From observations to records."""

import math

import numpy as np
import pytest

from tb_netviz.events import MemorySink
from tb_netviz.recorder import ALL_COLUMNS, Recorder, window_start
from tb_netviz_plugin.schema import description as schema
from tb_netviz_plugin.schema.bins import COUNT
from tb_netviz_plugin.schema.tags import Family, tag
from tests.support.events import descriptions, of_family, parameters, records, steps

WIDTH = len(ALL_COLUMNS)


def description(rows=3, **changes):
    given = {
        "writer": "tb-netviz",
        "framework": "numpy",
        "modules": (schema.Module("net"),),
        "parameters": tuple(schema.Parameter(f"p{row}", 0, (2, 2)) for row in range(rows)),
    }
    return schema.RunDescription(**(given | changes))


def values(step, rows=3):
    return np.full((rows, WIDTH), step, np.float32)


def counts(step, rows=3):
    return np.full((rows, COUNT), step % 4096, np.uint16)


def train(recorder, steps_, rows=3):
    """Train as an adapter does."""
    for step in steps_:
        if recorder.observes(step):
            bins = counts(step, rows) if recorder.bins_due(step) else None
            recorder.observe(step, values(step, rows), bins)
        recorder.finish_step(step, 1e-2, 1e-4)


@pytest.fixture
def sink():
    return MemorySink()


@pytest.fixture
def recorder(sink):
    recorder = Recorder(sink, every=1, clock=lambda: 42.0)
    recorder.describe(description())
    return recorder


def test_description_is_completed_and_written_first(sink):
    recorder = Recorder(sink, model="généra\udcfftor", budget=0.05)
    recorder.describe(description(rows=600))
    ((name, step, written),) = descriptions(sink.events)
    assert name.startswith("netviz/v1/description/")
    assert step == 0
    assert written.model == "généra?tor"
    assert written.schedule == schema.Schedule(budget=0.05, every=0, records_per_octave=128)
    assert [(chunk.family, chunk.first_row, chunk.rows) for chunk in written.chunks] == [
        ("parameters", 0, 512),
        ("parameters", 512, 88),
        ("bins", 0, 512),
        ("bins", 512, 88),
        ("outputs", 0, 1),
    ]
    assert written.chunks[0].columns == ALL_COLUMNS
    train(recorder, range(1), rows=600)
    (event,) = records(sink.events)
    assert set(of_family(event, Family.PARAMETERS)) == {chunk.tag for chunk in written.chunks[:2]}
    assert set(of_family(event, Family.BINS)) == {chunk.tag for chunk in written.chunks[2:4]}
    assert set(of_family(event, Family.STEPS)) == {tag(Family.STEPS, written.model)}


def test_every_observation_is_in_exactly_one_record(sink, recorder):
    train(recorder, range(3_000))
    recorder.close()
    written = records(sink.events)
    assert [event.step for event in written] == sorted({event.step for event in written})
    assert len(written) == len({window_start(step) for step in range(3_000)})
    assert sum(steps(event)["observations"] for event in written) == 3_000
    assert all(steps(event)["span"] == steps(event)["observations"] for event in written)
    covered = [s for event in written for s in range(event.step - int(steps(event)["span"]) + 1, event.step + 1)]
    assert covered == list(range(3_000))


def test_planes_and_times_of_a_record(sink, recorder):
    train(recorder, range(1024, 1032))
    (event,) = records(sink.events)
    assert event.step == 1031
    assert event.wall_time == 42.0
    planes = parameters(event)
    assert planes.shape == (3, 3, WIDTH)
    assert (planes[1] == 1024).all()
    assert (planes[2] == 1031).all()
    assert planes[0, 0, ALL_COLUMNS.index("grad_sum")] == 1027.5
    assert planes[0, 0, ALL_COLUMNS.index("grad_abs_max")] == 1031
    row = steps(event)
    assert row["step_seconds"] == pytest.approx(1e-2)
    assert row["observe_seconds"] == pytest.approx(1e-4)
    assert (row["interval"], row["dropped"]) == (1, 0)


def test_a_record_is_written_as_soon_as_its_window_can_hold_no_more(sink):
    recorder = Recorder(sink, every=3)
    recorder.describe(description())
    train(recorder, range(1024, 1032))  # Observes 1026 and 1029; 1032 is in the next window.
    (event,) = records(sink.events)
    assert (event.step, steps(event)["span"], steps(event)["observations"]) == (1029, 4, 2)


def test_times_since_the_last_record_include_steps_that_were_not_observed(sink):
    recorder = Recorder(sink, every=4)
    recorder.describe(description())
    for step in range(9):
        if recorder.observes(step):
            recorder.observe(step, values(step))
        recorder.finish_step(step, 2.0, 0.5 if recorder.observes(step) else 0.0)
    means = [steps(event)["observe_seconds"] for event in records(sink.events)]
    assert means == [0.5, 0.125, 0.125]
    assert recorder.cost_fraction == pytest.approx(1.5 / 16.5)


def test_an_unknown_step_time_spoils_no_mean(sink, recorder):
    recorder.observe(0, values(0))
    recorder.finish_step(0, math.nan, 0.1)
    train(recorder, [1])
    first, second = (steps(event) for event in records(sink.events))
    assert math.isnan(first["step_seconds"])
    assert second["step_seconds"] == pytest.approx(1e-2)


def test_bins_come_with_every_eighth_record(sink, recorder):
    train(recorder, range(2_000))
    recorder.close()
    written = records(sink.events)
    for index, event in enumerate(written):
        bins = of_family(event, Family.BINS)
        assert len(bins) == (1 if index % 8 == 0 else 0)
        for array in bins.values():
            first = event.step - int(steps(event)["span"]) + 1
            assert array.dtype == np.uint16
            assert (array == first % 4096).all()


def test_steps_that_go_back_begin_a_record(sink, recorder):
    train(recorder, [1024, 1025, 1024, 3, 4])
    recorder.close()
    assert [event.step for event in records(sink.events)] == [1025, 1024, 3, 4]


def test_flush_writes_the_open_window_and_the_rest_is_a_record_of_its_own(sink, recorder):
    train(recorder, range(1024, 1028))
    assert records(sink.events) == []
    recorder.flush()
    recorder.flush()
    train(recorder, range(1028, 1032))
    recorder.close()
    written = records(sink.events)
    assert [(event.step, steps(event)["observations"]) for event in written] == [(1027, 4), (1031, 4)]


def test_an_unchanged_description_is_written_once(sink, recorder):
    recorder.describe(description())
    assert len(descriptions(sink.events)) == 1


def test_a_changed_description_has_a_tag_of_its_own_and_keeps_the_window_open(sink, recorder):
    train(recorder, range(1024, 1028))
    recorder.describe(description(omissions=(schema.Omission("head", "frozen"),)))
    train(recorder, range(1028, 1032))
    (first, _, _), (second, step, _) = descriptions(sink.events)
    assert first != second
    assert step == 1027
    assert [steps(event)["observations"] for event in records(sink.events)] == [8]


def test_changed_parameters_close_the_window_under_the_old_tags(sink, recorder):
    train(recorder, range(1024, 1028))
    recorder.describe(description(rows=5))
    train(recorder, range(1028, 1032), rows=5)
    before, after = records(sink.events)
    assert parameters(before).shape[1] == 3
    assert parameters(after).shape[1] == 5
    assert of_family(before, Family.PARAMETERS).keys().isdisjoint(of_family(after, Family.PARAMETERS))


def test_fewer_columns(sink):
    recorder = Recorder(sink, every=1)
    recorder.describe(description(), columns=("present", "grad_norm"))
    recorder.observe(0, np.ones((3, 2), np.float32))
    recorder.close()
    assert parameters(records(sink.events)[0]).shape == (1, 3, 2)


def test_a_full_sink_loses_records_but_no_description(sink):
    sink.full = True
    recorder = Recorder(sink, every=1)
    recorder.describe(description())
    train(recorder, range(3))
    sink.full = False
    train(recorder, range(3, 5))
    assert len(descriptions(sink.events)) == 1
    assert descriptions(sink.events[:1])
    written = records(sink.events)
    assert [event.step for event in written] == [3, 4]
    assert steps(written[0])["dropped"] > 0


def test_snapshots_are_due_before_observed_steps():
    recorder = Recorder(MemorySink(), every=4)
    assert [step for step in range(12) if recorder.snapshot_due(step)] == [3, 7, 11]
    assert recorder.interval == 4


def test_a_network_without_parameters(sink):
    recorder = Recorder(sink, every=1)
    recorder.describe(description(rows=0))
    train(recorder, range(3), rows=0)
    assert len(records(sink.events)) == 3


def test_a_plain_record_of_100_tensors_is_small():
    sink = MemorySink()
    recorder = Recorder(sink, every=1)
    recorder.describe(description(rows=100))
    for step in range(16):
        recorder.observe(step, np.random.default_rng(step).normal(size=(100, WIDTH)).astype(np.float32))
        recorder.finish_step(step, 1.0, 0.1)
    assert max(event.ByteSize() for event in records(sink.events)) <= 8_000


def test_wrong_shapes_are_refused_in_words(recorder):
    with pytest.raises(ValueError, match=r"values must have the shape \(3, 11\).*got \(2, 11\)"):
        recorder.observe(0, values(0, rows=2))
    with pytest.raises(ValueError, match=r"bins must have the shape \(3, 128\).*got \(2, 128\)"):
        recorder.observe(0, values(0), counts(0, rows=2))


def test_observing_before_describing_is_refused_in_words(sink):
    with pytest.raises(ValueError, match="before describe"):
        Recorder(sink).observe(0, values(0))


@pytest.mark.parametrize(("name", "value"), [("budget", 0), ("budget", math.nan), ("every", 0), ("every", -2)])
def test_bad_schedules_are_refused_in_words(sink, name, value):
    with pytest.raises(ValueError, match=f"{name} must be .* got {value!r}"):
        Recorder(sink, **{name: value})


@pytest.mark.parametrize("total", [100_000, 1_000_000])
def test_a_long_run_stays_below_what_tensorboard_keeps(total):
    class Tally(MemorySink):
        count = 0

        def offer(self, event):
            self.count += bool(of_family(event, Family.STEPS))
            return True

    sink = Tally()
    recorder = Recorder(sink, budget=0.02)
    recorder.describe(description(rows=1))
    value = values(0, rows=1)
    for step in range(total):
        if recorder.observes(step):
            recorder.observe(step, value)
        recorder.finish_step(step, 1.0, 0.4 if recorder.observes(step) else 0.0)
    recorder.close()
    assert 500 < sink.count <= {100_000: 1_348, 1_000_000: 1_781}[total]
    assert recorder.cost_fraction <= 0.0205
