"""The columns that are recorded, and how they merge over tensors and over steps.

Everything recorded is mergeable, so that the statistics of a layer follow from those of its
parameters, and those of a window of steps from those of its steps. Means, norms and ratios that
people read are derived from them (see `statistics.py`).

Norms are stored instead of sums of squares: they merge just as exactly and keep twice the range of
exponents in float32, which a vanishing gradient needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Merge(StrEnum):
    """How a column of several tensors becomes that of all of them together."""

    SUM = "sum"
    """Added over tensors; averaged over the steps of a window."""
    ROOT_SQUARE = "root_square"
    """Root of the sum of squares over tensors; root of the mean of squares over steps."""
    MAX = "max"
    """Largest over tensors, and over steps."""
    MIN = "min"
    """Smallest over tensors, and over steps."""


@dataclass(frozen=True, slots=True)
class Column:
    """One recorded number of one parameter at one step."""

    id: str
    merge: Merge
    definition: str


# The order is the order in which an exporter that records everything writes them; a reader follows
# the ids that the run's description lists.
PARAMETER_COLUMNS: tuple[Column, ...] = (
    Column("present", Merge.SUM, "1 where the parameter had a gradient, 0 where it was None."),
    Column("grad_norm", Merge.ROOT_SQUARE, "Euclidean norm of the gradient."),
    Column("grad_abs_sum", Merge.SUM, "Sum of the gradient's magnitudes."),
    Column("grad_abs_max", Merge.MAX, "Largest magnitude in the gradient."),
    Column("grad_sum", Merge.SUM, "Sum of the gradient's elements, with their sign."),
    Column("grad_zeros", Merge.SUM, "Elements of the gradient that are exactly zero."),
    Column("grad_nonfinite", Merge.SUM, "Elements of the gradient that are NaN or infinite."),
    Column("weight_norm", Merge.ROOT_SQUARE, "Euclidean norm of the parameter after the step."),
    Column("update_norm", Merge.ROOT_SQUARE, "Euclidean norm of the change that the step made."),
    Column("grad_dot_last", Merge.SUM, "Inner product with the gradient of the step before."),
    Column("grad_norm_last", Merge.ROOT_SQUARE, "Euclidean norm of the gradient of the step before."),
)
PARAMETER_COLUMN: dict[str, Column] = {column.id: column for column in PARAMETER_COLUMNS}

ACTIVATION_COLUMNS: tuple[Column, ...] = (
    Column("act_values", Merge.SUM, "Values of the output that were measured at a step."),
    Column("act_samples", Merge.SUM, "Samples that they belong to."),
    Column("act_sum", Merge.SUM, "Sum of the values, with their sign."),
    Column("act_norm", Merge.ROOT_SQUARE, "Euclidean norm of the values."),
    Column("act_abs_max", Merge.MAX, "Largest magnitude among the values."),
    Column("act_zeros", Merge.SUM, "Values that are exactly zero."),
    Column("act_saturated", Merge.SUM, "Values where the function is flat."),
    Column("act_nonfinite", Merge.SUM, "Values that are NaN or infinite; at least one where any was, measured or not."),
    Column("act_grad_norm", Merge.ROOT_SQUARE, "Euclidean norm of the gradient of the loss by the output."),
    Column(
        "act_within_norm",
        Merge.ROOT_SQUARE,
        "Euclidean norm of what the values deviate from the mean of their unit in the same entry along the first axis.",
    ),
)
ACTIVATION_COLUMN: dict[str, Column] = {column.id: column for column in ACTIVATION_COLUMNS}

# Of one unit over the steps of a record. Averages weigh every sample alike.
UNIT_COLUMNS: tuple[Column, ...] = (
    Column("fired", Merge.SUM, "Share of the counted samples in which some value of the unit was above zero."),
    Column("mean", Merge.SUM, "Mean of its values."),
    Column("std", Merge.ROOT_SQUARE, "Standard deviation of its values."),
    Column("largest", Merge.MAX, "Largest value over all samples; over the counted ones where no unit can die."),
    Column("saturated", Merge.SUM, "Share of its values where the function is flat."),
    Column("gradient", Merge.ROOT_SQUARE, "Root mean square, over samples, of the norm of its gradient."),
    Column("twin", Merge.MAX, "One more than the index of the first unit with equal weights; negative if opposite."),
)

UNIT_STEP_COLUMNS: tuple[Column, ...] = (
    Column("span", Merge.SUM, "Steps from the first observed step of the record to its last, inclusive."),
    Column("observations", Merge.SUM, "Steps at which the activation was observed in that span."),
    Column("samples", Merge.SUM, "Samples whose largest value was read."),
    Column("counted", Merge.SUM, "Samples that the shares and the moments are of."),
)

# Of what goes into a model and of what its loss is computed from. NaN where nothing of it was seen.
OUTPUT_COLUMNS: tuple[Column, ...] = (
    Column("out_values", Merge.SUM, "Values of the outputs that were measured at a step."),
    Column("out_samples", Merge.SUM, "Samples that they belong to; each has one value of every class."),
    Column("out_classes", Merge.MAX, "Length of the axis of classes; 1 where there is none."),
    Column("out_sum", Merge.SUM, "Sum of the outputs, with their sign."),
    Column("out_norm", Merge.ROOT_SQUARE, "Euclidean norm of the outputs."),
    Column("out_min", Merge.MIN, "Smallest output."),
    Column("out_max", Merge.MAX, "Largest output."),
    Column("out_nonfinite", Merge.SUM, "Outputs that are NaN or infinite."),
    Column("out_class_sum_min", Merge.MIN, "Smallest sum of the outputs of one sample over the classes."),
    Column("out_class_sum_max", Merge.MAX, "Largest such sum; both are 1 behind a softmax."),
    Column(
        "target_kind", Merge.MAX, "What the targets are: 1 class indices, 2 numbers of the outputs' shape, 3 others."
    ),
    Column("target_values", Merge.SUM, "Values of the targets that were measured at a step."),
    Column("target_sum", Merge.SUM, "Sum of the targets, with their sign."),
    Column("target_norm", Merge.ROOT_SQUARE, "Euclidean norm of the targets."),
    Column("target_min", Merge.MIN, "Smallest target."),
    Column("target_max", Merge.MAX, "Largest target."),
    Column("target_nonfinite", Merge.SUM, "Targets that are NaN or infinite."),
    Column("labelled", Merge.SUM, "Samples whose target is the index of a class, and whose cross-entropy is finite."),
    Column("correct", Merge.SUM, "Those of them whose largest output is that of the target."),
    Column("loss_sum", Merge.SUM, "Sum of their cross-entropies, the outputs taken as logits."),
    Column("loss_norm", Merge.ROOT_SQUARE, "Root of the sum of the squares of their cross-entropies."),
    Column("loss_max", Merge.MAX, "Largest of their cross-entropies."),
    Column("in_kind", Merge.MAX, "What the inputs are: 1 whole numbers such as tokens, 2 others."),
    Column("in_values", Merge.SUM, "Values of the inputs that were measured at a step."),
    Column("in_sum", Merge.SUM, "Sum of the inputs, with their sign."),
    Column("in_norm", Merge.ROOT_SQUARE, "Euclidean norm of the inputs."),
    Column("in_min", Merge.MIN, "Smallest input."),
    Column("in_max", Merge.MAX, "Largest input."),
    Column("in_nonfinite", Merge.SUM, "Inputs that are NaN or infinite."),
    Column("in_std_min", Merge.MIN, "Smallest standard deviation of a feature over a step, of those that vary."),
    Column("in_std_max", Merge.MAX, "Largest one."),
)
OUTPUT_COLUMN: dict[str, Column] = {column.id: column for column in OUTPUT_COLUMNS}

# Of one class over all observed steps since the record of classes before.
CLASS_COLUMNS: tuple[Column, ...] = (
    Column("targets", Merge.SUM, "Samples whose target is the class."),
    Column("hits", Merge.SUM, "Those of them whose largest output is that of the class."),
    Column("losses", Merge.SUM, "Sum of their cross-entropies."),
)

# Of one evaluation, and of the passes in training that were measured up to it. NaN where nothing of it was seen.
EVALUATION_COLUMNS: tuple[Column, ...] = (
    Column("samples", Merge.SUM, "Entries along the first axis of the inputs that were measured in the evaluation."),
    Column("trained_samples", Merge.SUM, "The same in training, from the start."),
    Column("in_kind", Merge.MAX, "What the inputs are: 1 whole numbers such as tokens, 2 others."),
    Column("trained_in_kind", Merge.MAX, "The same in training."),
    Column("in_mean", Merge.SUM, "Mean of the inputs."),
    Column("trained_in_mean", Merge.SUM, "The same in training."),
    Column("in_size", Merge.ROOT_SQUARE, "Root mean square of the inputs."),
    Column("trained_in_size", Merge.ROOT_SQUARE, "The same in training."),
    Column("in_min", Merge.MIN, "Smallest input."),
    Column("trained_in_min", Merge.MIN, "The same in training."),
    Column("in_max", Merge.MAX, "Largest input."),
    Column("trained_in_max", Merge.MAX, "The same in training."),
    Column("in_std_min", Merge.MIN, "Smallest standard deviation of a feature, of those that vary."),
    Column("trained_in_std_min", Merge.MIN, "The same in training."),
    Column("in_std_max", Merge.MAX, "Largest one."),
    Column("trained_in_std_max", Merge.MAX, "The same in training."),
    Column("in_zeros", Merge.SUM, "Share of the inputs that are exactly zero."),
    Column("trained_in_zeros", Merge.SUM, "The same in training."),
    Column("in_shift", Merge.SUM, "Middle over features of the distance between both means in pooled deviations."),
    Column("in_shift_max", Merge.MAX, "Largest one."),
    Column("in_factor", Merge.SUM, "Middle over features of the deviation over that in training."),
    Column("in_factor_min", Merge.MIN, "Smallest one."),
    Column("in_factor_max", Merge.MAX, "Largest one."),
    Column("out_size", Merge.ROOT_SQUARE, "Root mean square of the outputs."),
    Column("trained_out_size", Merge.ROOT_SQUARE, "That of the last pass in training that was measured."),
)

STEP_COLUMNS: tuple[Column, ...] = (
    Column("span", Merge.SUM, "Steps from the first observed step of the record to its last, inclusive."),
    Column("observations", Merge.SUM, "Steps that were observed in that span."),
    Column("step_seconds", Merge.SUM, "Mean duration of a training step since the last record, netviz included."),
    Column("observe_seconds", Merge.SUM, "Mean time spent in netviz per training step since the last record."),
    Column("interval", Merge.MAX, "Every how many steps one is observed."),
    Column("dropped", Merge.SUM, "Records lost so far because the disk could not keep up or failed."),
)

METRIC_COLUMNS: tuple[Column, ...] = (
    Column("span", Merge.SUM, "Steps from the first value of the record to its last, inclusive."),
    Column("observations", Merge.SUM, "Values that were logged in that span."),
    Column("mean", Merge.SUM, "Mean of the finite values."),
    Column("min", Merge.MIN, "Smallest finite value."),
    Column("max", Merge.MAX, "Largest finite value."),
    Column("nonfinite", Merge.SUM, "Values that were NaN or infinite."),
)

# Planes of a windowed PARAMETERS record, [3, rows, columns]; a record of one observed step has only the first.
PLANES: tuple[str, ...] = ("centre", "low", "high")
