"""`class_imbalance`: classes that are rare, and not recognised while the others are."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.outputs import CLASS_INDICES, NUMBERS, Classes
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.wording import fold, number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import answers, entries, guess
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.stretches import at_end

_LATE = 0.5
"""Share of the run, at its end, that is judged."""
_MANY = 20
"""Classes from which on a few of them may well be most of what there is."""
_SYMBOLS = 0.8
"""Share of the classes up to which the inputs reach where both are the same symbols."""
_FEWEST = 8
"""Samples of rare classes that it takes to tell."""
_COMMON = 0.7
"""Share of the samples of the other classes that are recognised, where the task can be learned."""
_RISING = 0.2
"""Rise of the share that is recognised, over the last half of the end, with which rare classes are on their way."""
_SIGNIFICANT = 2.0
"""Standard errors by which it lies below the limit."""
_BINARY = {"BCEWithLogitsLoss": 0.0, "BCELoss": 0.5}
"""By loss, the output from which on the answer is yes."""

_PLENTY, _NO_BETTER = 50.0, 0.93
"""Rare answers in a batch that are enough to learn from, and loss over that of guessing where nothing was learned."""
_SURE, _NOTHING = 500, 0.01
"""Samples that all have one answer, and share of the first loss that is left where nothing else was to be learned."""

_REMEDIES = (
    Remedy(
        "Let rare classes weigh more in the loss.",
        "counts = torch.bincount(targets, minlength=classes).float()\n"
        "criterion = nn.CrossEntropyLoss(weight=counts.sum() / (classes * counts.clamp(min=1)))",
    ),
    Remedy(
        "Or draw all classes as often.",
        "sampler = WeightedRandomSampler((1 / counts)[targets], len(targets))\n"
        "loader = DataLoader(dataset, batch_size=64, sampler=sampler)",
    ),
    Remedy("Judge the network by each class, not by the accuracy over all."),
)
_BINARY_REMEDY = Remedy(
    "Let the rare answer weigh more in the loss.",
    "criterion = nn.BCEWithLogitsLoss(pos_weight=(targets == 0).sum() / (targets == 1).sum())",
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find rare classes of which few samples are recognised late in training."""
    if case.classes is None:
        found = _of_two(case, limits) or _of_one(case)
    else:
        found = None if _are_symbols(case) else _of_classes(case.classes, limits)
    return [found] if found else []


def _are_symbols(case: Case) -> bool:
    """Whether classes are the symbols that go in, as of a language model: what comes next is not always to be known."""
    asked, given = answers(case), entries(case)
    if asked is None or given is None or not (given.input_kind == CLASS_INDICES).all():
        return False
    classes, shape = float(np.nanmax(asked.classes)), _input_shape(case, asked.model)
    each = len(shape) > 1 and float(np.nanmax(asked.labelled)) > shape[0]  # One answer for each of them.
    return each and bool(_SYMBOLS * classes <= given.inputs.largest.max() < classes)


def _input_shape(case: Case, model: str) -> tuple[int, ...]:
    described = next((one for one in case.network.descriptions if one.model == model), None)
    return described.modules[0].input_shape if described is not None and described.modules else ()


def _of_classes(classes: Classes, limits: Limits) -> Finding | None:
    late = at_end(classes.steps, _LATE)
    targets, hits = classes.targets.sum(axis=1), classes.hits[:, late].sum(axis=1)
    rare = (targets > 0) & (targets * limits["ratio"] <= targets.max())
    common = (targets > 0) & ~rare
    seen = classes.targets[:, late].sum(axis=1)
    tail = rare.sum() > common.sum() and len(rare) > _MANY  # As of the words of a language.
    if not rare.any() or tail or seen[rare].sum() < _FEWEST:
        return None
    found_rare, found_common = hits[rare].sum() / seen[rare].sum(), hits[common].sum() / max(seen[common].sum(), 1.0)
    worst = _worst(hits[common], seen[common])
    few = _far_below(hits[rare].sum(), seen[rare].sum(), limits["found"] * worst)
    if found_common < _COMMON or not few or _rises(classes, rare, late):
        return None
    ratio = float(targets.max() / targets[rare].max())
    indices = np.flatnonzero(rare)
    named = f"Class {indices[0]} is" if indices.size == 1 else f"{indices.size:,} classes, {indices[0]} among them, are"
    shares = _share(classes, rare)
    return Finding(
        rule="class_imbalance",
        severity=Severity.WARNING,
        layers=(),
        first_step=float(classes.steps[0]),
        last_step=float(classes.steps[-1]),
        message=f"{named} {fold(ratio)} rarer than the most common one, and late in training {found_rare:.0%} of such "
        f"samples are recognised, where {found_common:.0%} of the others are.",
        beyond=Beyond(
            "share of rare samples that is recognised, over that of the worst of the others",
            found_rare / worst,
            limits["found"],
        ),
        evidence=(
            Line("share of rare samples that is recognised", "classes", classes.steps, shares, limits["found"]),
            Line("share of the others", "classes", classes.steps, _share(classes, common)),
        ),
        remedies=_REMEDIES,
        excluded=(
            f"Not a hard task: {found_common:.0%} of the others are recognised.",
            "Not too early to tell: the share is not rising.",
            f"Not chance: {seen[rare].sum():,.0f} samples of rare classes were seen in that time.",
        ),
        view="overview",
    )


def _worst(hits: Floats, samples: Floats) -> float:
    """Return the share of samples that is recognised of the worst of these classes, but for a tenth of them."""
    known = samples >= _FEWEST
    return float(np.quantile(hits[known] / samples[known], 0.1, method="lower")) if known.any() else 0.0


