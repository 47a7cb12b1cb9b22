"""The catalogue of columns says the same as docs/wire-format.md."""

import re
from pathlib import Path

import pytest

from tb_netviz_plugin.schema.columns import (
    CLASS_COLUMNS,
    METRIC_COLUMNS,
    OUTPUT_COLUMN,
    OUTPUT_COLUMNS,
    PARAMETER_COLUMN,
    PARAMETER_COLUMNS,
    STEP_COLUMNS,
    Merge,
)

WIRE_FORMAT = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")
IN_WORDS = {
    Merge.SUM: ("sum", "mean"),
    Merge.ROOT_SQUARE: ("root of sum of squares", "root mean square"),
    Merge.MAX: ("max", "max"),
    Merge.MIN: ("min", "min"),
}


def section(heading):
    """Return the text below a heading of the second level."""
    _start, text = WIRE_FORMAT.split(f"\n## {heading}\n")
    return text.split("\n## ")[0]


def test_parameter_columns_are_documented_in_their_order_with_their_merge():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", section("parameters"), flags=re.MULTILINE)
    assert [(name, (tensors, steps)) for name, tensors, steps in rows] == [
        (column.id, IN_WORDS[column.merge]) for column in PARAMETER_COLUMNS
    ]


def test_output_columns_are_documented_in_their_order_with_their_merge():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section("outputs"), flags=re.MULTILINE)
    assert rows == [(column.id, IN_WORDS[column.merge][1]) for column in OUTPUT_COLUMNS]


@pytest.mark.parametrize(
    ("heading", "columns"), [("classes", CLASS_COLUMNS), ("steps", STEP_COLUMNS), ("metric", METRIC_COLUMNS)]
)
def test_other_columns_are_documented_in_their_order(heading, columns):
    mentioned = [name for name in re.findall(r"`(\w+)`", section(heading)) if name in {c.id for c in columns}]
    assert list(dict.fromkeys(mentioned)) == [column.id for column in columns]


@pytest.mark.parametrize("columns", [PARAMETER_COLUMNS, OUTPUT_COLUMNS, CLASS_COLUMNS, STEP_COLUMNS, METRIC_COLUMNS])
def test_ids_are_unique_and_definitions_are_sentences(columns):
    assert len({column.id for column in columns}) == len(columns)
    assert all(column.definition.endswith(".") for column in columns)


def test_columns_are_found_by_their_id():
    assert list(PARAMETER_COLUMN.values()) == list(PARAMETER_COLUMNS)
    assert list(OUTPUT_COLUMN.values()) == list(OUTPUT_COLUMNS)
