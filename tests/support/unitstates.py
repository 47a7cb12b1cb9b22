"""The states of units by their definition in docs/statistics.md, one unit and one record after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Number = float


@dataclass(frozen=True, slots=True)
class Look:
    """What one record says of one unit, and of the activation that it belongs to.

    Attributes:
        first_step: First step of the record.
        samples: Samples whose largest value was read, or None where the activation has no record.
        counted: Samples that all else is of.
        fired: Share of the counted samples in which the unit fired.
        std: Deviation of its values.
        largest: Its largest value.
        saturated: Share of its values where the function is flat.
        spread: Deviations of all units of the activation.
    """

    first_step: int
    samples: float | None
    counted: float
    fired: float
    std: float
    largest: float
    saturated: float
    spread: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """State of a unit at a record, and since which step it is what it is."""

    state: str
    since: int | None = None


def follow(
    looks: Sequence[Look], response: str, *, frozen: bool = False, samples: int = 1000, windows: int = 2
) -> list[Verdict]:
    """Return what a unit is at each record."""
    return [_at(looks[: end + 1], response, frozen, samples, windows) for end in range(len(looks))]


def _at(looks: Sequence[Look], response: str, frozen: bool, samples: int, windows: int) -> Verdict:
    now = looks[-1]
    if now.samples == 0 and not any(look.samples for look in looks):
        return Verdict("never_run")
    if not now.samples or not _known(now):
        return Verdict("not_recorded")
    ran = [look for look in looks if look.samples]
    silent = _dead_stretch(ran, response, samples, windows)
    flat = _stretch(ran, lambda look: _flat(look, response))
    if silent:
        return Verdict("frozen" if frozen else "dead", silent[0].first_step)
    if _long(flat, samples, windows):
        return Verdict("frozen" if frozen else "saturated", flat[0].first_step)
    return Verdict(_without_a_stretch(ran, response, frozen, samples, windows))


def _without_a_stretch(ran: Sequence[Look], response: str, frozen: bool, samples: int, windows: int) -> str:
    now = ran[-1]
    if _silent(now, response):
        return "silent"
    if not frozen and any(_was_dead(ran[:end], response, samples, windows) for end in range(1, len(ran))):
        return "revived"
    return "sparse" if response in ("rectifier", "smooth") and now.largest > 0 and _rare(ran, samples) else "alive"


def _rare(ran: Sequence[Look], samples: int) -> bool:
    counted = fired = 0.0
    for look in reversed(ran):
        counted += look.counted
        fired += _number(look.fired) * look.counted
        if counted >= samples:
            return fired < 0.01 * counted
    return False


def _dead_stretch(ran: Sequence[Look], response: str, samples: int, windows: int) -> list[Look]:
    """Return the silent stretch at the end if it is one of death."""
    stretch = _stretch(ran, lambda look: _silent(look, response))
    if not _long(stretch, samples, windows):
        return []
    before = ran[: len(ran) - len(stretch)]
    held, counted = sum(look.samples or 0 for look in before), sum(look.counted for look in before)
    by_records = sum(bool(_known(look) and look.largest > 0) for look in before) / max(held, 1)
    by_samples = sum(_number(look.fired) * look.counted for look in before) / max(counted, 1)
    rate = max(by_records, by_samples)
    if response == "rectifier" and rate > 0 and sum(look.samples or 0 for look in stretch) < -math.log(1e-3) / rate:
        return []
    return stretch


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _was_dead(ran: Sequence[Look], response: str, samples: int, windows: int) -> bool:
    return bool(_dead_stretch(ran, response, samples, windows))


def _stretch(ran: Sequence[Look], holds: Callable[[Look], bool]) -> list[Look]:
    stretch: list[Look] = []
    for look in reversed(ran):
        if not holds(look):
            break
        stretch.insert(0, look)
    return stretch


def _long(stretch: Sequence[Look], samples: int, windows: int) -> bool:
    return len(stretch) >= windows and sum(look.samples or 0 for look in stretch) >= samples


def _known(look: Look) -> bool:
    return not math.isnan(look.largest) and look.largest > -math.inf


def _silent(look: Look, response: str) -> bool:
    if not _known(look):
        return False
    if response == "rectifier":
        return look.largest <= 0
    if response != "smooth" or look.counted < 2:
        return False
    finite = [std for std in look.spread if math.isfinite(std)]
    if not finite or math.isnan(look.std):
        return False
    scale = math.sqrt(sum(std**2 for std in finite) / len(finite))
    if scale == 0:
        return look.std == 0
    return look.std <= 1e-3 * scale and look.largest <= 1e-3 * scale


def _flat(look: Look, response: str) -> bool:
    return _known(look) and response in ("rectifier", "bounded", "softmax") and look.saturated >= 0.95
