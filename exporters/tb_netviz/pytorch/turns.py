"""A training step in progress, and the optimizers that have their turn in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from tb_netviz.pytorch.activations.sites import Site
from tb_netviz.pytorch.activations.tally import Tally
from tb_netviz.pytorch.clipping import Comparison
from tb_netviz.pytorch.histograms import HistogramSample
from tb_netviz.pytorch.measurement import Measurement
from tb_netviz.pytorch.outputs import OutputTally
from tb_netviz.pytorch.shards import local
from tb_netviz.pytorch.transfers import Transfer


@dataclass
class Step:
    """A training step; several optimizers may have their turn in it.

    Attributes:
        index: Its number.
        ordinal: How many steps were begun before it, whatever their numbers.
        number: By which it is observed.
        measurement: Where the step is observed.
        keeps: Whether its gradients are kept for the step after it.
        has_histograms: Whether samples are taken for histograms.
        samples: Those samples.
        skips: Not zero where a loss scaler made it a step that changes nothing.
        comparison: Its gradients beside those before clipping.
        prepared: Whether it is settled if the backward passes of the next step are listened to.
        loss: Mean of the criterion, or of what the user said.
        rates: By the id of the optimizers that stepped, the learning rates of their groups, as they were then.
        complete: Whether all processes that hold shards have measured.
        before: By row, copies of the parameters that several optimizers step, from before the first of them did.
        tally: What was measured of activations.
        sites: Those that the description has, row by row.
        scale: The loss scale in its backward passes.
        outputs: What was measured of outputs, targets and inputs.
    """

    index: int
    ordinal: int
    number: int
    measurement: Measurement | None
    keeps: bool
    has_histograms: bool = False
    samples: list[HistogramSample] = field(default_factory=list)
    skips: list[Transfer] = field(default_factory=list)
    comparison: Comparison = field(default_factory=Comparison)
    prepared: bool = False
    loss: Transfer | None = None
    rates: dict[int, list[float]] = field(default_factory=dict)
    complete: bool = True
    before: dict[int, Tensor] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    sites: tuple[Site, ...] = ()
    scale: float | Transfer = 1.0
    outputs: OutputTally = field(default_factory=OutputTally)

    @property
    def ready(self) -> bool:
        """Whether all its values have arrived."""
        numbers = [sent for sent in (*self.skips, self.loss, self.scale) if isinstance(sent, Transfer)]
        if not (self.tally.ready and self.outputs.ready and all(sent.ready for sent in numbers)):
            return False
        return all(sample.ready for sample in self.samples) and (self.measurement is None or self.measurement.ready)

    @property
    def skipped(self) -> bool:
        """Whether it changed nothing; known once it is ready."""
        return any(skip.number() != 0 for skip in self.skips)


@dataclass
class Turn:
    """One optimizer's part in a step.

    Attributes:
        parameters: By row: its own, and with the first turn of a step those of no optimizer.
        late: Whether gradients are right only after the step.
        before: Copies of the parameters by row, where the update is measured.
    """

    parameters: dict[int, nn.Parameter]
    late: bool
    before: dict[int, Tensor] | None = None

    @property
    def rows(self) -> list[int]:
        """The rows."""
        return list(self.parameters)

    @property
    def weights(self) -> list[Tensor]:
        """Of each row the elements that are in this process."""
        return [local(parameter) for parameter in self.parameters.values()]
