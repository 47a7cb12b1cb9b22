"""`loss_spike`: single moments at which loss and gradient leap far above what is usual."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.series import logarithm
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case, Curve
from tb_netviz_plugin.diagnosis.causes import DATA
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.harm import dead_layers
from tb_netviz_plugin.diagnosis.leaps import AT_ONCE, RISEN, leap_of_data, steps_were_ordinary
from tb_netviz_plugin.diagnosis.movement import set_from_outside, total
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.short_batches import of_short_batches
from tb_netviz_plugin.diagnosis.stretches import PERSISTING, smooth

_AROUND = 31
"""Records before it that a spike stands out from."""
_NORMAL = 1.4826
_WILD = 3.0
"""Deviations by which the logarithm of the gradient's norm leaps with the loss."""
_LASTING, _HUGE = 0.2, 3.0
"""Shares of what a loss had gained in all that a leap loses where it matters: one with after-effects, and any."""
_AFTER = 0.02
"""Share of the records over which a leap has after-effects; what is over at once was one batch, and did no harm."""
_ABOVE_NOISE = 5.0
"""Deviations of single batches that a loss has to have fallen by."""
_FEW = 3
"""Moments at most that are events; more of them are in the nature of single samples."""
_TRANSIENT = 0.5
"""Share of its height that a leap keeps at most, later on: else it is a change of the data, or of the task."""
_LEAST = 0.1
"""Share of the usual loss that a leap is above."""
_LATER = 10
_BEYOND = 9.0
"""Factor over its first value from which on a leap matters however short it is, and however many there are: no network
is that wrong by itself."""
_FIRST = 10
"""Values that tell how high it began where they scatter."""
_AS_HIGH = 0.5
"""Share of such a leap from which on an earlier one is of the same kind, however early."""
_STAYS = 0.1
"""Share of the records over which a loss has to be learned down again where it is a new task, and not a bad batch."""
_RAISED = 1.5
"""Factor of the learning rate from one record to those before, where the schedule is what makes the loss leap."""


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find moments at which the loss leaps: those that do harm, else those of batches that are too short."""
    found = _leaps(case, limits)
    if any(one.severity > Severity.INFO for one in found):
        return found
    short = of_short_batches(case, "loss_spike")
    return found if short is None else [short]


def _leaps(case: Case, limits: Limits) -> list[Finding]:
    """Find records at which both the loss and the gradient stand far out from those around them."""
    loss = case.curve("train_loss")
    if loss is None or loss.steps.size < _AROUND:
        return []
    out = _outliers(loss.high, loss.values, limits["deviations"])
    heights = loss.high - _before(_filled(loss.values))
    steps, gradient = _gradient(case)
    written = _written(case)
    wild = np.concatenate([steps[_outliers(logarithm(gradient), logarithm(gradient), _WILD)], written])
    at = [
        index
        for index in np.flatnonzero(out).tolist()
        if _is_spike(case, loss, heights, wild, (_begins(out, index), index))
    ]
    if not at:
        return []
    worst = max(at, key=lambda index: heights[index])
    usual = float(_before(_filled(loss.values))[worst])
    step = float(loss.steps[worst])
    recovery = _recovery(loss, worst, usual)
    moments = _moments(at)
    begun, reach = float(loss.steps[_begins(out, worst)]), AT_ONCE * float(np.median(np.diff(case.steps)))
    if not _recovers(case, usual) and dead_layers(case, list(range(len(case.network.layers))), begun - 1):
        return []  # It did not pass: units died of it, and that is what is to be told.
    near = bool(((written >= begun - reach) & (written <= step + reach)).any())
    overwritten = near and written.size <= _FEW
    # Weights that are set again and again are so on purpose, as those of meta-learning before each task.
    changed = not overwritten if near else _data_changed(case, loss, worst, usual, recovery)
    beyond = heights[worst] >= _BEYOND * _start(case) > 0
    return [
        Finding(
            rule="loss_spike",
            severity=Severity.INFO
            if changed or (moments > _FEW and not beyond)
            else _severity(case, loss, worst, overwritten or recovery > max(AT_ONCE, _AFTER * len(out))),
            layers=(),
            first_step=float(loss.steps[_first(loss, worst, _begins(out, at[0]), beyond=beyond)]),
            last_step=float(loss.steps[at[-1]]),
            message=f"{loss.name} leapt to {number(float(loss.high[worst]))} at step {step:,.0f}, from {number(usual)} "
            f"around it, {_beside(overwritten)}{_others(moments)}; it took {recovery:,} records to come down.",
            beyond=Beyond("deviations above the usual", _deviations(loss, worst), limits["deviations"]),
            evidence=(
                Line(loss.name, loss.name, loss.steps, loss.high),
                Line("gradient norm of all layers", "gradient_norm", steps, gradient),
            ),
            subject=DATA if beyond and _is_of_data(case, begun) else "",
            remedies=_remedies(step, changed=changed, overwritten=overwritten),
            excluded=(
                "Not the scatter of single batches: loss and gradient leapt far beyond that of the records around.",
                "Not a step of the schedule, and not a change of the data that stays.",
                *(("Not the weights: the step before it was no larger than usual.",) if changed else ()),
            ),
            view="overview",
        )
    ]


def _is_of_data(case: Case, begun: float) -> bool:
    """Whether the leap that began at a step is one of the data, and none of the weights."""
    course = training(case)
    leap = None if course is None else leap_of_data(case, course)
    return leap is not None and leap.step == begun


def _written(case: Case) -> Floats:
    """Return the steps before which something else than updates wrote the weights."""
    return case.steps[set_from_outside(case, range(len(case.network.layers)))]


def _beside(overwritten: bool) -> str:
    return (
        "as weights were overwritten that no step of an optimizer wrote" if overwritten else "and the gradient with it"
    )


def _severity(case: Case, loss: Curve, worst: int, lasts: bool) -> Severity:
    """Return how bad it is to lose this much of all that was gained, or to leap so far beyond the beginning."""
    height = float(loss.high[worst] - _before(_filled(loss.values))[worst])
    lost = height / max(_gain(case), 1e-12)
    grave = (lasts and lost >= _LASTING) or lost >= _HUGE or height >= _BEYOND * _start(case) > 0
    return Severity.WARNING if grave else Severity.INFO


def _start(case: Case) -> float:
    """Return how high the loss began; of one that began low by chance, or before much was asked, how high it is."""
    loss = training(case)
    if loss is None:
        return np.nan
    return max(loss.start, float(np.median(loss.values)), float(np.median(loss.values[:_FIRST])))


def _data_changed(case: Case, loss: Curve, worst: int, usual: float, recovery: int) -> bool:
    """Whether the network was shown something new, as in a curriculum, and learned it: no step brought the leap about.

    It then is no worse than at the beginning, or takes long to come down.
    """
    values = _filled(loss.values)
    low = np.flatnonzero(values[:worst] <= usual + RISEN * (values[worst] - usual))
    onset = float(loss.steps[low[-1] + 1 if low.size else worst])
    ordinary = steps_were_ordinary(case, onset)
    return bool(ordinary and (loss.high[worst] <= _start(case) or recovery >= _STAYS * len(values)))


def _gain(case: Case) -> float:
    """Return how far the loss fell; of one that hardly did, as in fine-tuning, no leap can take much away."""
    loss = training(case)
    return loss.gain if loss and loss.gain > _ABOVE_NOISE * loss.noise else np.inf


def _gradient(case: Case) -> tuple[Floats, Floats]:
    """Return steps, and the highest norm of all layers together in each of their records; before it was clipped."""
    before = case.curve("gradient_norm_before")
    if before is not None and len(case.network.models) == 1 and _covers(before, case.steps):
        return before.steps, before.high
    derived = case.statistic("gradient_norm", band=True)
    return case.steps, total(np.where(derived.states == State.NUMBER, derived.high, np.nan))


def _covers(curve: Curve, steps: Floats) -> bool:
    """Whether a curve is known all the time, from the first steps on."""
    known = curve.steps[np.isfinite(curve.high)]
    return len(known) >= max(_AROUND, len(steps) // 2) and bool(known[0] <= steps[min(_AROUND, len(steps) - 1)])


def _filled(values: Floats) -> Floats:
    """Return `values` with each gap closed by what stood before it."""
    known = np.isfinite(values)
    if known.all() or not known.any():
        return np.nan_to_num(values)
    places = np.maximum.accumulate(np.where(known, np.arange(len(values)), np.argmax(known)))
    filled: Floats = values[places]
    return filled


def _outliers(high: Floats, values: Floats, deviations: float) -> Bools:
    """Return which of T records stand this many deviations of those before them above their median."""
    if len(values) < _AROUND:
        return np.zeros(len(values), np.bool_)
    level, spread = _usual(_filled(values), _filled(high))
    return np.asarray(np.isfinite(high) & (high - level > deviations * spread))


def _usual(values: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return the median of the records before each, and how far the highest values there lie from it."""
    level = _before(values)
    away = np.abs(high - smooth(values, _AROUND))
    return level, _NORMAL * _before(away) + 1e-3 * np.abs(level) + 1e-12


