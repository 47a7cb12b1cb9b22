"""`layer_not_training`: weights that do not move, though they have a gradient and are not frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.wording import listed, number, subject
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.gone import gone
from tb_netviz_plugin.diagnosis.movement import RESOLUTION, dtype_of, is_backbone, rate_of_group
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.stretches import PERSISTING, to_the_end

_OTHERS = 0.5
"""Share of the records in which others have to move, so that it is no pause of the whole network."""
_SHARE = 0.2
"""Share of the run's steps that weights have to stand still."""
_ROUNDING = 1e-5
"""Share of a weight that a step has to ask for, so that it is no rounding that swallows it."""
_LONG_ENOUGH = 100
"""Steps after which an optimizer that has not stepped yet is not merely waiting for its first turn."""
_TURNS = 50
"""Steps within which optimizers that take turns each have theirs."""

_TRACES = 40
"""Records over which updates have to leave no trace."""
_RESTLESS, _WANDERING = 0.15, 24.0
"""Mean square of the changes of a norm over its variance (von Neumann's ratio); that of drifts is far lower. That of a
random walk of n records is about 6 / n, and may come out as a few times that."""
_RESOLVED, _REWRITTEN = 1e-5, 0.1
"""Updates over weights between which a norm shows what became of an update."""
_FAR = 5.0
"""Updates' worth by which the norms of other matrices change meanwhile."""

NO_OPTIMIZER, NO_RATE, NEVER_STEPPED = "no_optimizer", "no_rate", "never_stepped"
WRITTEN_BACK, UNKNOWN = "written_back", "unknown"


