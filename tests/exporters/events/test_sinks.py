"""Sinks within one process: files, sharing, refusals, and what their readers see."""

import itertools
import threading
import time
import warnings

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from tb_netviz import events as public
from tb_netviz.events import (
    MemorySink,
    NetVizWarning,
    NullSink,
    RemoteLogDirError,
    event_file,
    open_sink,
    read_frames,
    warn,
)
from tb_netviz.events.folder_lock import FolderLock, FolderTakenError
from tb_netviz.events.record_file import RecordFile


def scalar(step, text=""):
    value = Summary.Value(tag="loss" + text, simple_value=step)
    return Event(wall_time=1.0 + step, step=step, summary=Summary(value=[value]))


def read(path):
    return [Event.FromString(data) for data in read_frames(path)]


def files(folder):
    return sorted(path for path in folder.iterdir() if path.is_file())


def test_the_public_names():
    assert sorted(public.__all__) == public.__all__
    assert all(hasattr(public, name) for name in public.__all__)


def test_a_deferred_sink_makes_nothing_before_the_first_event(tmp_path):
    sink = open_sink(tmp_path / "run", deferred=True)
    sink.flush()
    assert not (tmp_path / "run").exists()
    assert (sink.log_dir, sink.path, sink.dropped) == (str(tmp_path / "run"), None, 0)
    assert sink.offer(scalar(1))
    sink.write(scalar(2))
    sink.close()
    assert [event.step for event in read(sink.path)[1:]] == [1, 2]


def test_a_deferred_sink_makes_nothing_once_it_is_closed(tmp_path):
    sink = open_sink(tmp_path / "run", deferred=True)
    sink.close()
    assert not sink.offer(scalar(1))
    sink.write(scalar(2))
    assert sink.dropped == 2
    assert not (tmp_path / "run").exists()


def test_a_deferred_sink_refuses_a_remote_folder_at_once():
    with pytest.raises(RemoteLogDirError):
        open_sink("gs://bucket/run", deferred=True)


def test_events_stand_in_order_after_the_version(tmp_path):
    sink = open_sink(tmp_path / "new" / "run", filename_suffix=".gan")
    for step in range(1_000):
        if step % 2:
            sink.write(scalar(step))
        else:
            assert sink.offer(scalar(step))
    sink.close()
    version, *rest = read(sink.path)
    assert version.file_version == "brain.Event:2"
    assert rest == [scalar(step) for step in range(1_000)]
    assert sink.dropped == 0
    assert sink.log_dir == str(tmp_path / "new" / "run")
    (file,) = files(tmp_path / "new" / "run")  # The lock is gone.
    assert str(file) == sink.path
    assert file.name.startswith("events.out.tfevents.")
    assert file.name.endswith(".gan")


def test_tensorboard_reads_the_file(tmp_path):
    with_sink = open_sink(tmp_path)
    for step in range(50):
        with_sink.write(scalar(step))
    with_sink.flush()
    accumulator = EventAccumulator(str(tmp_path)).Reload()
    assert [(point.step, point.value) for point in accumulator.Scalars("loss")] == [(step, step) for step in range(50)]
    with_sink.write(scalar(50))
    with_sink.close()
    assert accumulator.Reload().Scalars("loss")[-1].step == 50


@pytest.mark.tensorflow
def test_tensorflow_reads_the_file(tmp_path):
    import tensorflow as tf

    sink = open_sink(tmp_path)
    for step in range(50):
        sink.write(scalar(step))
    sink.close()
    assert sink.path is not None
    records = [record.numpy() for record in tf.data.TFRecordDataset(sink.path)]
    assert records == list(read_frames(sink.path))
    assert len(records) == 51


def test_flush_leaves_everything_with_the_operating_system(tmp_path):
    sink = open_sink(tmp_path)
    for step in range(10):
        sink.write(scalar(step))
        sink.flush()
        assert len(read(sink.path)) == step + 2
    sink.close()


def test_nobody_has_to_flush(tmp_path):
    sink = open_sink(tmp_path)
    sink.write(scalar(0))
    while len(read(sink.path)) < 2:  # The whole test suite's limit is the only one.
        time.sleep(0.01)
    sink.close()


