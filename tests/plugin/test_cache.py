"""The cache is bounded, follows revisions, and computes each value once."""

import threading

import pytest

from tb_netviz_plugin.reader.cache import Cache


def test_a_value_is_computed_once_a_revision():
    cache, calls = Cache(100), []

    def compute():
        calls.append(1)
        return len(calls)

    assert [cache.get("a", revision, compute, lambda _: 10) for revision in (1, 1, 2, 2, 1)] == [1, 1, 2, 2, 3]
    assert cache.used == 10


def test_what_was_not_read_for_longest_is_forgotten():
    cache, computed = Cache(30), []

    def read(key):
        cache.get(key, 0, lambda: computed.append(key), lambda _: 10)

    for key in "abcabd":
        read(key)
    assert computed == list("abcd")
    read("c")
    assert computed == list("abcdc")
    assert cache.used == 30


def test_what_is_too_large_is_given_but_not_kept():
    cache = Cache(30)
    cache.get("small", 0, lambda: 1, lambda _: 10)
    assert cache.get("large", 0, lambda: 2, lambda _: 31) == 2
    assert cache.used == 10


def test_failures_are_not_remembered():
    cache = Cache(30)

    def fail():
        raise ValueError("once")

    with pytest.raises(ValueError, match="once"):
        cache.get("a", 0, fail, lambda _: 1)
    assert cache.get("a", 0, lambda: 5, lambda _: 1) == 5


def test_threads_wait_for_the_one_that_computes():
    cache, started, calls = Cache(30), threading.Event(), []
    release = threading.Event()

    def compute():
        calls.append(1)
        started.set()
        assert release.wait(10)
        return "value"

    results = []
    threads = [
        threading.Thread(target=lambda: results.append(cache.get("a", 0, compute, lambda _: 1))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    # Another key is not held up by the one that is being computed.
    assert cache.get("b", 0, lambda: "other", lambda _: 1) == "other"
    release.set()
    for thread in threads:
        thread.join(10)
    assert results == ["value"] * 8
    assert len(calls) == 1
