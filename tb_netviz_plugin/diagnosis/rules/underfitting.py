"""`underfitting`: a loss that stays high on all data alike, and weights that decay faster than they learn."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import matrices, movement
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold

_LATE = 0.4
"""Share of the run, at its end, in which a loss has to be flat."""
_FLAT = 0.06
"""Share of it by which it falls there at most."""
_GAP = 0.15
"""Share of itself by which the validation loss lies above at most, where the network fits what it can."""
_CHANCE = 0.05
"""Share by which it fell at the least: what never fell is a plateau."""
_PATH = 0.1
_LARGER = (
    Remedy("Take a wider or deeper network.", "nn.Linear(n, 4 * m)"),
    Remedy("Give it inputs that tell more, or train on where the loss still falls."),
    Remedy("If the data hold no more than that, as with noise in the targets, this is as good as it gets."),
)
_DECAY = (
    Remedy("Take a smaller weight decay.", "torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)"),
    Remedy("Leave out dropout and other penalties, until it fits the training data."),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find a training that could not fit its own data."""
    loss = training(case)
    models = list(case.layers_of_models())
    if loss is None or len(models) != 1 or loss.start <= 0 or case.frozen[models[0]].mean() >= 0.5:
        return []
    rest = loss.end / loss.start
    if rest < limits["rest"] or not _flat(loss) or movement(case, models[0]).path < _PATH:
        return []
    shrunk = _shrunk(case, models[0])
    if shrunk is not None and shrunk <= limits["shrunk"]:
        return [_decayed(case, models[0], loss, shrunk, limits["shrunk"])]
    return _too_small(case, loss, rest, limits["rest"])


def _flat(loss: Course) -> bool:
    """Whether it has not fallen in the last part of the run beyond its scatter."""
    late = loss.values[loss.steps >= loss.steps[-1] - _LATE * (loss.steps[-1] - loss.steps[0])]
    half = late.size // 2
    if half < 3:
        return False
    early, last = late[:half], late[-half:]
    error = np.sqrt((early.var() + last.var()) / half)
    return bool(early.mean() - last.mean() <= max(_FLAT * abs(early.mean()), 2 * error))


def _shrunk(case: Case, layers: list[int]) -> float | None:
    """Return what is left of the norm of the matrices at the end, over the first, at the median."""
    norms = case.column("weight_norm")[matrices(case, layers)]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = norms[:, -1:] / norms[:, :1]
    middle = float(nanmedian(np.where(np.isfinite(shares), shares, np.nan))[0]) if len(norms) else np.nan
    return middle if np.isfinite(middle) else None


def _decayed(case: Case, layers: list[int], loss: Course, shrunk: float, limit: float) -> Finding:
    norms = case.column("weight_norm")[matrices(case, layers)]
    line = np.asarray(nanmedian(norms / norms[:, :1]))
    below = np.flatnonzero(line <= (1 + limit) / 2)
    return Finding(
        rule="underfitting",
        severity=Severity.WARNING,
        layers=(),
        first_step=float(case.steps[below[0]]),
        last_step=float(case.steps[-1]),
        message=f"The weights shrank to {shrunk:.0%} of the norm that they began with, and {loss.name} stays at "
        f"{number(loss.end)}, having begun at {number(loss.start)}: they decay faster than they learn.",
        beyond=Beyond("norm of the weights over the first", shrunk, limit),
        evidence=(
            Line("norm of the weights over the first, median of the matrices", "weight_norm", case.steps, line, limit),
            Line(loss.name, loss.name, loss.steps, loss.values),
        ),
        remedies=_DECAY,
        excluded=("Not a decay that does no harm: the loss stays high.",),
        view="overview",
    )


def _too_small(case: Case, loss: Course, rest: float, limit: float) -> list[Finding]:
    held_out = course(case.curve("val_loss"))
    if held_out is None or loss.learned < _CHANCE or held_out.end > loss.end * (1 + _GAP) + 2 * loss.noise:
        return []
    late = float(loss.steps[-1] - _LATE * (loss.steps[-1] - loss.steps[0]))
    return [
        Finding(
            rule="underfitting",
            severity=Severity.INFO,
            layers=(),
            first_step=late,
            last_step=float(loss.steps[-1]),
            message=f"{loss.name} has stayed at {number(loss.end)} since step {late:,.0f}, {rest:.0%} of its first "
            f"value, and {held_out.name} at {number(held_out.end)}: it fits neither.",
            beyond=Beyond("loss over its first value", rest, limit),
            evidence=(
                Line(loss.name, loss.name, loss.steps, loss.values, limit * loss.start),
                Line(held_out.name, held_out.name, held_out.steps, held_out.values),
            ),
            remedies=_LARGER,
            excluded=("Not overfitting: the validation loss is about the same.",),
            view="overview",
        )
    ]


RULE = Rule(
    id="underfitting",
    title="Underfitting",
    needs=(
        needs.statistics("update_ratio", "weight_norm"),
        needs.records(20),
        needs.curve("train_loss", "training loss was logged", 20),
    ),
    thresholds=(
        Threshold("rest", 0.4, "loss over its first value", 0.01, 1.0),
        Threshold("shrunk", 0.7, "norm of the weights over the first", 0.0, 1.0),
    ),
    find=find,
)
