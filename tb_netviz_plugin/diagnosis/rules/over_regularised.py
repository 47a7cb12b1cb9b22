"""`over_regularised`: weights that decay faster than they learn, and dropout that leaves too little to learn with."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import (
    answers,
    beats_guessing,
    guess,
    guess_frequencies,
    knows_classes,
    tells_nothing,
)
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.modes import dropouts
from tb_netviz_plugin.diagnosis.movement import decay_over_gradient, matrices
from tb_netviz_plugin.diagnosis.penalties import penalty_on_magnitudes
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.schema.description import Module

_POOR = 0.4
"""Share of its first value at which a training loss shows that little was learned."""
_WELL = 0.3
"""Share of the first losses below which a validation loss shows that much was learned, whatever training costs."""
_HELD_OUT = 0.6
"""The same of a validation loss, which has no penalty in it."""
_NEARLY_NOTHING = 0.3
"""Share of the first norm at which weights that are left are judged by the validation loss alone."""
_STEADY = 0.1
"""Share by which the norm of the weights may rise again in the second half of the run."""
_BETTER, _MOSTLY = 0.96, 0.8
"""Share of the training loss below which the validation loss shows what dropout costs, and of the validations."""
_NOTHING, _BEGINS, _LEARNED = 0.02, 0.85, 0.3
"""Shares of the first norm at which next to nothing is left, and by which that began, and share by which the loss falls
where the network learns all the same."""
_LITTLE = 0.05
"""Share of the first norm at which little is left, where the answers are the same whatever goes in: what the loss falls
by is a penalty in it."""
_NEARLY_ALL, _LONG = 0.9, 100
"""Share from which on what dropout leaves out tells without a validation, where little was learned in so many steps;
what several leave out one after another counts together where the answers do not hang on the samples."""
_HARDLY_ANY, _HIGH, _LAST = 0.1, 0.6, 5
"""Share of the first norm at which hardly any weights are left, and of the first losses at which these are high, in so
many last records: what is known of classes is told without being sure."""
_AT_FIRST, _STALLED, _APART = 3, 0.2, 1.25
"""Records in which that decay outweighs the gradient; the share of its first value at which a loss shows that it did
harm, and the factor over it at which a validation loss shows that it is needed."""

_OF_GUESSING, _BEYOND = 0.9, 1.1
"""Loss over that of guessing below which something is known; and validation loss over that of training from which on
more is fitted than holds."""

_DECAY = (
    Remedy("Take a smaller weight decay.", "torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)"),
    Remedy("Take the penalty on the weights out of the loss, until the network fits the training data."),
)
_PENALTY = (
    Remedy(
        "Take a penalty that is a hundred times smaller, or the mean of the magnitudes in place of their sum.",
        "penalty = 1e-5 * sum(weight.abs().sum() for weight in model.parameters())",
    ),
    Remedy("Take the penalty on the weights out of the loss, until the network fits the training data."),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find a training whose penalties leave it little to learn."""
    loss = training(case)
    if nothing_left := _nothing_left(case):
        return nothing_left
    models = list(case.layers_of_models())
    if loss is None or len(models) != 1 or loss.start <= 0:
        return []
    found = [
        _decayed(case, models[0], loss, limits["shrunk"]),
        _outweighed(case, models[0], loss, limits["shrunk"], limits["outweighs"]),
        _penalised(case, models[0], loss, limits["shrunk"]),
        _dropped(case, models[0], loss, limits["dropout"]),
    ]
    return [finding for finding in found if finding][:1]


def _nothing_left(case: Case) -> list[Finding]:
    loss = training(case)
    found = (_vanished(case, layers, loss) for layers in case.layers_of_models())
    return [finding for finding in found if finding]


