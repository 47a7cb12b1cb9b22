"""The selected trainings, each made once, and checked while it ran as well."""

import pytest

from tests.diagnosis.listening import Trainings


@pytest.fixture(scope="session")
def trainings(tmp_path_factory):
    """All of them, for the whole session."""
    return Trainings(tmp_path_factory.mktemp("trainings"))
