"""TFRecords against TensorBoard's own reader and writer, and damage of every kind."""

import io
import itertools

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New, crc32c
from tensorboard.summary.writer.record_writer import RecordWriter

from tb_netviz.events import CorruptRecordError, TruncatedRecordError, UnreadableRecordError, frame, read_frames
from tests.support.records import RecordFile

RECORDS = [b"first", b"", b"a longer third record", bytes(range(256)) * 40]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(b"".join(map(frame, RECORDS)))
    return path


def read_until_unreadable(path):
    found: list[bytes] = []
    try:
        found.extend(read_frames(path))
    except UnreadableRecordError as error:
        return found, error
    return found, None


@given(st.binary(max_size=2_000))
def test_frames_are_those_of_tensorboard(data):
    buffer = io.BytesIO()
    RecordWriter(buffer).write(data)
    assert frame(data) == buffer.getvalue()


@given(st.binary(max_size=2_000))
def test_frames_of_synthetic_runs_are_those_of_tensorboard(data):
    theirs, synthetic = io.BytesIO(), io.BytesIO()
    RecordWriter(theirs).write(data)
    RecordFile(synthetic).write(data)
    assert synthetic.getvalue() == theirs.getvalue()


@given(st.binary(max_size=2_000))
def test_checksums_are_those_of_tensorboard(data):
    assert google_crc32c.value(data) == crc32c(data)


def test_records_come_back(path):
    assert list(read_frames(path)) == RECORDS


def test_tensorboard_reads_them(path):
    reader = PyRecordReader_New(str(path), 0, "")
    for record in RECORDS:
        reader.GetNext()
        assert reader.record() == record


def test_every_truncation_keeps_the_whole_records(path):
    content = path.read_bytes()
    ends = list(itertools.accumulate(len(frame(record)) for record in RECORDS))
    for length in [*range(120), *range(len(content) - 20, len(content))]:
        path.write_bytes(content[:length])
        found, error = read_until_unreadable(path)
        assert found == RECORDS[: sum(end <= length for end in ends)]
        if length in {0, *ends}:
            assert error is None
        else:
            assert isinstance(error, TruncatedRecordError)
            assert error.offset == max([0, *(end for end in ends if end <= length)])


def test_every_flipped_bit_is_noticed(path):
    content = path.read_bytes()
    ends = list(itertools.accumulate(len(frame(record)) for record in RECORDS))
    for position in [*range(110), len(content) - 1]:
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            found, error = read_until_unreadable(path)
            assert found == RECORDS[: sum(end <= position for end in ends)]
            assert isinstance(error, CorruptRecordError)
            assert str(path) in str(error)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(read_frames(tmp_path / "none"))
