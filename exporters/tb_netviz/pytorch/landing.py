"""Observed steps whose values are on their way from a device, until they are handed to the recorder."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from tb_netviz.pytorch.hooks import Guard
from tb_netviz.pytorch.interventions import Interventions
from tb_netviz.pytorch.measurement import Measurement
from tb_netviz.pytorch.membership import Membership, learning_rates
from tb_netviz.pytorch.standard import Dashboards
from tb_netviz.pytorch.transfers import Transfer
from tb_netviz.pytorch.turns import Step
from tb_netviz.recorder import Activities, OutputValues, Recorder

UNDERWAY = 4
"""Steps whose values may be on their way at once; until one has arrived no other is observed."""


class Landing:
    """Hands over the values of observed steps, in order, as they arrive; at once where they lie on the host.

    Args:
        guard: Runs the observer; statistics and scalars fail apart from each other.
        members: Knows the optimizers.
        recorder: Takes the statistics.
        dashboards: Takes what TensorBoard's own dashboards show.
        interventions: Takes what was done to the gradients.
        records: Whether this process records, and does not measure activations for another one only.
    """

    def __init__(
        self,
        guard: Guard,
        members: Membership,
        recorder: Recorder,
        dashboards: Dashboards,
        interventions: Interventions,
        *,
        records: bool,
    ) -> None:
        self._records = records
        self._of_records = guard.part("The statistics")
        self._of_activations = guard.part("The activations")
        self._of_outputs = guard.part("The outputs, targets and inputs")
        self._of_scalars = guard.part("The scalars in TensorBoard's own dashboard")
        self._members = members
        self._recorder = recorder
        self._dashboards = dashboards
        self._interventions = interventions
        self._underway: deque[Step] = deque()

    def has_room(self) -> bool:
        """Hand over what has arrived, and return whether another step may be observed; if not, count it as lost."""
        self._hand_over_arrived()
        has_room = len(self._underway) < UNDERWAY
        if not has_room:
            self._recorder.lose()
        return has_room

    def send(self, step: Step, measurement: Measurement) -> None:
        """Let the values of `step` set out, and hand over what has arrived."""
        measurement.send()
        self._of_activations.run(step.tally.send)
        self._of_outputs.run(step.outputs.send)
        self._underway.append(step)
        self._hand_over_arrived()

    def _hand_over_arrived(self) -> None:
        while self._underway and self._underway[0].ready:
            self._hand_over(self._underway.popleft())

    def wait(self) -> None:
        """Wait for what is on its way, and hand it over."""
        while self._underway:
            self._hand_over(self._underway.popleft())

    def _hand_over(self, step: Step) -> None:
        if step.measurement is None or step.skipped or not step.complete:
            return
        if not self._records:
            self._of_activations.run(self._pass_on, step)
            return
        self._of_records.run(self._record, step, step.measurement)
        self._of_scalars.run(self._show, step, step.measurement)
        self._interventions.show(step.index, step.comparison, step.measurement)

    def _record(self, step: Step, measurement: Measurement) -> None:
        with np.errstate(over="ignore"):
            values = measurement.values().astype(np.float32)
        activities, activation_bins = self._activities(step) or (None, None)
        outputs = self._outputs(step)
        self._recorder.observe(step.index, values, measurement.bins(), activities, activation_bins, outputs)

    def _pass_on(self, step: Step) -> None:
        found = self._activities(step)
        if found:
            self._recorder.observe_units(step.index, found[0])

    def _activities(self, step: Step) -> tuple[Activities, npt.NDArray[np.uint16] | None] | tuple[()]:
        """Return what activations did, and the magnitudes of their values; nothing where none are recorded."""
        found: list[tuple[Activities, npt.NDArray[np.uint16] | None]] = []
        if step.sites:
            scale = step.scale.number() if isinstance(step.scale, Transfer) else step.scale
            self._of_activations.run(
                lambda: found.append((step.tally.activities(step.sites, scale), step.tally.bins(step.sites)))
            )
        return found[0] if found else ()

    def _outputs(self, step: Step) -> OutputValues | None:
        found: list[OutputValues | None] = []
        self._of_outputs.run(lambda: found.append(step.outputs.values()))
        return found[0] if found else None

    def _show(self, step: Step, measurement: Measurement) -> None:
        rates = [
            rate
            for optimizer in self._members.optimizers
            for rate in step.rates.get(id(optimizer)) or learning_rates(optimizer)
        ]
        loss = None if step.loss is None else step.loss.number()
        self._dashboards.end(step.index, measurement.column("grad_norm"), rates, loss, step.samples)
