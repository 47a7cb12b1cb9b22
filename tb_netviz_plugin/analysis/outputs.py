"""What goes into a model, what comes out of it beside the targets, and how each class does, record by record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tb_netviz_plugin.analysis.grid import survivors
from tb_netviz_plugin.analysis.records import Floats, Records
from tb_netviz_plugin.schema.columns import CLASS_COLUMNS

NO_TARGETS, CLASS_INDICES, NUMBERS, OTHER_TARGETS = range(4)
"""What targets are; inputs that are whole numbers, such as tokens, have the second one for a kind, others the third."""


@dataclass(frozen=True, slots=True)
class Values:
    """What is known of some values, T records; NaN where nothing is.

    Attributes:
        mean: Mean of the finite ones, [T].
        std: Their standard deviation, [T].
        smallest: The smallest of a record, [T].
        largest: The largest, [T].
        nonfinite: Share of the values that are not finite, [T].
    """

    mean: Floats
    std: Floats
    smallest: Floats
    largest: Floats
    nonfinite: Floats


@dataclass(frozen=True, slots=True)
class Outputs:
    """What is known of the two ends of a model, T records, those of its parameters; NaN where nothing is.

    Attributes:
        model: Name of the model.
        criterion: Type of its loss, such as "CrossEntropyLoss"; empty where unknown.
        steps: Last step of each record, [T].
        outputs: The outputs that the loss got.
        samples: Samples of them at a step, [T].
        classes: Length of their axis of classes, [T]; 1 where they have none.
        class_sum_smallest: Smallest sum over the classes, of one sample, [T].
        class_sum_largest: Largest one, [T]; both are 1 behind a softmax.
        targets: The targets that the loss got; of class indices the indices.
        target_kind: NO_TARGETS, CLASS_INDICES, NUMBERS of the outputs' shape or OTHER_TARGETS, [T].
        labelled: Samples at a step that have the index of a class for a target, [T].
        accuracy: Share of them whose largest output is that of the target, [T].
        loss: Mean of their cross-entropies in nats, the outputs taken as logits, [T].
        loss_std: Standard deviation over samples, [T].
        loss_largest: The largest, [T].
        inputs: The first tensor that the model is called with.
        input_kind: CLASS_INDICES where it holds whole numbers, else NUMBERS, [T].
        feature_std_smallest: Smallest standard deviation of a feature, of those that vary, [T].
        feature_std_largest: Largest one, [T].
    """

    model: str
    criterion: str
    steps: Floats
    outputs: Values
    samples: Floats
    classes: Floats
    class_sum_smallest: Floats
    class_sum_largest: Floats
    targets: Values
    target_kind: Floats
    labelled: Floats
    accuracy: Floats
    loss: Floats
    loss_std: Floats
    loss_largest: Floats
    inputs: Values
    input_kind: Floats
    feature_std_smallest: Floats
    feature_std_largest: Floats


@dataclass(frozen=True, slots=True)
class Classes:
    """How each class does, N records. They add up: each is of all observed steps since the one before.

    Attributes:
        model: Name of the model.
        steps: Last step of each record, [N].
        targets: Samples of each class, [C, N].
        hits: Those of them whose largest output is that of the class, [C, N].
        losses: Sum of their cross-entropies, [C, N].
    """

    model: str
    steps: Floats
    targets: Floats
    hits: Floats
    losses: Floats


def outputs_from(
    model: str, criterion: str, axis: Floats, columns: Sequence[str], records: Records, steps: Records
) -> Outputs | None:
    """Return what the records of the outputs say; None where there is none of them.

    Args:
        model: Name of the model.
        criterion: Type of its loss.
        axis: Steps of the records of the parameters.
        columns: Ids of the columns of `records`.
        records: Of the family `outputs`.
        steps: Of the family `steps`.
    """
    if len(records.plane(0)) != len(columns) or not records.steps.size:
        return None
    kept = survivors(records, [steps, records])
    places = np.searchsorted(axis, records.steps[kept])
    spread = np.full((len(columns), len(axis)), np.nan)
    spread[:, places] = records.plane(0)[:, kept]
    spread[~np.isfinite(spread)] = np.nan
    return _named(model, criterion, axis, dict(zip(columns, spread, strict=True)))


def classes_from(model: str, records: Records, steps: Records) -> Classes | None:
    """Return what the records of the classes say, of the family `classes`; None where there is none of them."""
    if records.plane(0).shape[1] != len(CLASS_COLUMNS) or not records.steps.size:
        return None
    # Records of both families that end at the same step are of one session, whichever was written first.
    kept = survivors(records, [replace(steps, steps=steps.steps + 0.5), records])
    targets, hits, losses = records.plane(0)[:, :, kept].astype(np.float64).transpose(1, 0, 2)
    return Classes(model, records.steps[kept], targets, hits, losses)


@np.errstate(all="ignore")  # Where nothing is known there is nothing to divide by.
def _named(model: str, criterion: str, axis: Floats, columns: Mapping[str, Floats]) -> Outputs:
    nothing = np.full(len(axis), np.nan)  # Of a column that an older writer doesn't have.

    def column(name: str) -> Floats:
        return columns.get(name, nothing)

    def values(prefix: str) -> Values:
        count, nonfinite = column(f"{prefix}_values"), column(f"{prefix}_nonfinite")
        mean, std = _moments(count - nonfinite, column(f"{prefix}_sum"), column(f"{prefix}_norm"))
        return Values(mean, std, column(f"{prefix}_min"), column(f"{prefix}_max"), nonfinite / count)

    labelled = column("labelled")
    loss, loss_std = _moments(labelled, column("loss_sum"), column("loss_norm"))
    return Outputs(
        model=model,
        criterion=criterion,
        steps=axis,
        outputs=values("out"),
        samples=column("out_samples"),
        classes=column("out_classes"),
        class_sum_smallest=column("out_class_sum_min"),
        class_sum_largest=column("out_class_sum_max"),
        targets=values("target"),
        target_kind=np.nan_to_num(column("target_kind"), nan=NO_TARGETS),
        labelled=labelled,
        accuracy=column("correct") / labelled,
        loss=loss,
        loss_std=loss_std,
        loss_largest=column("loss_max"),
        inputs=values("in"),
        input_kind=column("in_kind"),
        feature_std_smallest=column("in_std_min"),
        feature_std_largest=column("in_std_max"),
    )


def _moments(count: Floats, total: Floats, norm: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of `count` values, from their sum and their Euclidean norm."""
    mean = total / count
    return mean, np.sqrt(np.maximum(np.square(norm) / count - np.square(mean), 0.0))
