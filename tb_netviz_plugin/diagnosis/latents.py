"""Latent means of variational autoencoders that no longer tell samples apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from tb_netviz_plugin.analysis.activations import ActivationRow
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import matrices
from tb_netviz_plugin.diagnosis.stretches import lasting, to_the_end
from tb_netviz_plugin.diagnosis.variety import Variety, varieties

_ALIKE = 0.15
"""Deviation of latent means over samples, over that of the noise, below which they say nothing beside it."""
_USED = 0.3
"""Deviation of a single unit's mean, over that of the noise, from which on that one is used, whatever others are."""
_HALF_OF_IT = 0.5
"""Share of the run over which that lasts."""
_LONG_ENOUGH, _LAST_OF_IT = 1000, 0.4
"""Steps after which it is no beginning any more, and the last part of the run over which the loss stands, else."""
_FELL, _STAYS, _FEWEST_STEPS, _WITHOUT = 4.0, 1.25, 150, 0.2
"""Else the factor by which the deviation of the means fell, and by which it may rise again since; steps after which
that tells; and the share by which the loss falls without them, if there is one."""
_NOTHING, _PRESSED, _KEPT = 0.05, 4.0, 0.5
"""Size of the outputs of two layers side by side, in the later half of the run, the factor by which it fell, and share
of their weights' norms that is left, where a divergence presses both to zero: the mean and the logarithm of a variance,
whatever they are called."""
_MEAN = re.compile(r"(^|[._])(fc_|to_|z_|latent_)?(mu|mean|means|loc)(_?(head|layer|proj))?$", re.IGNORECASE)
_LOG_VARIANCE = re.compile(r"log_?(var(iance)?|std|sigma|scale)s?$", re.IGNORECASE)
_LOGARITHM = re.compile(r"log_?((?P<var>var(iance)?)|std|sigma|scale)s?(_?(head|layer|proj))?$", re.IGNORECASE)
_SPREAD = re.compile(
    r"(^|[._])(fc_|to_|z_|latent_)?(log_?)?(var(iance)?|std|sigma|scale|spread|deviation)s?(_?(head|layer|proj))?$",
    re.IGNORECASE,
)

_RECURRENT = ("RNN", "LSTM", "GRU")

_REMEDIES = (
    Remedy(
        "Let the divergence count less, and more only by and by.",
        "weight = min(1.0, step / 5000)\nloss = reconstruction + weight * divergence",
    ),
    Remedy(
        "Leave each latent unit some divergence for free.",
        "divergence = divergence_of_each_unit.clamp(min=0.1).sum()",
    ),
    Remedy("Sum both terms in the same way: over all of a sample's values, or the mean over them."),
    Remedy("Make the decoder weaker, so that it needs what the latent units say."),
)


def collapsed_posterior(case: Case, model: str) -> Finding | None:
    """Find the latent means of a variational autoencoder that no longer tell samples apart."""
    pair = next(_pairs(case, model), None)
    if pair is None:
        return None
    look = next((look for look in varieties(case, model, fewest=1) if look.row.layer == pair[0]), None)
    if look is None:
        return None
    noise = _noise(case, look, pair[1])
    stretch = to_the_end(look.deviation <= _ALIKE * noise, np.isfinite(look.deviation))
    if stretch is None or not lasting(stretch, look.steps, _HALF_OF_IT):
        return None
    usual = float(np.median(noise[stretch.first :]))
    if _most_used(case, look, stretch.first) >= _USED * usual:
        return None
    since, deviation = float(look.steps[stretch.first]), float(np.nanmedian(look.deviation[stretch.first :]))
    label, loss = look.row.label, training(case)
    settled = loss is not None and loss.stands(_LAST_OF_IT)
    lasted = look.steps[-1] - look.steps[0] >= _LONG_ENOUGH
    pressed = _is_pressed(look, stretch.first) and (loss is None or loss.learned >= _WITHOUT)
    return Finding(
        rule="representation_collapse",
        severity=Severity.WARNING if settled or lasted or pressed else Severity.INFO,  # All begin like that.
        layers=pair,
        first_step=since,
        last_step=float(look.steps[-1]),
        message=f"The latent means of {label} are the same for all samples since step {since:,.0f}: they deviate by "
        f"{number(deviation)}, where the noise that is added has about {number(usual)}. What is decoded no longer "
        "hangs on the input (posterior collapse).",
        beyond=Beyond("deviation of the latent means over samples", deviation, _ALIKE * usual),
        evidence=(Line(f"{label}: deviation over samples", "units", look.steps, look.deviation, _ALIKE * usual),),
        remedies=_REMEDIES,
        excluded=(
            "Not single latent units that are left unused: it is so of all of them together.",
            *(("Not a beginning: the loss stands.",) if settled else ()),
            *(("Not means that began small: they differed more at first.",) if pressed else ()),
        ),
        view="units",
    )


def _pairs(case: Case, model: str) -> Iterator[tuple[int, int]]:
    """Yield two layers of one shape in front of others: a mean, and what tells of the variance.

    They are known by their names, or since they lie side by side and what both put out came to be next to zero.
    """
    held = {
        row.layer: row
        for row in case.network.activations
        if row.model == model and row.layer is not None and not row.function
    }
    yield from _by_name(case, held)
    looks = {look.row.layer: look for look in varieties(case, model, fewest=1) if not look.row.function}
    for pair in _side_by_side(case, held):
        if all(one in looks and _is_nothing(case, one, looks[one]) for one in pair):
            yield pair


