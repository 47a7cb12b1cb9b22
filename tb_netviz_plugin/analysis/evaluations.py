"""What a model got and gave in evaluations, beside what it got and gave in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.grid import survivors
from tb_netviz_plugin.analysis.records import Floats, Records
from tb_netviz_plugin.schema.columns import EVALUATION_COLUMNS


@dataclass(frozen=True, slots=True)
class Inputs:
    """What inputs were like on one side, E evaluations; NaN where nothing is known.

    Attributes:
        samples: Entries along their first axis that were measured, [E].
        kind: CLASS_INDICES where they are whole numbers, else NUMBERS, [E].
        mean: Of all values, [E].
        size: Their root mean square, [E].
        smallest: The smallest, [E].
        largest: The largest, [E].
        zeros: Share of them that are exactly zero, [E].
    """

    samples: Floats
    kind: Floats
    mean: Floats
    size: Floats
    smallest: Floats
    largest: Floats
    zeros: Floats


@dataclass(frozen=True, slots=True)
class Evaluations:
    """E evaluations that were measured, in increasing step.

    Attributes:
        steps: The step that followed each, [E].
        evaluated: Its inputs.
        trained: Those in training up to it.
        shift: Middle over features of the distance between both means, in pooled standard deviations, [E].
        shift_largest: The largest, [E].
        factor: Middle over features of the standard deviation in the evaluation over that in training, [E].
        factor_largest: The largest, [E].
        output_size: Root mean square of the outputs, [E]; NaN where there are others in training.
        trained_output_size: That of the last pass in training that was measured, [E].
    """

    steps: Floats
    evaluated: Inputs
    trained: Inputs
    shift: Floats
    shift_largest: Floats
    factor: Floats
    factor_largest: Floats
    output_size: Floats
    trained_output_size: Floats


def evaluations_from(records: Records) -> Evaluations | None:
    """Return what records of the family `evaluations` say; None where there is none of them."""
    if len(records.plane(0)) != len(EVALUATION_COLUMNS) or not records.steps.size:
        return None
    kept = survivors(records, [records])
    values = records.plane(0)[:, kept].astype(np.float64)
    named = dict(zip((column.id for column in EVALUATION_COLUMNS), values, strict=True))

    def inputs(prefix: str) -> Inputs:
        names = ("samples", "in_kind", "in_mean", "in_size", "in_min", "in_max", "in_zeros")
        return Inputs(*(named[prefix + name] for name in names))

    return Evaluations(
        steps=records.steps[kept],
        evaluated=inputs(""),
        trained=inputs("trained_"),
        shift=named["in_shift"],
        shift_largest=named["in_shift_max"],
        factor=named["in_factor"],
        factor_largest=named["in_factor_max"],
        output_size=named["out_size"],
        trained_output_size=named["trained_out_size"],
    )
