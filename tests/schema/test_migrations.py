"""Migrations: older descriptions are brought forward step by step, newer ones refused in words."""

import pytest

from tb_netviz_plugin.schema import netviz_pb2
from tb_netviz_plugin.schema.migrations import UPGRADES, UnreadableSchemaError, check, upgrade
from tb_netviz_plugin.schema.tags import SCHEMA_VERSION


def description(version):
    return netviz_pb2.RunDescription(schema_version=version, writer="w", framework="torch")


def name_framework(message):
    """Bring a description from version 1 to 2: frameworks carry a version."""
    return netviz_pb2.RunDescription(schema_version=2, writer=message.writer, framework=message.framework + " 2.0")


def mark_writer(message):
    """Bring a description from version 2 to 3: writers carry a mark."""
    return netviz_pb2.RunDescription(schema_version=3, writer=f"[{message.writer}]", framework=message.framework)


LATER = {1: name_framework, 2: mark_writer}


def test_the_present_version_stays_as_it_is():
    assert upgrade(description(SCHEMA_VERSION)) == description(SCHEMA_VERSION)


def test_an_old_description_goes_through_every_upgrade():
    upgraded = upgrade(description(1), LATER, target=3)
    assert (upgraded.schema_version, upgraded.framework, upgraded.writer) == (3, "torch 2.0", "[w]")


def test_an_upgrade_starts_at_the_version_that_it_meets():
    upgraded = upgrade(description(2), LATER, target=3)
    assert (upgraded.framework, upgraded.writer) == ("torch", "[w]")


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 2**32 - 1])
def test_a_newer_description_is_refused_with_a_way_out(version):
    with pytest.raises(UnreadableSchemaError, match=f"schema {version}.*pip install --upgrade"):
        upgrade(description(version))


def test_newer_tags_are_refused_and_older_ones_are_not():
    check(SCHEMA_VERSION)
    check(0)
    with pytest.raises(UnreadableSchemaError, match="newer netviz"):
        check(SCHEMA_VERSION + 1)


def test_a_version_without_a_way_forward_is_refused():
    with pytest.raises(UnreadableSchemaError, match="schema 2, from which no upgrade to 3"):
        upgrade(description(2), {1: name_framework}, target=3)


def test_an_upgrade_that_does_not_advance_is_found_out():
    with pytest.raises(UnreadableSchemaError, match="upgrade from schema 1 gave 1"):
        upgrade(description(1), {1: lambda message: message}, target=2)


def test_every_older_version_has_its_upgrade():
    assert set(UPGRADES) == set(range(1, SCHEMA_VERSION))