def _vanished(case: Case, layers: list[int], loss: Course | None) -> Finding | None:
    """Find weights of which a decay left next to nothing, unless the network learns nevertheless."""
    shares = _shares(case, layers)
    learns = loss is not None and loss.has_scale and loss.learned >= _LEARNED
    if shares is None or not shares[-1] <= (_LITTLE if learns else _NOTHING):
        return None
    if learns and not tells_nothing(case, case.network.layers[layers[0]].model):
        return None
    first = float(case.steps[np.flatnonzero(shares <= _BEGINS)[0]])
    more = "" if loss is None else f", and {loss.name}, {number(loss.start)} at first, is {number(loss.end)}"
    return Finding(
        rule="over_regularised",
        severity=Severity.WARNING,
        layers=() if len(case.network.models) == 1 else tuple(layers),
        first_step=first,
        last_step=float(case.steps[-1]),
        message=f"The weights shrank to {shares[-1]:.2g} of the norm that they began with{more}: the decay leaves next "
        "to nothing of them.",
        beyond=Beyond("norm of the weights over the first", float(shares[-1]), _NOTHING),
        evidence=(
            Line(
                "norm of the weights over the first, median of the matrices",
                "weight_norm",
                case.steps,
                shares,
                _NOTHING,
            ),
        ),
        remedies=_DECAY,
        excluded=("Not weights whose scale does not matter, as in front of a normalisation: little was learned.",),
        view="overview",
        subject="" if len(case.network.models) == 1 else case.network.layers[layers[0]].model,
    )


