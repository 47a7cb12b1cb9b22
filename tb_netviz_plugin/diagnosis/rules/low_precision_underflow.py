"""`low_precision_underflow`: updates or gradients that are too small for the format that they are stored in."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Bools
from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.wording import number, subject
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import RESOLUTION, dtype_of, matrices, rate_of_group
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold

_SMALLEST = {"float16": 2.0**-24}
"""Smallest magnitude above zero of formats whose range is short."""
_MOST = 0.5
"""Share of the low-precision matrices that have to show it."""
_MORE, _LEARNED = 3.0, 0.3
"""Factor by which updates may be larger where little is learned, and the share by which the loss falls then."""
_EARLY = 0.5
"""Share of the run in which updates are judged: later on a schedule may well make them small."""
_NEVER, _FEWEST = 0.9, 10
"""Share of the records with a gradient in which a parameter does not move, and how many of these there are at least."""
_SAME = 1e-6
"""Share of a norm by which it may have changed from the first record to the last where nothing moved."""
_EVERY = 0.99
"""Share of zeros in the gradients of what is only computed in float16: a loss scale would let some of them through."""
_SLIGHT = 0.01
"""Share of the norm that the gradient of a parameter usually has, above which a step asks for something."""
_NEAR = 16.0
"""Factor over the smallest magnitude within which gradients lie that are cut off there."""
_NORMAL = {"float16": 2.0**-14}
"""Magnitude below which the digits of these formats dwindle, down to none: there they are multiples of the smallest."""
_MOSTLY = 0.8
"""Share of the records with a gradient in which it is so."""
_WHOLE = 1e-3
"""By how much the largest element of a gradient, in such multiples, may miss a whole number: a loss scale that was
divided out again leaves finer ones.
"""

_MASTER = (
    Remedy(
        "Keep the weights in float32, and compute in 16 bits only.",
        'model.float()\nwith torch.autocast("cuda", dtype=torch.bfloat16):\n    loss = criterion(model(x), y)',
    ),
    Remedy("Raise the learning rate, if the steps are small in float32, too."),
)
_SCALE = (
    Remedy(
        "Scale the loss, so that gradients keep clear of the smallest numbers.",
        "scaler = torch.amp.GradScaler()\nscaler.scale(loss).backward()\nscaler.step(optimizer)\nscaler.update()",
    ),
    Remedy("Take bfloat16, which has the range of float32.", 'torch.autocast("cuda", dtype=torch.bfloat16)'),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find models in few bits whose updates are lost in rounding, or whose gradients fall below the least number."""
    findings: list[Finding] = []
    for layers in case.layers_of_models():
        found = (
            _updates(case, layers, limits["updates"])
            or _gradients(case, layers, limits["zeros"])
            or _swallowed(case, layers)
        )
        findings += [found] if found else []
    return findings


def _updates(case: Case, layers: list[int], limit: float) -> Finding | None:
    """Find matrices that a step asks to change by far less than their format resolves."""
    rows = [row for row in matrices(case, layers) if dtype_of(case, row) in RESOLUTION]
    early = case.steps <= case.steps[0] + _EARLY * (case.steps[-1] - case.steps[0])
    ratios = case.of_parameters("update_ratio")[rows][:, early]
    asked = np.nan_to_num(case.column("grad_norm")[rows][:, early]) > 0
    typical = nanmedian(np.where(asked, ratios, np.nan).T)
    resolution = np.array([RESOLUTION[dtype_of(case, row)] for row in rows])
    loss = training(case)
    limit *= _MORE if loss is not None and loss.has_scale and loss.learned < _LEARNED else 1.0
    lost = np.flatnonzero(typical < limit * resolution)
    if not rows or lost.size < _MOST * len(rows):
        return None
    lost = lost[np.argsort(typical[lost], kind="stable")]
    blamed = list(dict.fromkeys(case.network.parameters[rows[at]].layer for at in lost))
    worst = int(lost[0])
    name, least = dtype_of(case, rows[worst]), float(resolution[worst])
    return Finding(
        rule="low_precision_underflow",
        severity=Severity.CRITICAL,
        layers=tuple(blamed),
        first_step=float(case.steps[0]),
        last_step=float(case.steps[-1]),
        message=f"A step changes the weights of {subject(case.network, sorted(blamed))} by "
        f"{number(float(typical[worst]))} of their norm or little more; {name} resolves {number(least)}: "
        f"most weights stay as they are.",
        beyond=Beyond("norm of an update over that of the weights", float(typical[worst]), limit * least),
        evidence=(
            Line(
                f"{case.network.parameters[rows[worst]].name}: update : weight",
                "update_ratio",
                case.steps,
                case.of_parameters("update_ratio")[rows[worst]],
                limit * least,
            ),
        ),
        remedies=_MASTER,
        excluded=(
            "Not a layer without a gradient: only records with one are counted.",
            "Not the end of a schedule: the first half of the run is judged.",
        ),
    )


