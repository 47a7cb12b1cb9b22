"""The cache is bounded, follows revisions, and computes each value once."""

import threading

import pytest

from tb_netviz_plugin.reader.cache import Cache


def test_a_value_is_computed_once_a_revision():
    cache, calls = Cache(100), []

    def compute():
        calls.append(1)
        return len(calls)

    assert [cache.get("run", "a", revision, compute, lambda _: 10) for revision in (1, 1, 2, 2, 1)] == [1, 1, 2, 2, 3]
    assert cache.used == 10


def test_what_was_not_read_for_longest_is_forgotten():
    cache, computed = Cache(30), []

    def read(key):
        cache.get(f"run {key}", "part", 0, lambda: computed.append(key), lambda _: 10)

    for key in "abcabd":
        read(key)
    assert computed == list("abcd")
    read("c")
    assert computed == list("abcdc")
    assert cache.used == 30


def test_an_owner_that_is_larger_than_the_bound_is_kept_while_it_is_read():
    cache, computed = Cache(30), []

    def read(owner, part):
        cache.get(owner, part, 0, lambda: computed.append(owner + part), lambda _: 20)

    for _ in range(3):
        for part in "123":
            read("a", part)
    assert computed == ["a1", "a2", "a3"]
    assert cache.used == 60
    read("b", "1")
    assert cache.used == 20
    read("b", "1")
    read("a", "3")
    assert computed == ["a1", "a2", "a3", "b1", "a3"]


def test_only_as_much_is_forgotten_as_is_needed():
    cache = Cache(30)
    for owner, part in [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1")]:
        cache.get(owner, part, 0, lambda: 1, lambda _: 10)
    recomputed = []
    for owner, part in [("a", "2"), ("b", "1"), ("c", "1")]:
        cache.get(owner, part, 0, lambda: recomputed.append(1), lambda _: 10)
    assert recomputed == []
    assert cache.used == 30


def test_failures_are_not_remembered():
    cache = Cache(30)

    def fail():
        raise ValueError("once")

    with pytest.raises(ValueError, match="once"):
        cache.get("run", "a", 0, fail, lambda _: 1)
    assert cache.get("run", "a", 0, lambda: 5, lambda _: 1) == 5


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
        threading.Thread(target=lambda: results.append(cache.get("run", "a", 0, compute, lambda _: 1)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    # Another key is not held up by the one that is being computed.
    assert cache.get("run", "b", 0, lambda: "other", lambda _: 1) == "other"
    release.set()
    for thread in threads:
        thread.join(10)
    assert results == ["value"] * 8
    assert len(calls) == 1
