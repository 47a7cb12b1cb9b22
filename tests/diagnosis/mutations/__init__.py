"""Faults that are put mechanically into healthy trainings. To add one: a function beside the others of its kind, and a
line in that file's MUTATIONS.
"""

from __future__ import annotations

from tests.diagnosis.mutations import data, ends, layers, numbers, starts, steps, wiring
from tests.diagnosis.mutations.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = (
    *steps.MUTATIONS,
    *starts.MUTATIONS,
    *layers.MUTATIONS,
    *wiring.MUTATIONS,
    *ends.MUTATIONS,
    *data.MUTATIONS,
    *numbers.MUTATIONS,
)
