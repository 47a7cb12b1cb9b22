"""From older descriptions to the present one, one step a version.

A description of version n is brought to n + 1 by `UPGRADES[n]`, and so on up to SCHEMA_VERSION. A
newer one is refused in words: reading it by guesswork could accuse a healthy network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tb_netviz_plugin.schema import netviz_pb2
from tb_netviz_plugin.schema.tags import SCHEMA_VERSION

Upgrade = Callable[[netviz_pb2.RunDescription], netviz_pb2.RunDescription]

# Version 1 is the first.
UPGRADES: Mapping[int, Upgrade] = {}


class UnreadableSchemaError(ValueError):
    """A file was written by a schema that this version can't read."""


def upgrade(
    message: netviz_pb2.RunDescription,
    upgrades: Mapping[int, Upgrade] = UPGRADES,
    target: int = SCHEMA_VERSION,
) -> netviz_pb2.RunDescription:
    """Return `message` as version `target`.

    Raises:
        UnreadableSchemaError: If it is newer than `target`, or so old that no upgrade is known.
    """
    check(message.schema_version, target)
    while message.schema_version < target:
        step = upgrades.get(message.schema_version)
        if step is None:
            raise UnreadableSchemaError(
                f"written by netviz schema {message.schema_version}, from which no upgrade to {target} is known"
            )
        before = message.schema_version
        message = step(message)
        if message.schema_version != before + 1:
            raise UnreadableSchemaError(f"the upgrade from schema {before} gave {message.schema_version}")
    return message


def check(version: int, target: int = SCHEMA_VERSION) -> None:
    """Raise UnreadableSchemaError if `version` is newer than `target`."""
    if version > target:
        raise UnreadableSchemaError(
            f"written by a newer netviz (schema {version}); this one reads up to schema {target}. "
            "Upgrade with: pip install --upgrade tb-netviz-plugin"
        )