def _decayed(case: Case, layers: list[int], loss: Course, limit: float) -> Finding | None:
    shares = _shares(case, layers)
    held_out = course(case.curve("val_loss"))
    if shares is None or shares[-1] > limit or not _poor(loss, held_out, float(shares[-1])):
        return None
    model = case.network.layers[layers[0]].model
    if knows_classes(case, model) and not (shares[-1] <= _HARDLY_ANY and _unsure(case, model, loss, held_out)):
        return None
    if shares[-1] > _HARDLY_ANY and _knows_something(case, model, loss, held_out):
        return None
    half = shares[len(shares) // 2 :]
    if shares[-1] > np.nanmin(half) + _STEADY:
        return None  # It learned after all, late.
    first = float(case.steps[np.flatnonzero(shares <= (1 + limit) / 2)[0]])
    return Finding(
        rule="over_regularised",
        severity=Severity.WARNING,
        layers=(),
        first_step=first,
        last_step=float(case.steps[-1]),
        message=f"The weights shrank to {shares[-1]:.0%} of the norm that they began with, and {loss.name} is "
        f"{number(loss.end)}, having begun at {number(loss.start)}: they decay faster than they learn.",
        beyond=Beyond("norm of the weights over the first", float(shares[-1]), limit),
        evidence=(
            Line(
                "norm of the weights over the first, median of the matrices", "weight_norm", case.steps, shares, limit
            ),
            Line(loss.name, loss.name, loss.steps, loss.values),
        ),
        remedies=_DECAY,
        excluded=("Not a decay that does no harm: little was learned.",),
        view="overview",
    )


def _outweighed(case: Case, layers: list[int], loss: Course, limit: float, outweighs: float) -> Finding | None:
    """Find a decay that is added to gradients and larger than these as training begins: steps go by the decay."""
    ratios, shares, held_out = decay_over_gradient(case, layers), _shares(case, layers), course(case.curve("val_loss"))
    if ratios is None or shares is None or not nanmedian(ratios[:_AT_FIRST, None])[0] >= outweighs:
        return None
    needed = held_out is not None and held_out.end > _APART * loss.end
    if np.nanmin(shares) > limit or not loss.has_scale or loss.end < _STALLED * loss.start or needed:
        return None
    first = float(nanmedian(ratios[:_AT_FIRST, None])[0])
    return Finding(
        rule="over_regularised",
        severity=Severity.WARNING,
        layers=(),
        first_step=float(case.steps[0]),
        last_step=float(case.steps[-1]),
        message=f"The weight decay is added to the gradients, and {first:.2g} times as large as these at first: the "
        f"weights shrank to {np.nanmin(shares):.0%} before they grew, and {loss.name}, {number(loss.start)} at first, "
        f"is {number(loss.end)}.",
        beyond=Beyond("decay over the gradient, at first", first, outweighs),
        evidence=(
            Line("decay over the gradient, median of the matrices", "gradient_norm", case.steps, ratios, outweighs),
            Line(
                "norm of the weights over the first, median of the matrices", "weight_norm", case.steps, shares, limit
            ),
        ),
        remedies=(
            Remedy(
                "Keep the decay out of the gradients.", "torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.1)"
            ),
            Remedy("Take a smaller weight decay: 1e-4, say, where it is added to the gradients."),
        ),
        excluded=(
            "Not a decay that gradients outweigh, nor one that balances them where little is left to learn.",
            *(("Not one that keeps from overfitting: the validation loss is no higher.",) if held_out else ()),
        ),
        view="overview",
    )


def _penalised(case: Case, layers: list[int], loss: Course, limit: float) -> Finding | None:
    """Find a penalty on the magnitudes of all weights that gradients consist of, where little was learned."""
    shares, penalty = _shares(case, layers), penalty_on_magnitudes(case, layers)
    model = case.network.layers[layers[0]].model
    if penalty is None or shares is None or np.nanmin(shares) > limit or _learns_beside(case, model, loss):
        return None
    return Finding(
        rule="over_regularised",
        severity=Severity.WARNING,
        layers=(),
        first_step=float(case.steps[0]),
        last_step=float(case.steps[-1]),
        message=f"At first all gradients are about {number(penalty)} in magnitude, whichever weight they are of, as a "
        "penalty on the magnitudes of the weights makes them, and hardly anything else: the weights shrank to "
        f"{np.nanmin(shares):.0%}, and {loss.name}, {number(loss.start)} at first, is {number(loss.end)}.",
        beyond=Beyond("norm of the weights over the first, at the least", float(np.nanmin(shares)), limit),
        evidence=(
            Line(
                "norm of the weights over the first, median of the matrices", "weight_norm", case.steps, shares, limit
            ),
            Line(loss.name, loss.name, loss.steps, loss.values),
        ),
        remedies=_PENALTY,
        excluded=(
            "Not a penalty that is left where all has been learned: it was so as training began.",
            "Not gradients that were clipped by value: those let the weights be as large as they were.",
        ),
        view="overview",
    )


def _learns_beside(case: Case, model: str, loss: Course) -> bool:
    """Whether something is learned beside a penalty, of which the first loss may consist for the most part."""
    if case.classes is not None and case.classes.targets.sum() > 0:
        return knows_classes(case, model)
    ignorance = min(guess(case, model) or loss.start, loss.start)
    return (course(case.curve("val_loss")) or loss).end < _POOR * ignorance


def _poor(loss: Course, held_out: Course | None, shrunk: float) -> bool:
    if loss.end >= _POOR * loss.start:
        # Labels that are smoothed or mixed keep the loss of training high, and not that of validation.
        return held_out is None or held_out.end >= _WELL * min(held_out.start, loss.start)
    return shrunk <= _NEARLY_NOTHING and held_out is not None and held_out.end >= _HELD_OUT * held_out.start


def _knows_something(case: Case, model: str, loss: Course, held_out: Course | None) -> bool:
    """Whether it does better than guessing, or fits what it is trained on beyond what holds: decay may keep it there.

    What a loss began at is no measure of that: of many tasks little can be known.
    """
    guessing = guess_frequencies(case, model)
    better = guessing is not None and loss.end < _OF_GUESSING * guessing
    fits = held_out is not None and held_out.end > _BEYOND * loss.end
    return better or fits or beats_guessing(case, model)


def _unsure(case: Case, model: str, loss: Course, held_out: Course | None) -> bool:
    """Whether all losses stay high though classes are known, that of the outputs beside the labels as they are, too."""
    found = answers(case)
    if found is None or found.model != model or (held_out is not None and held_out.end < _HIGH * held_out.values[0]):
        return False
    known = found.loss[np.isfinite(found.loss)]
    return bool(loss.end >= _HIGH * loss.start and known.size and np.median(known[-_LAST:]) >= _HIGH * known[0])


def _shares(case: Case, layers: list[int]) -> Floats | None:
    """Return the norm of the matrices over their first, the median at each record, [T]."""
    norms = case.column("weight_norm")[matrices(case, layers)]
    if not len(norms) or not case.steps.size:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = norms / norms[:, :1]
    middle = nanmedian(np.where(np.isfinite(shares), shares, np.nan))
    return middle if np.isfinite(middle[-1]) else None


def _dropped(case: Case, layers: list[int], loss: Course, limit: float) -> Finding | None:
    """Find dropout that leaves out most units, where the network does better without it, or nearly all of them."""
    shares = dropouts(case)
    name, most = max(shares.items(), key=lambda item: item[1], default=("", 0.0))
    held_out = course(case.curve("val_loss"))
    if most < limit or loss.end < _POOR * loss.start:
        return None
    if held_out is not None and held_out.end < _WELL * loss.start:
        return None  # It learns: what dropout costs in training alone is no harm.
    better = held_out if held_out is not None and _better(held_out, loss) else None
    if better is None and loss.steps[-1] - loss.steps[0] < _LONG:
        return None
    left = float(np.prod([1 - share for share in shares.values() if share >= limit]))
    nothing = left <= 1 - _NEARLY_ALL and tells_nothing(case, case.network.layers[layers[0]].model)
    if better is None and most < _NEARLY_ALL and not nothing:
        return None
    without = f"; without dropout the network does better: {better.name} is {number(better.end)}" if better else ""
    lines = [Line(one.name, one.name, one.steps, one.values) for one in (loss, held_out) if one is not None]
    return Finding(
        rule="over_regularised",
        severity=Severity.WARNING,
        layers=_behind(case, name, layers),
        first_step=float(loss.steps[0]),
        last_step=float(loss.steps[-1]),
        message=f"{_told(case, name)} leaves out {most:.0%} of what it gets, and {loss.name} is {number(loss.end)}, "
        f"having begun at {number(loss.start)}{without}.",
        beyond=Beyond("share that dropout leaves out", most, limit),
        evidence=tuple(lines),
        remedies=(Remedy("Leave out less.", _less(case, name)),),
        excluded=(
            "Not a training set that is harder: the network is the same, and its dropout is what differs."
            if better
            else "Not dropout that the network gets over: little was learned.",
        ),
        view="overview",
    )


def _better(held_out: Course, loss: Course) -> bool:
    """Whether validations, without dropout, find a lower loss than training around them, nearly all of them."""
    beside = np.interp(held_out.steps, loss.steps, loss.level)
    return bool((held_out.values < _BETTER * beside).mean() >= _MOSTLY and held_out.end < _BETTER * loss.end)


def _behind(case: Case, name: str, layers: list[int]) -> tuple[int, ...]:
    """Return the layer that stands behind a module, as what gets too little."""
    names = [module.name for module in _modules(case)]
    order = {other: index for index, other in enumerate(names)}
    behind = [one for one in layers if order.get(case.network.layers[one].module.name, -1) > order[name]]
    return tuple(behind[:1])


def _told(case: Case, name: str) -> str:
    """Return a module that is dropout, or dropout that is called in one, in words."""
    return name if _is_dropout(case, name) else f"F.dropout in {name}"


def _less(case: Case, name: str) -> str:
    """Return code that leaves out less."""
    by_module = f'model.get_submodule("{name}").p = 0.2'
    return by_module if _is_dropout(case, name) else "F.dropout(x, p=0.2, training=self.training)"


def _is_dropout(case: Case, name: str) -> bool:
    return any("Dropout" in module.type for module in _modules(case) if module.name == name)


def _modules(case: Case) -> list[Module]:
    return [module for description in case.network.descriptions for module in description.modules]


RULE = Rule(
    id="over_regularised",
    title="Too much regularisation",
    needs=(
        needs.statistics("weight_norm"),
        needs.records(20),
        needs.unless(_nothing_left, needs.curve("train_loss", "training loss was logged", 20)),
    ),
    thresholds=(
        Threshold("shrunk", 0.7, "norm of the weights over the first", 0.0, 1.0),
        Threshold("outweighs", 1.0, "decay that is added to gradients over these, at first", 0.0, 100.0),
        Threshold("dropout", 0.7, "share that dropout leaves out", 0.0, 1.0),
    ),
    find=find,
)