def _swallowed(case: Case, layers: list[int]) -> Finding | None:
    """Find parameters of few bits that never move, though they have a gradient: each of their steps is rounded away."""
    parameters = case.network.parameters
    rows = [
        row
        for layer in layers
        for row in case.network.layers[layer].parameters
        if dtype_of(case, row) in RESOLUTION and not parameters[row].parameter.frozen and _steps(case, row)
    ]
    gradients = np.nan_to_num(case.column("grad_norm")[rows])
    # A bias in front of a normalisation has a gradient of nothing but rounding, and may well stand.
    asked = gradients > _SLIGHT * (np.median(gradients, axis=0) if rows else 0.0)
    stands = asked & (case.column("update_norm")[rows] == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(asked.sum(axis=1) >= _FEWEST, stands.sum(axis=1) / asked.sum(axis=1), 0.0)
    norms = case.column("weight_norm")[rows]
    stays = np.abs(norms[:, -1:] - norms[:, :1])[:, 0] <= _SAME * norms[:, -1] if rows else np.zeros(0, np.bool_)
    lost = [
        (row, float(share))
        for row, share, same in zip(rows, shares, stays, strict=True)
        if share >= _NEVER and same  # An optimizer may add steps up by itself until they show.
    ]
    if not lost:
        return None
    row, share = lost[0]
    name, dtype = parameters[row].name, dtype_of(case, row)
    more = f", and {len(lost) - 1:,} more parameters neither" if len(lost) > 1 else ""
    return Finding(
        rule="low_precision_underflow",
        severity=Severity.WARNING,
        layers=tuple(dict.fromkeys(parameters[one].layer for one, _ in lost)),
        first_step=float(case.steps[0]),
        last_step=float(case.steps[-1]),
        message=f"{name} does not move in {share:.0%} of the steps, though it has a gradient and a learning rate above "
        f"0{more}: {dtype} rounds away every change below {number(RESOLUTION[dtype])} of a weight.",
        beyond=Beyond("share of the steps in which it does not move", share, _NEVER),
        evidence=(
            Line(f"{name}: norm of its updates", "update_ratio", case.steps, case.column("update_norm")[row], 0.0),
            Line(f"{name}: norm of its gradient", "gradient_norm", case.steps, case.column("grad_norm")[row]),
        ),
        remedies=_MASTER,
        excluded=("Not frozen, and not a learning rate of 0.", "Not a layer without a gradient."),
    )


def _steps(case: Case, row: int) -> bool:
    """Whether an optimizer holds a parameter, with a learning rate above 0 at some time."""
    group = case.network.parameters[row].group
    if group is None:
        return False
    curve = rate_of_group(case, group)
    highest = np.nanmax(curve.values, initial=0.0) if curve is not None else case.network.groups[group][1].learning_rate
    return bool(highest > 0)


def _gradients(case: Case, layers: list[int], zeros: float) -> Finding | None:
    """Find layers most of whose gradient is zero, and the rest next to the smallest number of the format."""
    computed = {row.layer for row in case.network.activations if row.activation.dtype in _SMALLEST}
    held = [
        layer
        for layer in layers
        if layer in computed or any(dtype_of(case, row) in _SMALLEST for row in case.network.layers[layer].parameters)
    ]
    shares, means = case.numbers("gradient_zero_fraction")[held], case.numbers("gradient_mean_abs")[held]
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = means / (1 - shares)
    typical, share = nanmedian(rest.T), nanmedian(shares.T)
    smallest = _SMALLEST["float16"]
    cut = np.flatnonzero((share >= zeros) & (~(typical > _NEAR * smallest) | _on_the_grid(case, held)))
    stored = any(dtype_of(case, row) in _SMALLEST for layer in held for row in case.network.layers[layer].parameters)
    # Of what is only computed in float16, a layer or two without a gradient may have died of something else.
    if not stored:
        cut = cut[share[cut] >= _EVERY]
    if not cut.size or (not stored and cut.size < _MOST * len(held)):
        return None
    blamed = [held[at] for at in cut[np.argsort(-share[cut], kind="stable")]]
    worst = held.index(blamed[0])
    return Finding(
        rule="low_precision_underflow",
        severity=Severity.CRITICAL if len(blamed) >= len(held) / 2 else Severity.WARNING,
        layers=tuple(blamed),
        first_step=float(case.steps[0]),
        last_step=float(case.steps[-1]),
        message=f"{share[worst]:.0%} of the gradient of {subject(case.network, sorted(blamed))} are zero, and the rest "
        f"is near {number(smallest)}, the smallest number of float16: it falls below the format's range.",
        beyond=Beyond("share of zeros in the gradient", float(share[worst]), zeros),
        evidence=(Line("share of zeros in the gradient", "gradient_zero_fraction", case.steps, shares[worst], zeros),),
        remedies=_SCALE,
        excluded=("Not the zeros of a rectifier, beside which the rest is of any size.",),
    )


def _on_the_grid(case: Case, layers: list[int]) -> Bools:
    """Return of which layers the largest element is a multiple of the smallest magnitude, and below all normal ones."""
    largest = case.statistic("gradient_max_abs", band=True).high[layers]
    asked = np.isfinite(largest) & (largest > 0)
    multiples = np.where(asked, largest, 0.0) / _SMALLEST["float16"]
    known = asked & (np.abs(multiples - np.round(multiples)) <= _WHOLE)
    low = known & (largest < _NORMAL["float16"])
    return np.asarray((low.sum(axis=1) >= _MOSTLY * asked.sum(axis=1)) & asked.any(axis=1))


RULE = Rule(
    id="low_precision_underflow",
    title="Lost in low precision",
    needs=(
        needs.statistics("update_ratio", "gradient_zero_fraction", "gradient_mean_abs", "gradient_max_abs"),
        needs.records(10),
    ),
    thresholds=(
        Threshold("updates", 0.1, "update over what the format resolves", 1e-4, 1.0),
        Threshold("zeros", 0.5, "share of zeros in a gradient", 0.01, 1.0),
    ),
    find=find,
)