def _far_below(hits: float, samples: float, share: float) -> bool:
    """Whether so many hits are fewer than that share of the samples, beyond chance."""
    return bool(hits <= share * samples - _SIGNIFICANT * np.sqrt(samples * share * (1 - share)))


def _share(classes: Classes, which: Bools) -> Floats:
    seen = classes.targets[which].sum(axis=0)
    shares: Floats = np.full(len(seen), np.nan)
    np.divide(classes.hits[which].sum(axis=0), seen, out=shares, where=seen > 0)
    return shares


def _rises(classes: Classes, rare: Bools, late: Bools) -> bool:
    """Whether rare classes are recognised clearly more often in the second half of the end than in the first."""
    places = np.flatnonzero(late)
    parts = [classes.targets[rare][:, part].sum() for part in np.array_split(places, 2)]
    hits = [classes.hits[rare][:, part].sum() for part in np.array_split(places, 2)]
    if min(parts) == 0:
        return False
    return bool(hits[1] / parts[1] - hits[0] / parts[0] > _RISING)


def _of_two(case: Case, limits: Limits) -> Finding | None:
    """Judge yes or no: the rare answer is never given."""
    given = answers(case)
    if given is None or given.criterion not in _BINARY or not (given.target_kind == NUMBERS).all():
        return None
    mean, late = float(np.nanmean(given.targets.mean)), at_end(given.steps, _LATE)
    only = np.nanmax(np.abs(given.targets.std**2 - given.targets.mean * (1 - given.targets.mean))) < 1e-3
    share = min(mean, 1 - mean)
    if not only or not 0 < share * (1 + limits["ratio"]) <= 1:
        return None
    edge, yes = _BINARY[given.criterion], mean < 0.5
    extreme = given.outputs.largest if yes else given.outputs.smallest
    given_at_all = extreme[late] >= edge if yes else extreme[late] < edge
    rare_samples = share * float(np.nansum(given.samples[late]))
    if given_at_all.any() or rare_samples < _FEWEST:
        return None
    if share * np.nanmedian(given.samples) >= _PLENTY and _nothing_learned(case, given.model):
        return None  # Rare answers are not what it lacks: the inputs tell it nothing.
    word = "yes" if yes else "no"
    return Finding(
        rule="class_imbalance",
        severity=Severity.WARNING,
        layers=(),
        first_step=float(given.steps[0]),
        last_step=float(given.steps[-1]),
        message=f"{share:.1%} of the targets say {word}, and in the last half of training no output did: the "
        f"{'largest' if yes else 'smallest'} was {number(float(extreme[late].max() if yes else extreme[late].min()))}.",
        beyond=Beyond("how much rarer one answer is than the other", (1 - share) / share, limits["ratio"]),
        evidence=(
            Line(f"{'largest' if yes else 'smallest'} output", "outputs", given.steps, extreme, edge),
            Line("mean of the targets", "targets", given.steps, given.targets.mean),
        ),
        remedies=(_BINARY_REMEDY, _REMEDIES[1], _REMEDIES[2]),
        excluded=(f"Not chance: about {rare_samples:,.0f} samples whose answer is {word} were seen in that time.",),
        view="overview",
    )


def _nothing_learned(case: Case, model: str) -> bool:
    """Whether the loss is no better than that of always telling how frequent the answers are."""
    guessing, loss = guess(case, model), training(case)
    return guessing is not None and loss is not None and loss.end >= _NO_BETTER * guessing


def _of_one(case: Case) -> Finding | None:
    """Judge yes or no where it is yes, or no, for every single sample: the same answer to all of them is right."""
    given, loss = answers(case), training(case)
    if given is None or loss is None or given.criterion not in _BINARY or not (given.target_kind == NUMBERS).all():
        return None
    answer, samples = float(given.targets.smallest[0]), float(np.nansum(given.samples))
    same = (given.targets.smallest == answer).all() and (given.targets.largest == answer).all()
    if not same or answer not in (0.0, 1.0) or samples < _SURE or not 0 <= loss.end <= _NOTHING * loss.start:
        return None
    word = "yes" if answer else "no"
    return Finding(
        rule="class_imbalance",
        severity=Severity.INFO,  # As it has to be where the output is a difference of two scores.
        layers=(),
        first_step=float(given.steps[0]),
        last_step=float(given.steps[-1]),
        message=f"All targets say {word}, those of {samples:,.0f} samples: the loss fell from {number(loss.start)} to "
        f"{number(loss.end)} by saying {word} to everything.",
        beyond=Beyond("share of the targets that say the same", 1.0, 1.0 - 1.0 / samples),
        evidence=(
            Line("mean of the targets", "targets", given.steps, given.targets.mean),
            Line(loss.name, loss.name, loss.steps, loss.values),
        ),
        remedies=(
            Remedy(
                "Give it samples of the other answer as well: pairs drawn at random, say, where it learns which belong "
                "together.",
                "inputs = torch.cat([positives, negatives])\n"
                "targets = torch.cat([torch.ones(len(positives)), torch.zeros(len(negatives))])",
            ),
        ),
        excluded=(
            "Not one step of two that take turns, as of a generator: the loss is next to nothing.",
            "It is as it should be where each output is the difference of two scores, the better one first.",
        ),
        view="overview",
    )


RULE = Rule(
    id="class_imbalance",
    title="Rare classes are not learned",
    needs=(
        needs.outputs(
            "targets were recorded; give the loss to watch(criterion=…), or call observe(outputs=…, targets=…)",
            targets=True,
        ),
        needs.records(20),
    ),
    thresholds=(
        Threshold("ratio", 10.0, "how much rarer than the most common class", 2.0, 1e6),
        Threshold("found", 0.6, "share of rare samples that is recognised, over that of the others", 0.0, 1.0),
    ),
    find=find,
)
