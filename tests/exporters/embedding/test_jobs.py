"""Messages come out of a pipe as they went in, however large and whatever stands before them."""

import math
import os
import threading

import numpy as np
import pytest

from tb_netviz.embedding.jobs import GREETING, Message, Question, await_greeting, receive, send


@pytest.fixture
def pipe():
    out, into = os.pipe()
    with os.fdopen(out, "rb", 0) as reading, os.fdopen(into, "wb", 0) as writing:
        yield reading, writing


def passed(pipe, message):
    """Send a message from another thread, since a pipe holds little, and return what is received."""
    reading, writing = pipe
    thread = threading.Thread(target=send, args=(writing, message))
    thread.start()
    received = receive(reading)
    thread.join()
    return received


def test_values_and_arrays_of_every_kind(pipe):
    arrays: dict[str, np.ndarray] = {
        "large": np.random.default_rng(0).standard_normal((300, 1000)).astype(np.float32),
        "bytes": np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1),
        "turned": np.arange(6.0).reshape(2, 3).T,
        "none": np.empty((0, 7), np.float32),
        "single": np.array(3.5),
    }
    values = {"text": "ü\udc80\n", "list": ["a", None], "number": math.inf, "missing": math.nan, "words": {"a": "b"}}
    received = passed(pipe, Message(Question.VECTORS, values, arrays))
    assert received.kind == Question.VECTORS
    assert math.isnan(received.values.pop("missing"))
    assert received.values == {key: value for key, value in values.items() if key != "missing"}
    assert received.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert received.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(received.arrays[name], array)


def test_several_in_a_row(pipe):
    for number in range(3):
        assert passed(pipe, Message(values={"number": number})).values == {"number": number}


def test_a_stream_that_ends_within_a_message(pipe):
    reading, writing = pipe
    send(writing, Message(arrays={"array": np.zeros(10)}))
    whole = reading.read(10_000)
    for length in (0, 3, 20, len(whole) - 1):
        out, into = os.pipe()
        with os.fdopen(out, "rb", 0) as start:
            os.write(into, whole[:length])
            os.close(into)
            with pytest.raises(EOFError):
                receive(start)


def test_the_greeting_is_found_behind_what_was_printed(pipe):
    reading, writing = pipe
    writing.write(b"hello\n" + GREETING[:7] + GREETING)
    send(writing, Message("after"))
    await_greeting(reading)
    assert receive(reading).kind == "after"
