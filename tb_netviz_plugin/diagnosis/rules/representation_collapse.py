"""`representation_collapse`: what the network makes of different samples becomes the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tb_netviz_plugin.analysis.outputs import CLASS_INDICES, NUMBERS, Outputs
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.agreeing import agrees, asks_nothing, fits_an_offset, is_elsewhere, pulled_together
from tb_netviz_plugin.diagnosis.answers import answers, is_cross_entropy, output_layers
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.latents import collapsed_posterior, is_of_scale
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.stretches import PERSISTING, lasting, to_the_end
from tb_netviz_plugin.diagnosis.variety import Variety, varieties
from tb_netviz_plugin.schema.description import Response

_LASTS = 0.2
"""Share of the run, up to its end, over which it has to last."""
_FALL = 4.0
"""Factor by which the share that varies has to fall: a deep network may begin with a small one."""
_SHRINKS, _TOGETHER = 3.0, 24.0
"""Factor by which the deviation itself has to fall, and that times the one by which the share does, where it is not
known what the outputs are compared with."""
_BY_ITSELF, _CAME_ALONG, _LARGER = 8.0, 0.3, 1.3
"""Factor by which the deviation has to fall then where none of the layers in front has come to have so small a share as
the second; and the factor by which that of embeddings grew that do come apart, though in few directions."""
_OFFSET, _OF_IT, _LEFT = 2.0, 0.3, 0.1
"""Factor by which outputs grow whose common part is an offset to be learned; share of that offset, or of its square,
which the loss is at first at least; and the share of the loss that is left at most once it is learned."""
_DWINDLES = 2.0
"""Factor over the share that may vary where the deviation shrinks so, whatever is compared."""
_HALVED = 0.5
"""Share of what varied before, below which it had begun to dwindle."""
_FROM_THE_START = 2.0
"""Factor over the share that may vary where hardly more ever did, and a loss that asks only for agreement has it."""
_OWN, _FIRST = 0.05, 3
"""Share of the targets' deviation by which outputs and targets differ at most, in mean and deviation, in so many first
records, where the network makes both: of two views of a sample, say."""


_REMEDIES = (
    Remedy(
        "Stop the gradient on one of the two sides that are to agree.",
        "loss = -nn.functional.cosine_similarity(predictor(z1), z2.detach()).mean()",
    ),
    Remedy(
        "Ask for variance: embeddings of different samples have to differ.",
        "loss = loss + nn.functional.relu(1 - z.std(0)).mean()",
    ),
    Remedy(
        "Or contrast each sample with others.", "loss = nn.functional.cross_entropy(z1 @ z2.T / 0.1, torch.arange(n))"
    ),
)
_REGRESSION = (
    Remedy("See that inputs and targets belong together, and that inputs differ."),
    Remedy("Let it learn a single batch by heart: if it can't, the fault lies in the network and not in the data."),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find models whose last representation has become the same for all samples, and constant answers."""
    given = answers(case)
    kinds = frozenset(given.target_kind) if given is not None else frozenset()
    own = given is not None and NUMBERS in kinds and _are_its_own(given)
    alone = CLASS_INDICES not in kinds and (own or NUMBERS not in kinds)
    found = [_constant(case, limits["answers"])] if NUMBERS in kinds else []
    for model in case.network.models:
        known = given is not None and model == given.model
        if not (known and given is not None and _are_scores(case, given)):
            found.append(_collapsed(case, model, limits["share"], known=known and alone))
        found.append(collapsed_posterior(case, model))
    return [finding for finding in found if finding]


def _are_scores(case: Case, given: Outputs) -> bool:
    """Whether outputs are compared with targets one by one; else they are embeddings, and targets only tell pairs."""
    kinds = frozenset(given.target_kind)
    if NUMBERS in kinds:
        return not (_are_its_own(given) or asks_nothing(case, given, training(case)))
    return CLASS_INDICES in kinds and is_cross_entropy(case, given)


def _are_its_own(given: Outputs) -> bool:
    """Whether targets are outputs of the network as well: both are as large before anything was learned."""
    one, other = given.outputs, given.targets
    with np.errstate(divide="ignore", invalid="ignore"):
        gaps = np.maximum(np.abs(one.mean - other.mean), np.abs(one.std - other.std)) / other.std
        of_inputs = np.abs(given.inputs.std - other.std) / other.std
    # Where what goes in is as large, too, a network that changes it little is all that is seen, as of what moves.
    own = len(gaps) >= _FIRST and bool((gaps[:_FIRST] <= _OWN).all())
    return own and not bool((of_inputs[:_FIRST] <= _OWN).all())


