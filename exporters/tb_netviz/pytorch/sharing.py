"""What an observer does otherwise where several processes train a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from torch import Tensor, nn

from tb_netviz.events import warn
from tb_netviz.pytorch.activations.peers import Peers
from tb_netviz.pytorch.measurement import Measurement
from tb_netviz.pytorch.roster import Roster
from tb_netviz.pytorch.shards import is_sharded, leads, like, local, reason_to_omit
from tb_netviz.pytorch.team import Team, TeamError
from tb_netviz.recorder import Recorder
from tb_netviz.statistics.partials import SUMS
from tb_netviz_plugin.schema import bins
from tb_netviz_plugin.schema.description import Omission


class Sharing:
    """Between an observer and the other processes that hold shards, or copies, of its model.

    Args:
        team: Those that hold shards.
        peers: Those that hold copies.
        roster: The rows.
        recorder: Decides which steps are observed.

    Attributes:
        records: Whether this process records, and does not measure for another one only.
    """

    def __init__(self, team: Team, peers: Peers, roster: Roster, recorder: Recorder) -> None:
        self._team = team
        self._peers = peers
        self._roster = roster
        self._recorder = recorder
        self.records = leads()
        self._unread: set[str] = set()

    @property
    def measures(self) -> bool:
        """Whether this process measures gradients, weights and updates."""
        return self.records or self._team.together

    @property
    def hears(self) -> bool:
        """Whether this process measures activations."""
        return self.records or self._peers.follows

    def number(self, index: int, ordinal: int) -> int:
        """Return the number by which a step is observed: the user's own, or one that all processes agree on."""
        return self._team.position(ordinal) if self._team.together else index

    def mine(self, rows: Mapping[int, nn.Parameter]) -> dict[int, nn.Parameter]:
        """Return those of `rows` that are measured here: what is not sharded counts once, in the first process."""
        if self.records:
            return dict(rows)
        return {row: parameter for row, parameter in rows.items() if self._team.measures(parameter)}

    def gradients(self, rows: Mapping[int, nn.Parameter]) -> dict[int, Tensor | None]:
        """Return the local parts of the gradients, by row, without those that are no part of the gradient."""
        held = {}
        for row, parameter in rows.items():
            gradient = parameter.grad
            if gradient is None or like(gradient, parameter):
                held[row] = None if gradient is None else local(gradient)
            else:
                self._leave_out(self._roster.names[row])
        return held

    def _leave_out(self, name: str) -> None:
        if name not in self._unread:
            self._unread.add(name)
            self._roster.omit(Omission(f"The gradient of {name}", "is distributed otherwise than the parameter"))

    def merge(self, measurement: Measurement | None, rows: Collection[int], number: int) -> bool:
        """Put into `measurement` what all processes have measured of some rows.

        Args:
            measurement: What this process has measured; None where it is to measure nothing.
            rows: The rows that an optimizer has stepped; of those that are not sharded nothing changes.
            number: That of the step.

        Returns:
            Whether the values stand for all processes.
        """
        if not self._team.together:
            return True
        try:
            return self._merge(measurement, set(rows), number)
        except TeamError as error:
            self.leave(str(error))
            return False

    def _merge(self, measurement: Measurement | None, stepped: set[int], number: int) -> bool:
        rows = self._roster.sharded_rows()
        with_bins = self._recorder.bins_due(number)
        sums = np.zeros((len(rows), len(SUMS) + with_bins * bins.COUNT))
        largest = np.zeros(len(rows))
        here = np.array([row in stepped for row in rows], dtype=bool)
        taken = [row for row in rows if row in stepped]
        if measurement is not None and taken:
            sums[here, : len(SUMS)], largest[here] = measurement.sums(taken)
            counts = measurement.bins()
            if with_bins and counts is not None:
                sums[here, len(SUMS) :] = counts[taken]
        plan = self._recorder.proposal(number)
        merged = self._team.merge(sums, largest, plan, measured=measurement is not None)
        self._recorder.adopt(merged.plan)
        if measurement is not None:
            measurement.replace(taken, merged.sums[here, : len(SUMS)], merged.largest[here])
            if with_bins and measurement.counts is not None:
                measurement.counts[taken] = merged.sums[here, len(SUMS) :]
        return merged.complete

    def leave(self, reason: str) -> None:
        """Record sharded parameters no longer; the first process says so."""
        if not self._team.together:
            return
        self._team.leave(reason)
        self._recorder.shared = False
        if self.records:
            warn(f"sharded parameters are no longer recorded: {reason}. Training goes on.", stacklevel=6)


def complain(model: nn.Module, refusal: str) -> None:
    """Warn of parameters that are not recorded, for reasons that can be helped.

    Args:
        model: The model.
        refusal: Why sharded parameters are not recorded; empty if they are.
    """
    reasons = {reason_to_omit(parameter) for parameter in model.parameters()}
    if refusal and any(is_sharded(parameter) for parameter in model.parameters()):
        reasons.add(f"{refusal}: call watch in every process, before the first forward pass")
    for reason in sorted(reasons - {""}):
        warn(f"parameters are not recorded; each {reason}. Training goes on.", stacklevel=5)
