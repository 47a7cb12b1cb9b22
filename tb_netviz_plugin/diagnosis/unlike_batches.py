"""Batches each of a kind of its own, such as one patient's, whose normalisation evaluation does not have."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tb_netviz_plugin.analysis.outputs import Values
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import layer_name, number
from tb_netviz_plugin.diagnosis.answers import answers
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.modes import RULE_ID, normalisations
from tb_netviz_plugin.diagnosis.prepared import falls_along

_UNLIKE = 0.15
"""Share of the variance that lies between batches from which on each is of a kind of its own; between batches that are
drawn from all data it is one over their samples at most."""
_BY_CHANCE = 4.0
"""The same over what it is at most between batches that are drawn."""
_FEWEST, _VALIDATIONS = 20, 3
"""Records, and validations, that it takes to tell."""
_FALLS = 0.7
"""Share of its own first value to which a validation loss falls that has learned something, whatever its unit."""
_LEARNED, _NEVER, _MOSTLY = 0.4, 0.9, 0.8
"""Share of its first value to which training falls; that at which validation stays, and in how many validations."""

_REMEDIES = (
    Remedy(
        "Shuffle, so that each batch is drawn from all data.",
        "torch.utils.data.DataLoader(dataset, batch_size=32, shuffle=True)",
    ),
    Remedy(
        "Take a normalisation that does the same in both modes.",
        "nn.GroupNorm(8, channels)  # in place of nn.BatchNorm2d(channels)",
    ),
    Remedy("Normalise each source (patient, camera, site) before the network, in training and evaluation alike."),
)


class _Kind(NamedTuple):
    """What batches differ in: its name, the mean of each batch over the deviation of all, and the variance's share."""

    name: str
    means: Floats
    share: float


def of_unlike_batches(case: Case) -> Finding | None:
    """Return that training normalises over batches that differ from each other, and validation shows it."""
    given, trained, held_out = answers(case), training(case), course(case.curve("val_loss"))
    layers = normalisations(case)
    if given is None or trained is None or held_out is None or not layers or trained.start <= 0:
        return None
    if falls_along(held_out, trained) or np.median(held_out.values[-_VALIDATIONS:]) < _FALLS * held_out.values[0]:
        return None  # It carries over, in whatever unit.
    bad = held_out.values >= _NEVER * trained.start
    if trained.end > _LEARNED * trained.start or len(bad) < _VALIDATIONS or not bad.mean() >= _MOSTLY:
        return None
    kinds = (_between(name, of, given.samples) for name, of in (("inputs", given.inputs), ("targets", given.targets)))
    found = max((kind for kind in kinds if kind is not None), key=lambda kind: kind.share, default=None)
    if found is None or found.share < _UNLIKE:
        return None
    names = {module.name for module in layers}
    return Finding(
        rule=RULE_ID,
        severity=Severity.WARNING,
        layers=tuple(index for index, layer in enumerate(case.network.layers) if layer.name in names),
        first_step=float(trained.steps[0]),
        last_step=float(held_out.steps[-1]),
        message=f"Each batch is of a kind of its own ({found.share:.0%} of the variance of the {found.name} lies "
        f"between batches), and {_named(case, layers[0].name)} normalises over it; in evaluation nothing takes away "
        f"what tells the kinds apart: {held_out.name} is {number(held_out.end)}, while {trained.name} fell to "
        f"{number(trained.end)}.",
        beyond=Beyond("share of the variance between batches", found.share, _UNLIKE),
        evidence=(
            Line(f"mean of the {found.name} of a batch, in deviations", "outputs", given.steps, found.means),
            *(Line(one.name, one.name, one.steps, one.values) for one in (held_out, trained)),
        ),
        remedies=_REMEDIES,
        excluded=(
            "Not batches that differ by chance: those of so many samples would differ far less.",
            "Not overfitting alone: validation never was much better than before training.",
        ),
        view="overview",
    )


def _named(case: Case, module: str) -> str:
    """Return the name of a normalisation as it is told of other layers."""
    found = (index for index, layer in enumerate(case.network.layers) if layer.module.name == module)
    index = next(found, None)
    return module if index is None else layer_name(case.network, index)


def _between(name: str, of: Values, samples: Floats) -> _Kind | None:
    """Return how batches differ, unless they are few, or no more unlike than drawn ones are."""
    known = np.isfinite(of.mean) & np.isfinite(of.std) & (samples > 1)
    if known.sum() < _FEWEST:
        return None
    between, within = float(np.var(of.mean[known])), float(np.mean(np.square(of.std[known])))
    share = between / (between + within) if between > 0 else 0.0
    if share < _BY_CHANCE / float(np.median(samples[known])):
        return None
    return _Kind(name, (of.mean - of.mean[known].mean()) / np.sqrt(between + within), share)