def _collapsed(case: Case, model: str, limit: float, *, known: bool) -> Finding | None:
    looks = [look for look in varieties(case, model, last_first=True) if not is_of_scale(case, look)]
    if not looks:
        return None
    last, earlier, pull = looks[0], _earlier(looks), None
    came_along = any(look.share[-1] <= _CAME_ALONG for look in earlier)
    allowed, elsewhere = limit, False
    found = _since(last, limit, _FALL, known=known)
    if found is None and (found := _since(last, _DWINDLES * limit, _FALL, known=False)) is not None:
        allowed = _DWINDLES * limit
    if found is not None and not known and not came_along and not _shrunk(last) >= _BY_ITSELF:
        found = None  # Offsets that a head learns leave a small share, too.
    if found is not None and not known and _has_learned_an_offset(case, last):
        found = None
    if found is None and (pull := pulled_together(case, model)):
        # Only directions are compared then: their common part may well grow, and the rest with it.
        linear = [look for look in looks if look.row.activation.response is Response.NONE][: pull.ends]
        allowed, elsewhere = limit * pull.wider, pull.angles and is_elsewhere(case, float(last.share[0]))
        linear = [look for look in linear if not (agrees(training(case)) and _grew(look))]
        since = ((_since(look, allowed, pull.falls, known=True), look) for look in linear)
        found, last = next((pair for pair in since if pair[0] is not None), (None, last))
    in_front = found is None or last is not looks[0]
    if pull and in_front and not elsewhere and (never := _never_apart(looks[0], _FROM_THE_START * limit)):
        return never
    if elsewhere and not came_along:
        return None  # A teacher's outputs, whose common part is learned.
    if found is None or any(_is_silent(look, found) for look in earlier):
        return None  # Nothing comes through: its units are dead.
    share, began = last.share, float(np.nanmax(last.share[last.steps < found]))
    alike = "nearly" if _end(share) <= limit else "mostly"
    return Finding(
        rule="representation_collapse",
        severity=Severity.WARNING if elsewhere else Severity.CRITICAL,
        layers=() if last.row.layer is None else (last.row.layer,),
        first_step=min(found, _halved(last, began)),
        last_step=float(last.steps[-1]),
        message=f"Since step {found:,.0f} {last.row.label} puts out {alike} the same for all samples: what varies is "
        f"{_end(share):.2%} of its outputs, from {began:.0%} before."
        + (" It has collapsed if the network itself makes what that is compared with." if elsewhere else ""),
        beyond=Beyond("share of the outputs that varies from sample to sample", _end(share), allowed),
        evidence=(last.line(allowed), *(look.line() for look in earlier if look is not last)),
        remedies=_REMEDIES,
        excluded=(
            "Not dead units: they still put something out, the same for all samples.",
            f"Not as it was from the start: {began:.0%} varied before.",
            "Not inputs that are all the same.",
        ),
        view="units",
    )


def _never_apart(look: Variety, allowed: float) -> Finding | None:
    """Find embeddings that began nearly alike, and of which a loss that only asks for agreement asks no more."""
    share = look.share[np.isfinite(look.share)]
    if share.size < 2 * PERSISTING:
        return None
    began, ended = float(share[:PERSISTING].max()), float(np.median(share[-PERSISTING:]))
    if ended > min(allowed, began):
        return None
    return Finding(
        rule="representation_collapse",
        severity=Severity.WARNING,
        layers=() if look.row.layer is None else (look.row.layer,),
        first_step=float(look.steps[0]),
        last_step=float(look.steps[-1]),
        message=f"{look.row.label} puts out mostly the same for all samples: {began:.0%} of its outputs varied at "
        f"first and {ended:.0%} do now, which is all that the loss asks for: it fell to next to nothing without "
        "telling samples apart.",
        beyond=Beyond("share of the outputs that varies from sample to sample", ended, allowed),
        evidence=(look.line(allowed),),
        remedies=_REMEDIES,
        excluded=(
            "Not a distance to targets: the gradient by the outputs goes with the loss as that of agreement alone.",
            "Not on its way apart: no more varies than at first.",
        ),
        view="units",
    )


