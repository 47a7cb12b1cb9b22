"""How units are written: for people, for programs, for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence

from tb_netviz.printable import short_name
from tb_netviz.units.collecting import REDUNDANT, LayerUnits, RunUnits, Unit


def as_json(runs: Sequence[RunUnits], _listed: Sequence[str]) -> str:
    """Return {"runs": [{"run", "units": [{"layer", "activation", "unit", "state", "since_step", …}]}]}."""
    content = [
        {
            "run": run.run,
            "units": [
                {"layer": layer.layer, "activation": layer.activation} | unit._asdict()
                for layer in run.layers
                for unit in layer.units
            ],
        }
        for run in runs
    ]
    return json.dumps({"runs": content}, indent=1) + "\n"


def as_csv(runs: Sequence[RunUnits], _listed: Sequence[str]) -> str:
    """Return a line for each unit, below a line with the names of the columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "layer", "activation", *Unit._fields])
    for run in runs:
        writer.writerows(
            [run.run, layer.layer, layer.activation, *unit] for layer in run.layers for unit in layer.units
        )
    return text.getvalue()


def as_text(runs: Sequence[RunUnits], listed: Sequence[str]) -> str:
    """Return a table of the layers of each run, and one of its units of each kind in `listed`."""
    return "\n".join("\n".join(_paragraphs(run, listed)) for run in runs)


def _paragraphs(run: RunUnits, listed: Sequence[str]) -> Iterator[str]:
    yield f"run {short_name(run.run)}\n"
    if not run.layers:
        yield "  no units\n"
        return
    yield _table(_layer_rows(run.layers), texts=2)
    for kind in listed:
        rows = [
            [short_name(layer.layer), short_name(layer.activation), f"unit {unit.unit:,}", *_words(unit, kind)]
            for layer in run.layers
            for unit in layer.units
            if unit.is_(kind)
        ]
        yield f"  {kind.replace('_', ' ')}: {len(rows):,} {'unit' if len(rows) == 1 else 'units'}\n"
        if rows:
            yield _table(rows, texts=2)


def _words(unit: Unit, kind: str) -> list[str]:
    """Return since when it is of that kind, or beside which unit, and how often it fired."""
    if kind == REDUNDANT and unit.twin is not None:
        what = f"{'opposite of' if unit.opposite else 'same as'} unit {unit.twin:,}"
    else:
        what = "" if unit.since_step is None else f"since step {unit.since_step:,}"
    return [what, f"fired {unit.fired:,} of {unit.samples:,} samples"]


def _layer_rows(layers: Sequence[LayerUnits]) -> list[list[str]]:
    states = [state for state in layers[0].counts if any(layer.counts[state] for layer in layers)]
    head = ["layer", "activation", "units", *(state.replace("_", " ") for state in states)]
    rows = [
        [
            short_name(layer.layer),
            short_name(layer.activation),
            f"{sum(layer.counts.values()):,}",
            *(f"{layer.counts[state]:,}" if layer.counts[state] else "·" for state in states),
        ]
        for layer in layers
    ]
    return [head, *rows]


def _table(rows: Sequence[Sequence[str]], texts: int) -> str:
    """Return `rows` as lines, the first `texts` columns flush left, the others flush right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if place < texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "".join(f"  {line.rstrip()}\n" for line in lines)


FORMATS: dict[str, Callable[[Sequence[RunUnits], Sequence[str]], str]] = {
    "text": as_text,
    "json": as_json,
    "csv": as_csv,
}
