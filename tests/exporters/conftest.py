"""What holds for tests of the writers."""

import pytest

from tb_netviz.embedding import client


@pytest.fixture(autouse=True)
def _prompt_worker(monkeypatch):
    """Lay out embeddings as promptly as all else: one that stands back gets no turn while tests run beside it."""
    monkeypatch.setattr(client, "NICENESS", 0)
