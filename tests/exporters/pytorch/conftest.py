"""What the tests of the PyTorch adapter have in common."""

import sys

import pytest

from tests.support.sharded import of_four, of_several, of_two

__all__ = ["of_four", "of_several", "of_two"]


@pytest.fixture(autouse=True)
def nothing_is_compiled():
    """Forget that another test has compiled something: functions are not listened to from then on."""
    utils = sys.modules.get("torch._dynamo.utils")
    if utils is not None:
        utils.counters.clear()