def _before(values: Floats) -> Floats:
    """Return the median of the records before each, [T]; of the first ones that of all of these."""
    middle = smooth(values, _AROUND)
    return np.concatenate([middle[: _AROUND // 2 + 1], middle[: -_AROUND // 2]])[: len(values)]


def _deviations(loss: Curve, index: int) -> float:
    level, spread = _usual(_filled(loss.values), _filled(loss.high))
    return float((loss.high[index] - level[index]) / spread[index])


def _is_spike(case: Case, loss: Curve, heights: Floats, wild: Floats, place: tuple[int, int]) -> bool:
    """Whether the gradient leapt too since a leap began, it passed, and no schedule is behind it."""
    first, index = place
    if index < 2 * PERSISTING or not wild.size:
        return False
    before, after = loss.steps[max(0, first - AT_ONCE)], loss.steps[min(len(loss.steps) - 1, index + AT_ONCE)]
    together = bool(((wild >= before) & (wild <= after)).any())
    usual = float(np.median(_filled(loss.values)[max(0, index - 3 * PERSISTING) : index - 1]))
    later = _filled(loss.values)[index + _LATER : index + _LATER + PERSISTING]
    leap = float(loss.high[index]) - usual
    passed = later.size > 0 and float(np.median(later)) - usual <= _TRANSIENT * leap and _recovers(case, usual)
    thrown = leap >= _BEYOND * _start(case) > 0 and _comes_down(case, usual, leap)
    seen = leap > _LEAST * abs(usual) and heights[index] > 0
    at_once = thrown and steps_were_ordinary(case, float(loss.steps[first]))
    return together and (passed or at_once) and seen and not _raised(case, float(loss.steps[index]))


def _recovers(case: Case, usual: float) -> bool:
    """Whether the loss ends near what it was before, so that a leap was no more than that."""
    loss = training(case)
    return loss is not None and loss.end - usual <= _TRANSIENT * max(loss.start - usual, 0.0)


def _comes_down(case: Case, usual: float, leap: float) -> bool:
    """Whether the loss ends far below a leap so high that it can't be the network's, whatever it has learned since."""
    loss = training(case)
    return loss is not None and loss.end - usual <= _TRANSIENT * leap


def _raised(case: Case, step: float) -> bool:
    for curve in case.curves("learning_rate"):
        around = np.flatnonzero(curve.steps <= step)[-4 * PERSISTING :]
        rates = curve.values[around]
        if around.size and rates[-1] > _RAISED * np.nanmin(rates):
            return True
    return False


def _recovery(loss: Curve, index: int, usual: float) -> int:
    """Return how many records it took for the loss to come halfway down."""
    half = usual + (float(loss.high[index]) - usual) * 0.1
    below = np.flatnonzero(_filled(loss.values)[index:] <= half)
    return int(below[0]) if below.size else len(loss.steps) - index


def _begins(out: Bools, index: int) -> int:
    """Return the first of the records in a row that stand out, of which `index` is one."""
    within = np.flatnonzero(~out[:index])
    return int(within[-1]) + 1 if within.size else 0


def _first(loss: Curve, worst: int, seen: int, *, beyond: bool) -> int:
    """Return the first record of such leaps; of those beyond all else also one before there is anything to compare."""
    high = np.flatnonzero(loss.high >= _AS_HIGH * loss.high[worst]) if beyond else np.zeros(0, np.int64)
    return min(seen, int(high[0])) if high.size else seen


def _moments(at: list[int]) -> int:
    return 1 + int((np.diff(at) > PERSISTING).sum())


def _others(moments: int) -> str:
    return "" if moments == 1 else f", the highest of {moments:,} such moments"


def _remedies(step: float, *, changed: bool, overwritten: bool) -> tuple[Remedy, ...]:
    loaded = Remedy(
        f"See what is loaded or initialised at step {step:,.0f}, and whether all of it was found.",
        "missing, unexpected = model.load_state_dict(state, strict=False)\nprint(missing, unexpected)",
    )
    meant = Remedy(f"If it is shown something new from step {step:,.0f} on, on purpose, leave it: it learns that.")
    return (
        *((loaded,) if overwritten else ()),
        *((meant,) if changed else ()),
        Remedy(f"Look at the batch of step {step:,.0f}: an outlier, a wrong label, an input that was not normalised."),
        Remedy(
            "Clip the gradient, so that a single batch can't undo many.",
            "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)",
        ),
        Remedy(
            "If it is at the beginning, warm the learning rate up.",
            "torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=500)",
        ),
    )


RULE = Rule(
    id="loss_spike",
    title="Loss spike",
    needs=(
        needs.statistics("gradient_norm"),
        needs.records(_AROUND),
        needs.curve("train_loss", "training loss was logged", _AROUND),
    ),
    thresholds=(Threshold("deviations", 12.0, "deviations above the usual", 3.0, 1e6),),
    find=find,
)