def _by_name(case: Case, held: dict[int, ActivationRow]) -> Iterator[tuple[int, int]]:
    last = max(held, default=-1)
    names = {layer: case.network.layers[layer].name for layer in held if layer < last}
    for mean in (layer for layer, name in names.items() if _MEAN.search(name)):
        for other in (layer for layer, name in names.items() if layer != mean and _SPREAD.search(name)):
            beside = names[mean].rpartition(".")[0] == names[other].rpartition(".")[0]
            alike = held[mean].activation.shape == held[other].activation.shape
            if beside and alike and _is_decoded(case, mean, other):
                yield mean, other


def _side_by_side(case: Case, held: dict[int, ActivationRow]) -> Iterator[tuple[int, int]]:
    """Yield pairs of layers that get the same, and no third one with them, in front of others."""
    layers, order = case.network.layers, sorted(held)
    shapes = [
        (layers[one].module.type, layers[one].module.input_shape, layers[one].module.output_shape) for one in order
    ]
    for at, (one, other) in enumerate(pairwise(shapes)):
        kind, inside, outside = one
        if one != other or not inside or not outside or inside[-1] == outside[-1] or at + 2 >= len(order):
            continue
        if shapes[at + 2] != one and (at == 0 or shapes[at - 1] != one) and "Norm" not in kind:
            yield order[at], order[at + 1]


def _is_nothing(case: Case, layer: int, look: Variety) -> bool:
    """Whether what a layer puts out has come to be next to zero, and not since its weights have."""
    norms = case.column("weight_norm")[matrices(case, [layer])]
    late = float(np.nanmedian(look.size[len(look.size) // 2 :]))
    pressed = late <= _NOTHING and look.size[0] >= _PRESSED * late
    return pressed and bool(norms.size) and bool((norms[:, -1] >= _KEPT * norms[:, 0]).all())


def _most_used(case: Case, look: Variety, first: int) -> float:
    """Return the largest deviation over samples of a single unit, at the median of the records from one on."""
    units = np.arange(look.row.units.start, look.row.units.stop)
    deviations = np.asarray(case.unit_table.units.column("std", rows=units), np.float64)
    known = deviations[:, np.isfinite(deviations).any(axis=0)][:, first:]
    return float(np.nanmax(np.nan_to_num(nanmedian(known.T)), initial=0.0))


def _noise(case: Case, look: Variety, other: int) -> Floats:
    """Return the deviation of the noise beside latent means, 1 at most, where a layer's outputs are its logarithm, [N].

    It is 1 where the name does not tell that they are: a divergence makes it so where means say nothing.
    """
    told = _LOGARITHM.search(case.network.layers[other].name)
    row = next((row for row in case.network.activations if row.layer == other and not row.function), None)
    if told is None or row is None:
        return np.ones(len(look.steps))
    table = case.unit_table
    means = np.asarray(table.units.column("mean", rows=np.arange(row.units.start, row.units.stop)), np.float64)
    of_it = nanmedian(means)[np.isin(table.steps, look.steps)] / (2 if told.group("var") else 1)
    noise: Floats = np.exp(np.minimum(np.nan_to_num(of_it), 0))
    return noise


def _is_decoded(case: Case, mean: int, other: int) -> bool:
    """Whether a layer behind both gets as many numbers as these make, or more by some: else they may be heads alone.

    One that gets as many as the model itself does begins another branch, unless it is recurrent: its state may be made
    of them.
    """
    layers = case.network.layers
    about = layers[mean].module
    mine = [layer for layer in layers if layer.model == layers[mean].model]
    following = [layer for layer in layers[max(mean, other) + 1 :] if layer.model == layers[mean].model]
    behind = [layer.module.input_shape for layer in following]
    if not (about.input_shape and about.output_shape and behind and behind[0]):
        return True
    made, trunk = about.output_shape[-1], about.input_shape[-1]
    others = [layer.module.output_shape for at, layer in enumerate(layers) if at not in (mean, other)]
    joined = behind[0][-1] - made in {shape[-1] for shape in others if shape}  # As of words before.
    entered = mine[0].module.input_shape
    branches = bool(entered) and behind[0][-1] == entered[-1] and following[0].module.type not in _RECURRENT
    leads_on = behind[0][-1] != trunk and not branches
    return leads_on or joined or any(shape and shape[-1] == made for shape in behind)


def _is_pressed(look: Variety, first: int) -> bool:
    """Whether latent means came to be alike by and by, from a record on, and do not come apart again."""
    alike = look.deviation[first:]
    third = len(alike) // 3
    if third < 3 or look.steps[-1] - look.steps[0] < _FEWEST_STEPS:
        return False
    begun, early, late = (
        float(look.deviation[0]),
        *(float(np.nanmedian(part)) for part in (alike[:-third], alike[-third:])),
    )
    return begun >= _FELL * late and late <= _STAYS * early


def is_of_scale(case: Case, look: Variety) -> bool:
    """Whether it tells how sure the network is, which may well be the same for all samples, and nothing else."""
    return look.row.layer is not None and bool(_LOG_VARIANCE.search(case.network.layers[look.row.layer].name))
