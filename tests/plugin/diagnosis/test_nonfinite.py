"""`nonfinite` says where NaN came from, since when, and whether it passed."""

from dataclasses import replace

import numpy as np
import pytest

from tb_netviz_plugin.diagnosis import Severity
from tb_netviz_plugin.schema.description import Activation, Module, Response
from tests.support.modelled import RECORDS, Model, falling, found
from tests.support.runs import OUTPUT_NAMES

RULE = "nonfinite"
DEPTH = 4


class Dense(Model):
    """Linear layers, of whose outputs a share may not be finite at each record, [T, A]."""

    def __init__(self):
        layers = {f"fc{number}": {"weight": (8, 8)} for number in range(DEPTH)}
        outputs = [
            Activation(name, at, "Linear", Response.NONE, 0, "", (4, 8), source=at) for at, name in enumerate(layers)
        ]
        super().__init__(layers=layers, activations=outputs)
        self.spoiled = np.zeros((RECORDS, DEPTH))

    def outputs(self):
        rows = super().outputs()
        for row, spoiled in zip(rows, self.spoiled, strict=True):
            row[:, OUTPUT_NAMES.index("act_nonfinite")] = 1024 * spoiled
        return rows


def test_the_first_output_of_the_forward_pass_is_named():
    model = Dense()
    model.spoiled[30, 2:] = 1 / 32  # One sample, from the third layer on.
    model.norms[30:], model.spoiled[31:] = np.nan, 1
    (finding,) = found(RULE, model)
    assert finding.layers[0] == 2
    assert (finding.first_step, finding.last_step, finding.severity) == (300, 590, Severity.CRITICAL)


def test_a_module_without_weights_is_named_before_the_layers_behind_it():
    model = Dense()
    modules = (*model.description.modules, Module("attention.softmax", "Softmax"))
    softmax = Activation("attention.softmax", len(modules) - 1, "Softmax", Response.SOFTMAX, 0, "", (4, 8))
    outputs = model.description.activations
    model.description = replace(model.description, modules=modules, activations=(*outputs[:2], softmax, *outputs[3:]))
    model.spoiled[30, 2:] = 1 / 32
    model.norms[30:], model.spoiled[31:] = np.nan, 1
    (finding,) = found(RULE, model)
    assert (finding.modules, finding.layers) == (("attention.softmax",), (3,))
    assert "attention.softmax" in finding.message.split(" was the first")[0]


def test_a_gradient_that_comes_before_the_outputs_is_named():
    model = Dense()
    model.norms[30:], model.spoiled[31:] = np.nan, 1
    (finding,) = found(RULE, model)
    assert finding.message.startswith("fc3's gradient was not finite, with those of 3 more layers")
    assert finding.first_step == 300


def test_what_passes_is_less_grave():
    model = Dense()
    model.norms[30:33] = np.nan
    (finding,) = found(RULE, model)
    assert (finding.severity, finding.last_step) == (Severity.WARNING, 320)
    assert "it passed" in finding.message


def test_a_loss_alone_is_told_too():
    loss = falling()
    loss[20] = np.inf
    (finding,) = found(RULE, Model(), train=loss)
    assert (finding.first_step, finding.severity) == (200, Severity.WARNING)


@pytest.mark.parametrize("scale", [1e-30, 1e15])
def test_healthy_runs_of_any_scale_are_left_alone(scale):
    model = Model()
    model.norms *= scale
    assert found(RULE, model, train=falling()) == []


def test_one_record_and_several_models():
    well, ill = Model(records=1, name="a"), Model(records=1, name="b")
    ill.norms[:] = np.nan
    (finding,) = found(RULE, well, ill)
    assert min(finding.layers) >= 18
