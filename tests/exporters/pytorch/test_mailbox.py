"""Messages between processes that may be lost or late, over torch's own store."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import torch

from tb_netviz.pytorch.mailbox import PATIENCE, Mailbox, replaces

SERVE = """
import time
from torch.distributed import TCPStore
store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
print(store.port, flush=True)
time.sleep(60)
"""

distributed: Any = torch.distributed  # Its stores are not exported in words.


def store(port=0):
    return distributed.TCPStore("127.0.0.1", port, is_master=port == 0, wait_for_workers=False)


@pytest.fixture
def elsewhere():
    """Return the process of a store, and its port."""
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


def test_the_last_message_of_each_process_is_read():
    common = store()
    first, second, other = Mailbox(common, "a", 0), Mailbox(common, "a", 1), Mailbox(common, "b", 1)
    assert first.present([1, 2]) == {}
    for number in range(20):
        second.put(b"%d" % number)
    other.put(b"not heard")
    assert second.settle()
    assert other.settle()
    assert first.present([1, 2]) == {1: b"19"}
    assert first.collect([1]) == {1: b"19"}
    assert first.collect([1, 2]) == {}  # Nobody waits for the message that is missing.
    assert first.collect([]) == {}
    for mailbox in (first, second, other):
        mailbox.close()


def test_a_process_hears_what_the_first_one_has_left_before():
    common = store()
    first, second = Mailbox(common, "a", 0), Mailbox(common, "a", 1)
    second.put(b"nobody answers")
    assert second.settle()
    assert second.heard == b""
    first.put(b"an answer")
    assert first.settle()
    second.put(b"thanks")
    assert second.settle()
    assert second.heard == b"an answer"
    first.close()
    second.close()


def test_a_message_that_was_put_before_the_end_arrives():
    common = store()
    first, second = Mailbox(common, "a", 0), Mailbox(common, "a", 1)
    second.put(bytes(1 << 20))
    second.close()
    assert first.collect([1]) == {1: bytes(1 << 20)}
    first.close()


def test_a_store_that_answers_no_more_is_waited_for_once(elsewhere):
    process, port = elsewhere
    mailbox = Mailbox(store(port), "a", 1)
    mailbox.put(b"here")
    assert mailbox.settle()
    os.kill(process.pid, signal.SIGSTOP)  # As if its machine had lost the network.
    began = time.monotonic()
    assert mailbox.collect([1]) is None
    waited = time.monotonic() - began
    assert waited >= PATIENCE
    for _ in range(100):
        mailbox.put(b"again")
        assert mailbox.collect([1]) is None
    assert time.monotonic() - began < 2 * waited + 1
    os.kill(process.pid, signal.SIGCONT)
    while (found := mailbox.collect([1])) is None:
        time.sleep(0.01)
    assert found == {1: b"again"}
    mailbox.close()


def test_a_store_that_is_gone_is_an_error(elsewhere):
    process, port = elsewhere
    mailbox = Mailbox(store(port), "a", 1)
    mailbox.put(b"here")
    assert mailbox.settle()
    process.kill()
    process.wait()
    with pytest.raises(RuntimeError):
        mailbox.collect([1])
    mailbox.put(b"again")
    mailbox.settle()
    with pytest.raises(RuntimeError):
        mailbox.put(b"and again")
    mailbox.close()


def test_stores_in_which_messages_replace_each_other(tmp_path):
    prefix = distributed.PrefixStore
    assert replaces(prefix("a", prefix("b", store())))
    assert not replaces(prefix("a", distributed.FileStore(str(tmp_path / "store"), 1)))
    assert not replaces(distributed.HashStore())
