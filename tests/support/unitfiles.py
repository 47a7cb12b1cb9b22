"""Runs that hold records of one activation's units."""

import numpy as np

from tb_netviz_plugin.analysis.units import UNIT_STATES
from tb_netviz_plugin.schema.description import Activation, Response
from tests.support.runs import START, UNIT_NAMES, RunFile, describe

LATER = START + 1000
ID = [words.state.id for words in UNIT_STATES]
FIRED, STD, LARGEST, SATURATED = (UNIT_NAMES.index(name) for name in ("fired", "std", "largest", "saturated"))
WIDTH = len(UNIT_NAMES)
NAN = np.nan


def one_activation(units, response=Response.RECTIFIER, *, frozen=False, model=""):
    layers = {"fc": {"weight": (units, 2)}, "act": {}}
    activation = Activation("act", 1, "ReLU", response, units, "feature", (8, units), 0)
    return describe(layers, activations=[activation], frozen=["fc"] if frozen else (), model=model)


def write(folder, columns_at, *, description=None, start=START, samples=600.0):
    """Write records of units, given by step as one number for each: its largest value, NaN for no number."""
    description = description or one_activation(len(next(iter(columns_at.values()))))
    with RunFile(folder, start=start) as file:
        file.describe(description, min(columns_at))
        for step, largest in columns_at.items():
            columns = np.zeros((len(largest), WIDTH))
            columns[:, LARGEST], columns[:, FIRED], columns[:, STD] = largest, np.greater(largest, 0), 0.5
            file.units(description, step, columns, np.array([[10.0, 10, samples, samples]]))


def states(app, run, activation=0):
    _, arrays = app.frame("units", run=run, activation=activation)
    return arrays["steps"].tolist(), [[ID[code] for code in row] for row in arrays["states"]]
