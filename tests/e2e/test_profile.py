"""Pages share a process and its caches, and nothing else."""

STORE = "() => { localStorage.left = sessionStorage.left = 'behind'; document.cookie = 'left=behind'; }"
FOUND = "() => [localStorage.length, sessionStorage.length, document.cookie]"


def test_a_page_finds_nothing_that_one_before_it_has_stored(profile, server):
    size = {"width": 300, "height": 200}
    address = f"{server.url}/data/plugins_listing"
    first = profile.open(size)
    first.goto(address)
    first.evaluate(STORE)
    assert first.evaluate(FOUND) == [1, 1, "left=behind"]
    profile.close(first, server.url)
    second = profile.open(size)
    second.goto(address)
    assert second.evaluate(FOUND) == [0, 0, ""]
    profile.close(second, server.url)
