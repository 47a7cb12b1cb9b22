"""Runs the inputs of a probe through the model and keeps what its modules make of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tb_netviz.pytorch.probes.attention import Asked, AttentionMode
from tb_netviz.pytorch.probes.inputs import ProbeInputs
from tb_netviz.pytorch.probes.maps import NoMapError, maps_of
from tb_netviz.pytorch.probes.pictures import LARGEST_SIDE, PendingSheet
from tb_netviz.pytorch.probes.places import CONVOLUTIONS, Selection, Whereabouts
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.probe import MapKind


@dataclass(frozen=True, slots=True)
class Captured:
    """What one module made of the inputs: what it shows, and the maps, which may still be on their way.

    Attributes:
        module: Its name, with "#2" from its second call on.
        kind: What the maps show.
        shape: Maps of a sample, rows, columns.
        pending: The maps.
    """

    module: str
    kind: MapKind
    shape: tuple[int, int, int]
    pending: PendingSheet


class Capture:
    """Keeps what the chosen modules of a model make of the inputs in one forward pass.

    Args:
        selection: The modules.
        samples: How many inputs there are.

    Attributes:
        found: What they made of them, in the order in which they came to an end.
        omissions: What was left out, and why.
        output: What the model returned.
        convolution: Name and module of the last convolution with more than one place.
    """

    def __init__(self, selection: Selection, samples: int) -> None:
        self.found: list[Captured] = []
        self.omissions: list[Omission] = []
        self.output: Any = None
        self.convolution: tuple[str, nn.Module] | None = None
        self._selection = selection
        self._samples = samples
        self._where = Whereabouts(selection.names)
        self._calls: list[Asked] = []

    @property
    def ready(self) -> bool:
        """Whether no map would have to be waited for."""
        return all(one.pending.ready for one in self.found)

    def run(self, model: nn.Module, inputs: ProbeInputs) -> None:
        """Run `inputs` through `model`, which has no hooks but ours now."""
        handles = [handle for module in model.modules() for handle in self._listen(module)]
        with AttentionMode(self._attended):
            self.output = inputs.call(model)
        for handle in handles:  # What comes after in the same calm is none of ours to look at.
            handle.remove()

    def let_go(self) -> None:
        """Let go of the model and of what it returned, and keep what was found."""
        self.output, self.convolution = None, None

    def add(self, module: str, kind: MapKind, values: Tensor) -> None:
        """Keep maps [samples, maps, height, width]."""
        height, width = values.shape[-2:]
        if max(height, width) > LARGEST_SIDE:
            shown = f"{min(height, LARGEST_SIDE)}×{min(width, LARGEST_SIDE)}"
            self.omissions.append(Omission(module, f"its maps of {height}×{width} are averaged down to {shown}"))
        shape = (values.shape[1], min(height, LARGEST_SIDE), min(width, LARGEST_SIDE))
        self.found.append(Captured(module, kind, shape, PendingSheet(values)))

    def _listen(self, module: nn.Module) -> Iterator[RemovableHandle]:
        yield module.register_forward_pre_hook(self._where.enter)
        if isinstance(module, nn.MultiheadAttention):
            yield module.register_forward_pre_hook(self._asking, with_kwargs=True)
            yield module.register_forward_hook(self._answered)
        elif self._selection.has_output(module):
            yield module.register_forward_hook(self._left)
        if isinstance(module, CONVOLUTIONS):
            yield module.register_forward_hook(self._convolved)
        yield module.register_forward_hook(self._where.leave)

    def _left(self, module: nn.Module, _arguments: object, output: Any) -> None:
        name = self._where.innermost
        try:
            kind, values, part = maps_of(module, output, self._samples)
        except NoMapError as reason:
            self.omissions.append(Omission(name, str(reason)))
            return
        label = self._where.label(name, kind)
        if part:
            self.omissions.append(Omission(label, part))
        self.add(label, kind, values)

    def _convolved(self, module: nn.Module, _arguments: object, output: Tensor) -> None:
        if math.prod(output.shape[2:]) > 1:
            self.convolution = self._where.innermost, module

    def _asking(self, _module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        self._calls.append(Asked(arguments, keywords))
        return self._calls[-1].arguments, self._calls[-1].keywords

    def _answered(self, _module: nn.Module, _arguments: object, output: Any) -> Any:
        weights = output[1]
        self._attended(weights[None] if weights.ndim == 3 else weights)
        return self._calls.pop().answer(output)

    def _attended(self, weights: Tensor) -> None:
        name = self._where.innermost
        if not self._selection.has_attention(name):
            return
        by_head = weights[:, None] if weights.ndim == 3 else weights
        if by_head.ndim != 4 or len(by_head) != self._samples or not by_head.numel():
            shape = tuple(weights.shape)
            self.omissions.append(
                Omission(name, f"its attention has the shape {shape}, where the probe has {self._samples} samples")
            )
            return
        self.add(self._where.label(name, MapKind.ATTENTION), MapKind.ATTENTION, by_head)
