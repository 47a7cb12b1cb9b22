"""`redundant_units`: units that do what another one of their layer does, or its opposite."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.units import Redundant, compare_layers
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold

_SYMMETRIC = (
    Remedy(
        "Give each unit weights of its own: units that begin equal get equal gradients, and stay equal.",
        "nn.init.kaiming_normal_(layer.weight)",
    ),
    Remedy(
        "If weights were copied on purpose, add a little noise.",
        "layer.weight.data += 1e-2 * torch.randn_like(layer.weight)",
    ),
)
_SPARE = (Remedy("They cost time and add nothing: `tb-netviz units LOGDIR --state redundant` lists them for pruning."),)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find layers of which many units do what another one does, and tell of those of which a few do."""
    judged = {index: case.judged(index) for index in _with_twins(case)}
    layers = [layer for layer in compare_layers(case.unit_table, judged) if (layer.twins >= 0).any()]
    return [_finding(case, layer, limits["share"]) for layer in layers]


def _with_twins(case: Case) -> list[int]:
    """Return the activations of layers some unit of which ever had weights that equal another's."""
    rows = case.network.activations
    told = np.nan_to_num(case.unit_table.units.column("twin")) != 0
    ever = told.any(axis=1)
    sources = {(row.model, row.source) for row in rows if ever[row.units.start : row.units.stop].any()}
    return [index for index, row in enumerate(rows) if row.units and (row.model, row.source) in sources]


def _finding(case: Case, layer: Redundant, threshold: float) -> Finding:
    row = case.network.activations[layer.activation]
    units = np.flatnonzero(layer.twins >= 0)
    share = units.size / len(layer.twins)
    many = share >= threshold
    steps, shares = _over_time(case, layer.activation)
    since = _since(shares, share)
    opposite, kind = int(layer.opposite.sum()), row.activation.unit or "unit"
    told = f", {opposite:,} of them with the sign turned" if opposite else ""
    return Finding(
        rule="redundant_units",
        severity=Severity.WARNING if many else Severity.INFO,
        layers=() if row.layer is None else (row.layer,),
        first_step=float(steps[since]),
        last_step=float(steps[-1]),
        message=f"{units.size:,} of {len(layer.twins):,} {kind}s of {row.label} do what another one does{told}: their "
        f"weights are equal, and so was what came of them over {layer.samples:,} samples.",
        beyond=Beyond("share of units with a twin", share, threshold),
        evidence=(Line(f"{row.label}: share of units with equal weights", "units", steps, shares, threshold),),
        remedies=_SYMMETRIC if many else _SPARE,
        excluded=("Not dead units, which are alike too: only units that respond are counted.",),
        units=tuple(units.tolist()),
        view="units",
        subject=row.name,
    )


def _over_time(case: Case, activation: int) -> tuple[Floats, Floats]:
    """Return the last step of each record, and the share of units with equal weights there, both [N]."""
    row, looks = case.network.activations[activation], case.judged(activation).looks
    told = case.unit_table.units.column("twin", rows=np.arange(row.units.start, row.units.stop))[:, looks.times]
    known = ~np.isnan(told).all(axis=0)
    shares = np.where(known, (np.nan_to_num(told) != 0).mean(axis=0), np.nan)
    return case.unit_table.steps[looks.times], shares


def _since(shares: Floats, share: float) -> int:
    """Return the first record of the last stretch in which nearly so many units had a twin."""
    fewer = np.flatnonzero(shares < share / 2)
    return int(min(fewer[-1] + 1, len(shares) - 1)) if fewer.size else 0


RULE = Rule(
    id="redundant_units",
    title="Redundant units",
    needs=(needs.units,),
    thresholds=(Threshold("share", 0.25, "share of a layer's units that do what another one does", 0.001, 1.0),),
    find=find,
)