@dataclass(frozen=True, slots=True)
class _Still:
    """A parameter whose weights do not move.

    Attributes:
        row: Its index.
        layer: Index of its layer.
        first: The record from which on they stand.
        why: NO_OPTIMIZER, NO_RATE, NEVER_STEPPED, WRITTEN_BACK or UNKNOWN.
        always: Whether they never moved.
    """

    row: int
    layer: int
    first: int
    why: str
    always: bool


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find parameters that stand still up to the end while others of their model move."""
    findings = []
    for layers in case.layers_of_models():
        lost = gone(case, layers, int(limits["records"]), RULE.id)
        findings += [lost] if lost else []
        still = _still(case, layers, int(limits["records"]))
        for why in (NO_OPTIMIZER, NO_RATE, NEVER_STEPPED, WRITTEN_BACK, UNKNOWN):
            held = [one for one in still if one.why == why]
            if held:
                findings.append(_finding(case, layers, held, why))
    return findings


def _still(case: Case, layers: Sequence[int], records: int) -> list[_Still]:
    rows = [row for layer in layers for row in case.network.layers[layer].parameters]
    updates, gradients = case.column("update_norm")[rows], case.column("grad_norm")[rows]
    kept = _kept(case, rows)
    moving: Bools = np.asarray(np.nan_to_num(updates) > 0)
    any_moves: Bools = np.asarray(moving.any(axis=0))
    found = []
    for at, row in enumerate(rows):
        about = case.network.parameters[row]
        if _never_stepped(case, row, any_moves, records):
            found.append(_Still(row, about.layer, 0, NEVER_STEPPED, always=True))
            continue
        first = None if about.parameter.frozen else kept[at]
        if first is not None:
            found.append(_Still(row, about.layer, first, WRITTEN_BACK, always=first == 0))
            continue
        known = np.isfinite(updates[at]) & (np.nan_to_num(gradients[at]) > 0)
        stretch = to_the_end(~moving[at], known) if not about.parameter.frozen and not moving[at, -1:].any() else None
        if stretch is None or known[stretch.first :].sum() < records or not _long(case, stretch.first, stretch.last):
            continue
        within = slice(stretch.first, stretch.last + 1)
        if any_moves[within].mean() < _OTHERS:
            continue
        why = _why(case, row, within)
        if why:
            found.append(_Still(row, about.layer, stretch.first, why, always=not moving[at].any()))
    return found


def _never_stepped(case: Case, row: int, any_moves: Bools, records: int) -> bool:
    """Whether an optimizer is known that holds a parameter, and no step of it was ever recorded beside those of others.

    What an optimizer holds is recorded as it steps.
    """
    about = case.network.parameters[row]
    if about.parameter.frozen or about.group is None or np.isfinite(case.column("weight_norm")[row]).any():
        return False
    span = case.steps[-1] - case.steps[0]
    return bool(any_moves.sum() >= 2 * records and span >= _LONG_ENOUGH)


def _sees_turns(case: Case) -> bool:
    """Whether so many steps in a row were observed that an optimizer which takes turns with another had its own."""
    whole = np.nan_to_num(case.observations) >= np.diff(case.steps, prepend=-1.0)
    row = best = 0.0
    for seen, steps in zip(whole, np.diff(case.steps, prepend=-1.0), strict=True):
        row = row + float(steps) if seen else 0.0
        best = max(best, row)
    return best >= _TURNS


def _kept(case: Case, rows: Sequence[int]) -> list[int | None]:
    """Return for each matrix from which record on its updates leave no trace in its norm, though those of others do.

    Something then writes the weights back after each step: they never get further than a single update.
    """
    norms, updates = case.column("weight_norm")[rows], case.column("update_norm")[rows]
    matrix = np.array([len(case.network.parameters[row].parameter.shape) > 1 for row in rows])
    last = norms[:, -1:]
    with np.errstate(invalid="ignore"):
        near = np.abs(norms - last) <= updates
    known = np.isfinite(norms) & np.isfinite(updates)
    at_last = (near | ~known)[:, -_TRACES - 1 :].all(axis=1)  # Of nearly all matrices: no.
    found: list[int | None] = [None] * len(rows)
    for at in np.flatnonzero(matrix & at_last & (np.nan_to_num(updates[:, -1]) > 0)):
        stretch = to_the_end(near[at], known[at])
        if stretch is None or not _long(case, stretch.first, stretch.last) or stretch.last - stretch.first < _TRACES:
            continue
        if _restless(norms[at, stretch.first :], updates[at, stretch.first :]):
            found[at] = stretch.first
    return _beside_others(found, matrix, _drifts(norms, updates)) if found.count(None) < len(found) else found


def _beside_others(found: Sequence[int | None], matrix: Bools, drifts: Floats) -> list[int | None]:
    """Leave out those beside which the other matrices do not go anywhere either."""
    kept: list[int | None] = list(found)
    for at, first in enumerate(found):
        others = drifts[matrix & (np.arange(len(found)) != at), first] if first is not None else np.empty(0)
        if not others.size or np.median(others) < _FAR:
            kept[at] = None
    return kept


def _restless(norms: Floats, updates: Floats) -> bool:
    """Whether a norm only trembles about one value, by less than an update, where updates would make it wander."""
    known = np.isfinite(norms) & np.isfinite(updates)
    norms, usual = norms[known], float(np.median(updates[known]))
    if not _RESOLVED <= usual / norms[-1] <= _REWRITTEN or norms.max() - norms.min() > usual or not norms.var() > 0:
        return False
    return bool((np.diff(norms) ** 2).mean() >= max(_RESTLESS, _WANDERING / len(norms)) * norms.var())


def _drifts(norms: Floats, updates: Floats) -> Floats:
    """Return how far the norm of each parameter goes from every record to the end, over a usual update, [P, T]."""
    usual = nanmedian(updates.T)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nan_to_num(np.abs(norms - norms[:, -1:]) / usual), np.float64)


def _long(case: Case, first: int, last: int) -> bool:
    return bool(case.steps[last] - case.steps[first] >= _SHARE * (case.steps[-1] - case.steps[0]))


def _why(case: Case, row: int, within: slice) -> str:
    """Return why a parameter stands still; an empty string where rounding swallows what a step asks for."""
    group = case.network.parameters[row].group
    if group is None:
        return NO_OPTIMIZER
    curve = rate_of_group(case, group)
    rate = case.network.groups[group][1].learning_rate
    if curve is not None:
        late = curve.values[curve.steps >= case.steps[within][0]]
        rate = float(np.nanmax(late, initial=0.0)) if late.size else rate
    if rate == 0:
        return NO_RATE
    weights = float(np.nanmedian(case.column("weight_norm")[row, within])) / np.sqrt(case.network.elements[row])
    largest = float(np.nanmedian(case.column("grad_abs_max")[row, within]))
    return UNKNOWN if rate * largest > RESOLUTION.get(dtype_of(case, row), _ROUNDING) * weights else ""


def _finding(case: Case, layers: Sequence[int], still: Sequence[_Still], why: str) -> Finding:
    blamed = list(dict.fromkeys(one.layer for one in still))
    first = min(one.first for one in still)
    names = [case.network.parameters[one.row].name for one in still]
    parts = all(set(case.network.layers[layer].parameters) <= {one.row for one in still} for layer in blamed)
    who = subject(case.network, blamed) if parts else listed(names)
    count = len(blamed) if parts else len(names)
    reason, remedies = _reason(why, names[0])
    since, last = float(case.steps[first]), float(case.steps[-1])
    return Finding(
        rule="layer_not_training",
        severity=_severity(case, layers, still, why),
        layers=tuple(blamed),
        first_step=since,
        last_step=last,
        message=f"{who} {'do' if count > 1 else 'does'} not move from step {since:,.0f} to step {last:,.0f}"
        f"{_gradient(case, still, first)}: {reason}.",
        beyond=Beyond("norm of an update", 0.0, 0.0),
        evidence=_stepped(case, layers) if why == NEVER_STEPPED else _lines(case, still),
        remedies=remedies,
        excluded=(
            "Not frozen: requires_grad is on" + ("." if why == NEVER_STEPPED else ", and there is a gradient."),
            "Not a pause of the whole network, or its schedule: other layers moved in the meantime.",
        ),
        subject=why,
    )


def _gradient(case: Case, still: Sequence[_Still], first: int) -> str:
    """Say how large their gradient is, where that was recorded."""
    norms = case.column("grad_norm")[[one.row for one in still], first:]
    return f", with a gradient of norm {number(float(np.nanmedian(norms)))}" if np.isfinite(norms).any() else ""


def _severity(case: Case, layers: Sequence[int], still: Sequence[_Still], why: str) -> Severity:
    """A head that is trained alone, and a group that was stopped later on, may well be meant so."""
    if why == NO_RATE and not all(one.always for one in still):
        return Severity.INFO
    if why == NEVER_STEPPED:  # It may be meant to begin later.
        return Severity.WARNING if _sees_turns(case) else Severity.INFO
    blamed = {one.layer for one in still}
    if is_backbone(case, layers, sorted(blamed)):
        return Severity.INFO if why in (NO_OPTIMIZER, NO_RATE) else Severity.WARNING
    return Severity.CRITICAL if all(one.always for one in still) else Severity.WARNING


def _reason(why: str, name: str) -> tuple[str, tuple[Remedy, ...]]:
    freeze = Remedy("If it is to stay as it is, freeze it: that saves its gradient.", "layer.requires_grad_(False)")
    if why == NO_OPTIMIZER:
        add = Remedy(
            "Hand it to the optimizer.", f'optimizer.add_param_group({{"params": [model.get_parameter("{name}")]}})'
        )
        return "no optimizer holds it", (add, freeze)
    if why == NO_RATE:
        rate = Remedy("Give its optimizer group a learning rate.", 'optimizer.param_groups[0]["lr"] = 1e-3')
        return "the learning rate of its optimizer group is 0", (rate, freeze)
    if why == NEVER_STEPPED:
        step = Remedy("Let that optimizer step as well.", "for optimizer in optimizers:\n    optimizer.step()")
        return "the optimizer that holds it never steps, while another one does", (step, freeze)
    if why == WRITTEN_BACK:
        back = Remedy("Look for what writes it back after each step: a copy that is loaded, an average, `.data = `.")
        return "it never gets further than a single update, as if each were undone", (back, freeze)
    look = Remedy("Look for what writes it back: a copy that is loaded each step, a constraint, `.data` assignments.")
    return "an optimizer holds it, with a learning rate above 0", (look, freeze)


def _stepped(case: Case, layers: Sequence[int]) -> tuple[Line, ...]:
    rows = [row for layer in layers for row in case.network.layers[layer].parameters]
    shares = np.isfinite(case.column("update_norm")[rows]).mean(axis=0)
    return (Line("share of the parameters that an optimizer stepped", "update_ratio", case.steps, shares, 1.0),)


def _lines(case: Case, still: Sequence[_Still]) -> tuple[Line, ...]:
    row = still[0].row
    name = case.network.parameters[row].name
    moves: Floats = case.column("update_norm")[row]
    there: Bools = np.isfinite(moves)
    return (
        Line(f"{name}: norm of its updates", "update_ratio", case.steps, np.where(there, moves, np.nan), 0.0),
        Line(f"{name}: norm of its gradient", "gradient_norm", case.steps, case.column("grad_norm")[row]),
    )


RULE = Rule(
    id="layer_not_training",
    title="Layer does not train",
    needs=(needs.statistics("gradient_norm", "update_ratio"), needs.records(2 * PERSISTING)),
    thresholds=(Threshold("records", 10, "records in which it has a gradient and does not move", 2, 1_000),),
    find=find,
)
