"""Every data path is tested twice: over TensorBoard's Python loader and over its Rust server."""

from contextlib import ExitStack

import pytest

from tests.support.apps import LOADERS, open_app


@pytest.fixture(params=LOADERS)
def loader(request):
    return request.param


@pytest.fixture
def open_logdir(loader):
    """Opens log folders, each in an application of its own."""
    with ExitStack() as stack:
        yield lambda log_dir, **settings: stack.enter_context(open_app(log_dir, loader, **settings))
