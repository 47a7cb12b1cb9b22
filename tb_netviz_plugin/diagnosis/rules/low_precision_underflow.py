"""`low_precision_underflow`: updates or gradients that are too small for the format that they are stored in."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.wording import number, subject
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import matrices
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold

_RESOLUTION = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float8_e4m3fn": 2.0**-4, "float8_e5m2": 2.0**-3}
"""Half the gap between 1 and the next number: a weight takes on no change that is smaller."""
_SMALLEST = {"float16": 2.0**-24}
"""Smallest magnitude above zero of formats whose range is short."""
_MOST = 0.5
"""Share of the low-precision matrices that have to show it."""
_EARLY = 0.5
"""Share of the run in which updates are judged: later on a schedule may well make them small."""
_NEAR = 16.0
"""Factor over the smallest magnitude within which gradients lie that are cut off there."""

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
        found = _updates(case, layers, limits["updates"]) or _gradients(case, layers, limits["zeros"])
        findings += [found] if found else []
    return findings


def _dtype(case: Case, row: int) -> str:
    return case.network.parameters[row].parameter.dtype.removeprefix("torch.")


def _updates(case: Case, layers: list[int], limit: float) -> Finding | None:
    """Find matrices that a step asks to change by far less than their format resolves."""
    rows = [row for row in matrices(case, layers) if _dtype(case, row) in _RESOLUTION]
    early = case.steps <= case.steps[0] + _EARLY * (case.steps[-1] - case.steps[0])
    ratios = case.of_parameters("update_ratio")[rows][:, early]
    asked = np.nan_to_num(case.column("grad_norm")[rows][:, early]) > 0
    typical = nanmedian(np.where(asked, ratios, np.nan).T)
    resolution = np.array([_RESOLUTION[_dtype(case, row)] for row in rows])
    lost = np.flatnonzero(typical < limit * resolution)
    if not rows or lost.size < _MOST * len(rows):
        return None
    lost = lost[np.argsort(typical[lost], kind="stable")]
    blamed = list(dict.fromkeys(case.network.parameters[rows[at]].layer for at in lost))
    worst = int(lost[0])
    name, least = _dtype(case, rows[worst]), float(resolution[worst])
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


def _gradients(case: Case, layers: list[int], zeros: float) -> Finding | None:
    """Find layers most of whose gradient is zero, and the rest next to the smallest number of the format."""
    held = [
        layer
        for layer in layers
        if any(_dtype(case, row) in _SMALLEST for row in case.network.layers[layer].parameters)
    ]
    shares, means = case.numbers("gradient_zero_fraction")[held], case.numbers("gradient_mean_abs")[held]
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = means / (1 - shares)
    typical, share = nanmedian(rest.T), nanmedian(shares.T)
    smallest = _SMALLEST["float16"]
    cut = np.flatnonzero((share >= zeros) & ~(typical > _NEAR * smallest))
    if not held or not cut.size:
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


RULE = Rule(
    id="low_precision_underflow",
    title="Lost in low precision",
    needs=(
        needs.statistics("update_ratio", "gradient_zero_fraction", "gradient_mean_abs"),
        needs.records(10),
    ),
    thresholds=(
        Threshold("updates", 0.1, "update over what the format resolves", 1e-4, 1.0),
        Threshold("zeros", 0.5, "share of zeros in a gradient", 0.01, 1.0),
    ),
    find=find,
)
