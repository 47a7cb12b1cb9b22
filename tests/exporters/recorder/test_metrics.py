"""Scalars in windows."""

import math
import threading

import pytest

from tb_netviz.events import MemorySink
from tb_netviz.recorder import MetricRecorder, window_start
from tb_netviz_plugin.schema.tags import Family, tag
from tests.support.events import metrics


@pytest.fixture
def sink():
    return MemorySink()


@pytest.fixture
def recorder(sink):
    return MetricRecorder(sink, clock=lambda: 42.0)


def test_each_window_is_one_event_that_holds_all_its_values(sink, recorder):
    for step in range(2_000):
        recorder.log("loss", "train_loss", step, step)
    recorder.close()
    found = metrics(sink.events)
    assert len(found) == len({window_start(step) for step in range(2_000)})
    assert sum(columns["observations"] for *_, columns in found) == 2_000
    assert sum(columns["mean"] * columns["observations"] for *_, columns in found) == sum(range(2_000))
    name, role, step, columns = found[-1]
    assert (name, role, step) == ("loss", "train_loss", 1_999)
    assert columns == {"span": 8, "observations": 8, "mean": 1995.5, "min": 1992, "max": 1999, "nonfinite": 0}


def test_tag_is_that_of_name_and_role(sink, recorder):
    recorder.log("loss", "val_loss", 3, 1.0)
    recorder.flush()
    assert sink.events[0].summary.value[0].tag == tag(Family.METRIC, "loss", "val_loss")


def test_nonfinite_values_are_counted_and_spoil_nothing(sink, recorder):
    for step, value in zip(range(1024, 1028), [1.0, math.nan, math.inf, 3.0], strict=True):
        recorder.log("loss", "", step, value)
    recorder.log("loss", "", 1032, -math.inf)
    recorder.close()
    (*_, first), (*_, second) = metrics(sink.events)
    assert first == {"span": 4, "observations": 4, "mean": 2, "min": 1, "max": 3, "nonfinite": 2}
    assert second["nonfinite"] == second["observations"] == 1
    assert all(math.isnan(second[name]) for name in ("mean", "min", "max"))


def test_steps_that_go_back_begin_a_window(sink, recorder):
    for step in (1024, 1025, 1024, 5, -3, 10**12):
        recorder.log("loss", "", step, step)
    recorder.close()
    assert [step for _, _, step, _ in metrics(sink.events)] == [1025, 1024, 5, -3, 10**12]


def test_flush_loses_nothing_under_the_same_step(sink, recorder):
    recorder.log("loss", "", 1024, 1.0)
    recorder.flush()
    recorder.flush()
    recorder.log("loss", "", 1024, 3.0)
    recorder.log("loss", "", 1025, 5.0)
    recorder.close()
    found = [(step, columns["observations"], columns["mean"]) for _, _, step, columns in metrics(sink.events)]
    assert found == [(1024, 1, 1.0), (1024, 2, 2.0), (1025, 1, 5.0)]


def test_metrics_of_other_names_and_roles_are_apart(sink, recorder):
    recorder.log("loss", "train_loss", 0, 1.0)
    recorder.log("loss", "val_loss", 0, 2.0)
    recorder.log("<img onerror=…>\n", "", 0, 3.0)
    recorder.close()
    assert {(name, role): columns["mean"] for name, role, _, columns in metrics(sink.events)} == {
        ("loss", "train_loss"): 1.0,
        ("loss", "val_loss"): 2.0,
        ("<img onerror=…>\n", ""): 3.0,
    }


def test_wall_time_is_the_given_one_or_now(sink, recorder):
    recorder.log("a", "", 0, 1.0, wall_time=7.5)
    recorder.log("b", "", 0, 1.0)
    recorder.close()
    assert [event.wall_time for event in sink.events] == [7.5, 42.0]


def test_a_value_beyond_float32_does_not_warn(sink, recorder):
    recorder.log("a", "", 0, 1e300)
    recorder.close()
    assert metrics(sink.events)[0][3]["mean"] == math.inf


def test_a_value_that_is_logged_once_an_epoch_is_written_at_once(sink, recorder):
    for epoch in range(1, 6):
        recorder.log("loss", "val_loss", 1_000 * epoch, epoch)
        if epoch > 1:  # The pace is known.
            assert metrics(sink.events)[-1][2] == 1_000 * epoch
    recorder.close()
    assert [columns["mean"] for *_, columns in metrics(sink.events)] == [1, 2, 3, 4, 5]


def test_a_window_is_written_with_its_last_step(sink, recorder):
    for step in range(1024, 1032):
        recorder.log("loss", "", step, 1.0)
    assert [(step, columns["observations"]) for _, _, step, columns in metrics(sink.events)] == [(1031, 8)]


def test_values_that_come_earlier_than_their_pace_are_kept(sink, recorder):
    logged = [1_000, 2_000, 2_001, 2_002, 5_000, 5_000, 5_001]
    for step in logged:
        recorder.log("loss", "", step, 1.0)
    recorder.close()
    latest = {step: columns["observations"] for _, _, step, columns in metrics(sink.events)}
    assert sum(latest.values()) == len(logged)


def test_norms_fold_as_their_root_mean_square(sink, recorder):
    values = [3.0, 4.0, math.nan, 1e30]
    for step, value in enumerate(values):
        recorder.log("before", "gradient_norm_before", 1024 + step, value)
    recorder.close()
    ((*_, columns),) = metrics(sink.events)
    assert columns["mean"] == pytest.approx(1e30 / math.sqrt(3))
    assert (columns["min"], columns["max"], columns["nonfinite"]) == (3, pytest.approx(1e30), 1)


def test_a_rare_event_is_written_at_once_and_none_is_lost(sink, recorder):
    for number, step in enumerate((3_000, 3_001, 3_001, 9_000), start=1):
        recorder.log("skipped", "skipped", step, 1.0, rare=True)
        latest = {step: columns["observations"] for _, _, step, columns in metrics(sink.events)}
        assert sum(latest.values()) == number


def test_a_flush_in_the_middle_of_a_value_does_not_wait_for_itself(sink):
    """As where a model is collected there, whose watch then writes what it holds."""

    def clock():
        reentered.flush()
        return 42.0

    reentered = MetricRecorder(sink, clock=clock)
    done = threading.Thread(target=reentered.log, args=("loss", "", 0, 1.0), daemon=True)
    done.start()
    done.join(timeout=10)
    assert not done.is_alive()
    reentered.close()
    assert [(step, columns["mean"]) for _, _, step, columns in metrics(sink.events)][-1] == (0, 1.0)
