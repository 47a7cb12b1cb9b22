"""Evaluation in training mode, and training in evaluation mode, as the writer saw them."""

from __future__ import annotations

import re

import numpy as np

from tb_netviz_plugin.diagnosis.case import Case, Curve
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.schema.description import Module

RULE_ID = "train_eval_mismatch"
_MODAL = (
    "BatchNorm",
    "SyncBatchNorm",
    "LazyBatchNorm",
    "InstanceNorm",
    "Dropout",
    "AlphaDropout",
    "FeatureAlphaDropout",
)
"""What the types of modules begin with that do something else in evaluation."""
MODE = 0.9
"""Share of the evaluations, or of the steps, in the other mode, at which that is at fault."""
_EVALUATIONS = 3
"""Evaluations from which on it is a habit."""
_SHARE, _STEPS = 0.2, 20
"""Share of the run, and steps, over which training in evaluation mode is no passing state."""
_UNTRAINED = 0.2
"""By how much scales of a normalisation that begins differ from one after a step; of trained ones they scatter more."""

_EVALUATE = Remedy(
    "Switch to evaluation mode before you validate, and back afterwards.",
    "model.eval()\nwith torch.no_grad():\n    val_loss = criterion(model(inputs), targets)\nmodel.train()",
)
_TRAIN = Remedy("Switch back to training mode after each evaluation.", "model.train()")


def modal_types(case: Case) -> tuple[str, ...]:
    """Return the types of modules that do something else in evaluation."""
    types = (module.type for description in case.network.descriptions for module in description.modules)
    return tuple(dict.fromkeys(kind for kind in types if kind.startswith(_MODAL)))


def normalisations(case: Case) -> list[Module]:
    """Return the modules that normalise by batches."""
    modules = (module for description in case.network.descriptions for module in description.modules)
    return [module for module in modules if "BatchNorm" in module.type]


def dropouts(case: Case) -> dict[str, float]:
    """Return the share that each module leaves out that is dropout, or calls it as a function, by its name."""
    modules = (module for description in case.network.descriptions for module in description.modules)
    return {module.name: share for module in modules if (share := _left_out(module))}


def _left_out(module: Module) -> float:
    """Return the share that dropout leaves out; of older runs it is known from what modules say of themselves only."""
    found = re.search(r"\bp=([0-9.]+)", module.detail) if "Dropout" in module.type else None
    return float(found.group(1)) if found else module.dropout


def begins(case: Case, name: str) -> bool:
    """Whether the scales of a normalisation were about one at the first record, as none that has been trained has."""
    rows = [row for row, of in enumerate(case.network.parameters) if of.name == f"{name}.weight"]
    if not rows or not case.steps.size:
        return False
    scale = case.column("weight_norm")[rows[0], 0] / np.sqrt(case.network.elements[rows[0]])
    return bool(abs(scale - 1) <= _UNTRAINED)


def confused(case: Case, limit: float = MODE) -> list[Finding]:
    """Find models that are evaluated in training mode, or trained in evaluation mode."""
    found = (_trained_in_evaluation(case, limit), _evaluated_in_training(case, limit))
    return [finding for finding in found if finding]


def _evaluated_in_training(case: Case, limit: float) -> Finding | None:
    """Find evaluations that were in training mode; info where they may be samples, as of a generator."""
    curve = case.curve("evaluated_in_training_mode")
    if curve is None or curve.steps.size < _EVALUATIONS or not curve.values.mean() >= limit:
        return None
    share = float(curve.values.mean())
    validation = case.curve("val_loss")
    lines = [_line(curve), *([_line(validation)] if validation else [])]
    logged = f", and {validation.name} is that of such a network" if validation else ""
    return Finding(
        rule=RULE_ID,
        severity=Severity.WARNING if validation else Severity.INFO,
        layers=(),
        first_step=float(curve.steps[0]),
        last_step=float(curve.steps[-1]),
        message=f"{share:.0%} of the {curve.steps.size:,} evaluations since step {curve.steps[0]:,.0f} ran in training "
        f"mode, in which {_kinds(case)} something else{logged}.",
        beyond=Beyond("share of the evaluations that were in training mode", share, limit),
        evidence=tuple(lines),
        remedies=(_EVALUATE,),
        excluded=(
            "Not passes of a training step: they had no gradients, and came at fewer than every other step.",
            "Not passes that only update running statistics: there was hardly any other evaluation.",
        ),
        view="overview",
    )


def _trained_in_evaluation(case: Case, limit: float) -> Finding | None:
    """Find training that goes on in evaluation mode to the end; info where it may be meant so."""
    curve = case.curve("trained_in_evaluation_mode")
    if curve is None or curve.values[-1] != 1:
        return None
    before = np.flatnonzero(curve.values != 1)
    since = float(curve.steps[before[-1] + 1 if before.size else 0])
    lasting = case.last_step - since
    if lasting < max(_STEPS, _SHARE * (case.last_step - curve.steps[0])):
        return None
    fresh = any(begins(case, module.name) for module in normalisations(case))
    return Finding(
        rule=RULE_ID,
        severity=Severity.WARNING if before.size or fresh else Severity.INFO,
        layers=(),
        first_step=since,
        last_step=case.last_step,
        message=f"Since step {since:,.0f} the model is trained in evaluation mode, in which {_kinds(case)} something "
        "else: units are not left out, and running statistics stay as they are.",
        beyond=Beyond("share of the steps since then that were in evaluation mode", 1.0, limit),
        evidence=(_line(curve),),
        remedies=(_TRAIN,),
        excluded=(
            "Not a stage that begins so: at first it was in training mode."
            if before.size
            else "Not a network that was trained before: the scales of its normalisations began at one."
            if fresh
            else "It is as it should be where a trained network is tuned with its statistics frozen.",
        ),
        view="overview",
    )


def _kinds(case: Case) -> str:
    types = modal_types(case)
    if not types:
        return "some modules do"
    return f"{types[0]} does" if len(types) == 1 else f"{', '.join(types[:-1])} and {types[-1]} do"


def _line(curve: Curve) -> Line:
    return Line(curve.name, curve.name, curve.steps, curve.values)
