"""What holds for every library: its own advice is none of our business, and we have nothing to warn of."""

import pytest

from tb_netviz.events import NetVizWarning


@pytest.fixture(autouse=True)
def our_warnings(recwarn):
    """Let the library warn, and fail where we do."""
    yield
    assert [str(each.message) for each in recwarn if issubclass(each.category, NetVizWarning)] == []