def _shrunk(look: Variety) -> float:
    """Return by how much the deviation over samples fell from its highest to the last."""
    last = float(look.deviation[-1])
    return float(np.nanmax(look.deviation)) / last if last > 0 else np.inf


def _grew(look: Variety) -> bool:
    """Whether the deviation over samples is larger in the end than at first."""
    known = look.deviation[np.isfinite(look.deviation)]
    return bool(known.size) and bool(known[-1] >= _LARGER * known[0])


def _has_learned_an_offset(case: Case, look: Variety) -> bool:
    """Whether outputs grew alike since a loss asked for it, which was as large as what was missing, and is no more.

    Where no loss is known that they grew is enough: nobody can tell what for.
    """
    if fits_an_offset(case, look.row.model):
        return True
    loss, first, grown = training(case), float(look.size[0]), float(look.size[-1])
    if grown < _OFFSET * first:
        return False
    return loss is None or (loss.values[0] >= _OF_IT * min(grown, grown**2) and loss.end <= _LEFT * loss.values[0])


def _halved(look: Variety, began: float) -> float:
    """Return the step from which on less than half of what varied at most, `began`, is left."""
    more = np.flatnonzero(look.share >= _HALVED * began)
    return float(look.steps[min(more[-1] + 1, len(look.steps) - 1)])


def _since(look: Variety, limit: float, fall: float, *, known: bool) -> float | None:
    """Return the step since which no more than this share varies, if that is far less than before."""
    share = look.share
    stretch = to_the_end(share <= limit, np.isfinite(share))
    if stretch is None or stretch.first == 0 or not lasting(stretch, look.steps, _LASTS):
        return None
    before, after = float(np.nanmax(share[: stretch.first])), float(np.nanmedian(share[stretch.first :]))
    shrunk = np.nanmax(look.deviation[: stretch.first]) / look.deviation[-1] if look.deviation[-1] > 0 else np.inf
    shrinks = shrunk >= _SHRINKS and shrunk * before >= _TOGETHER * after
    return float(look.steps[stretch.first]) if before >= fall * after and (known or shrinks) else None


def _end(share: Floats) -> float:
    """Return the last share that is known."""
    return float(share[np.isfinite(share)][-1])


def _earlier(looks: Sequence[Variety]) -> list[Variety]:
    """Return the two activations in front of the last one, which stands first, of other layers."""
    return [look for look in looks if look.row.layer != looks[0].row.layer][1::-1]


def _is_silent(look: Variety, since: float) -> bool:
    """Whether all that it puts out is zero, at most records from a step on."""
    later = look.size[look.steps >= since]
    return bool(later.size and np.median(later) == 0)


def _constant(case: Case, limit: float) -> Finding | None:
    """Compare how outputs and targets of a regression vary."""
    given = answers(case)
    if given is None or not (given.target_kind == NUMBERS).all():
        return None
    ratios = np.full(len(given.steps), np.nan)
    np.divide(given.outputs.std, given.targets.std, out=ratios, where=given.targets.std > 0)
    stretch = to_the_end(ratios <= limit, np.isfinite(ratios))
    if stretch is None or not lasting(stretch, given.steps, _LASTS):
        return None
    since = float(given.steps[stretch.first])
    return Finding(
        rule="representation_collapse",
        severity=Severity.INFO,  # Some other fault is behind it.
        layers=output_layers(case, given.model),
        first_step=since,
        last_step=float(given.steps[-1]),
        message=f"Since step {since:,.0f} all outputs are nearly the same: they deviate by "
        f"{number(float(given.outputs.std[-1]))} where the targets deviate by {number(float(given.targets.std[-1]))}.",
        beyond=Beyond("deviation of the outputs over that of the targets", float(ratios[stretch.last]), limit),
        evidence=(
            Line("deviation of the outputs over that of the targets", "outputs", given.steps, ratios, limit),
            Line("deviation of the targets", "targets", given.steps, given.targets.std),
        ),
        remedies=_REGRESSION,
        excluded=("Not targets that are all the same.", "Not inputs that are all the same."),
        view="overview",
    )


RULE = Rule(
    id="representation_collapse",
    title="Representations collapse",
    needs=(needs.units, needs.samples_that_differ, needs.records(20)),
    thresholds=(
        Threshold("share", 0.1, "share of the outputs that varies from sample to sample", 0.0, 1.0),
        Threshold("answers", 0.01, "deviation of the outputs over that of the targets", 0.0, 1.0),
    ),
    find=find,
)
