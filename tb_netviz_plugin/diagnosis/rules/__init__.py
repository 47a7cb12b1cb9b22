"""The rules, one to a file. To add one: write its file, and add a line to RULES and a heading to docs/findings.md."""

from __future__ import annotations

from tb_netviz_plugin.diagnosis.rule import Rule
from tb_netviz_plugin.diagnosis.rules import (
    clip_saturated,
    dead_units,
    exploding_gradient,
    input_unnormalised,
    layer_not_training,
    loss_oscillation,
    loss_plateau,
    loss_spike,
    low_precision_underflow,
    lr_too_high,
    lr_too_low,
    missing_nonlinearity,
    missing_zero_grad,
    nonfinite,
    overfitting,
    poor_init,
    redundant_units,
    saturation,
    underfitting,
    unused_parameter,
    vanishing_gradient,
    wrong_output_or_loss,
)

RULES: tuple[Rule, ...] = (
    nonfinite.RULE,
    wrong_output_or_loss.RULE,
    input_unnormalised.RULE,
    poor_init.RULE,
    lr_too_high.RULE,
    exploding_gradient.RULE,
    vanishing_gradient.RULE,
    dead_units.RULE,
    saturation.RULE,
    layer_not_training.RULE,
    unused_parameter.RULE,
    missing_zero_grad.RULE,
    lr_too_low.RULE,
    low_precision_underflow.RULE,
    clip_saturated.RULE,
    loss_spike.RULE,
    loss_oscillation.RULE,
    loss_plateau.RULE,
    overfitting.RULE,
    underfitting.RULE,
    missing_nonlinearity.RULE,
    redundant_units.RULE,
)