def test_sinks_of_one_folder_share_its_file(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    sinks = [open_sink(tmp_path / "run"), open_sink(tmp_path / "link"), open_sink(f"{tmp_path}/x/../run/")]
    assert len({sink.path for sink in sinks}) == 1
    for step in range(30):
        sinks[step % 3].write(scalar(step))
    sinks[0].close()
    sinks[0].close()
    sinks[1].write(scalar(30))
    sinks[1].close()
    sinks[2].write(scalar(31))
    sinks[2].close()
    (file,) = files(tmp_path / "run")
    assert [event.step for event in read(file)[1:]] == list(range(32))


def test_opening_after_closing_starts_a_new_file(tmp_path):
    for step in range(3):
        sink = open_sink(tmp_path)
        sink.write(scalar(step))
        sink.close()
    assert [read(file)[1].step for file in files(tmp_path)] == [0, 1, 2]


def test_a_closed_sink_counts_what_it_drops(tmp_path):
    sink = open_sink(tmp_path)
    other = open_sink(tmp_path)
    sink.close()
    sink.write(scalar(0))
    assert not sink.offer(scalar(1))
    sink.flush()
    assert (sink.dropped, other.dropped) == (2, 0)
    other.close()
    assert len(read(sink.path)) == 1


def test_writers_in_many_threads_lose_nothing(tmp_path):
    sink = open_sink(tmp_path, capacity=2_000)

    def write(name):
        for step in range(500):
            sink.write(scalar(step, name))

    threads = [threading.Thread(target=write, args=(str(name),)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.close()
    written = [(event.summary.value[0].tag, event.step) for event in read(sink.path)[1:]]
    assert sorted(written) == sorted((f"loss{name}", step) for name in range(4) for step in range(500))
    for name in range(4):
        assert [step for tag, step in written if tag == f"loss{name}"] == list(range(500))


@pytest.fixture
def stalled(tmp_path, monkeypatch):
    """A sink whose disk takes nothing until the event is set."""
    ready = threading.Event()
    append = RecordFile.append
    sink = open_sink(tmp_path, capacity=1_000)

    def wait(self, records):
        ready.wait()
        append(self, records)

    monkeypatch.setattr(RecordFile, "append", wait)
    yield sink, ready
    ready.set()
    sink.close()


def test_offers_are_refused_and_counted_when_the_disk_cannot_keep_up(stalled):
    sink, ready = stalled
    taken = sum(sink.offer(scalar(step)) for step in range(200))
    assert 0 < taken < 200
    assert sink.dropped == 200 - taken
    ready.set()
    sink.flush()
    assert len(read(sink.path)) == taken + 1


def test_writes_wait_for_the_disk(stalled):
    sink, ready = stalled
    writer = threading.Thread(target=lambda: [sink.write(scalar(step)) for step in range(200)])
    writer.start()
    while sink.offer(scalar(0)):
        time.sleep(0.001)
    assert writer.is_alive()
    ready.set()
    writer.join()
    sink.flush()
    assert [event.step for event in read(sink.path)[1:] if event.step] == list(range(1, 200))


def test_an_event_larger_than_the_queue_is_written(tmp_path):
    sink = open_sink(tmp_path, capacity=10)
    sink.write(scalar(0, "x" * 10_000))
    sink.close()
    assert len(read(sink.path)) == 2


def test_a_failing_thread_stops_in_words(tmp_path, monkeypatch):
    def fail(self, records):
        raise MemoryError("no memory")

    sink = open_sink(tmp_path)
    monkeypatch.setattr(RecordFile, "append", fail)
    sink.write(scalar(0))
    with pytest.warns(NetVizWarning, match=r"could not write .*tfevents.*no memory.*Training goes on"):
        sink.close()
    sink.write(scalar(1))
    assert not sink.offer(scalar(2))
    sink.flush()
    assert sink.dropped == 3


def test_a_deleted_file_is_replaced_when_its_folder_is_opened_again(tmp_path):
    sink = open_sink(tmp_path)
    (file,) = files(tmp_path)[1:]
    file.unlink()
    again = open_sink(tmp_path)
    assert again.path != str(file)
    sink.write(scalar(0))
    again.write(scalar(1))
    sink.close()
    again.close()
    assert [event.step for event in read(again.path)[1:]] == [0, 1]


@pytest.mark.parametrize(
    "log_dir", ["gs://bucket/run", "s3://bucket/run", "hdfs://host/run", "gs:/bucket", "file:///tmp/run"]
)
def test_remote_folders_are_refused_in_words(log_dir):
    with pytest.raises(RemoteLogDirError, match=rf"log_dir is '{log_dir}', but .* local .* sync"):
        open_sink(log_dir)


def test_a_path_that_is_a_file_warns_and_records_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.warns(NetVizWarning, match=r"nothing is recorded, because '.*file' can't be written") as caught:
        sink = open_sink(path)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert isinstance(sink, NullSink)
    sink.write(scalar(0))
    assert not sink.offer(scalar(1))
    sink.flush()
    sink.close()
    assert (sink.dropped, sink.path, sink.log_dir) == (2, None, str(path))
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["<img onerror=…>", "line\nbreak", "🧠" * 40, " .", "%s{}"])
def test_hostile_folder_names(tmp_path, name):
    sink = open_sink(tmp_path / name)
    sink.write(scalar(0))
    sink.close()
    assert len(read(sink.path)) == 2


def test_warnings_never_raise():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn("text")


def test_a_lock_holds_until_it_is_released(tmp_path):
    lock = FolderLock(str(tmp_path))
    with pytest.raises(FolderTakenError):
        FolderLock(str(tmp_path))
    lock.release()
    FolderLock(str(tmp_path)).release()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_hold_a_lock_is_taken_without_one(tmp_path):
    (tmp_path / ".netviz.lock").mkdir()
    FolderLock(str(tmp_path)).release()
    assert (tmp_path / ".netviz.lock").is_dir()


def test_memory_sink_keeps_copies():
    sink = MemorySink()
    event = scalar(1)
    sink.write(event)
    event.step = 2
    assert sink.offer(event)
    sink.full = True
    assert not sink.offer(event)
    sink.write(event)
    sink.close()
    sink.write(event)
    assert [event.step for event in sink.events] == [1, 2, 2]
    assert sink.dropped == 2


def test_files_of_one_second_sort_as_they_were_opened(tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)
    monkeypatch.setattr(event_file, "_serial", itertools.count(8))
    paths = []
    for _ in range(12):
        sink = open_sink(str(tmp_path))
        sink.close()
        paths.append(str(sink.path))
    assert paths == sorted(paths)
    assert len(set(paths)) == 12
