"""Independent measurements that prove a fault: in float64, by autograd alone, after the writer is closed."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tests.diagnosis.data import Part
from tests.diagnosis.scenario import NotProvenError
from tests.diagnosis.training import Criterion, History


def require(holds: object, words: str) -> None:
    """Raise NotProvenError unless it holds."""
    if not holds:
        raise NotProvenError(words)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all parameters."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def moved(before: Mapping[str, Tensor], model: nn.Module) -> dict[str, float]:
    """Return by parameter the largest change of an element."""
    return {name: float((value.detach() - before[name]).abs().max()) for name, value in model.named_parameters()}


def double(model: nn.Module) -> nn.Module:
    """Return a copy in float64."""
    return copy.deepcopy(model).double()


def widened(inputs: Tensor) -> Tensor:
    """Return numbers in float64, and tokens as they are."""
    return inputs.double() if inputs.is_floating_point() else inputs


def gradients(model: nn.Module, part: Part, criterion: Criterion | None = None) -> dict[str, float]:
    """Return by parameter the root mean square of its gradient over `part`; 0 where there is none."""
    precise = double(model).train()
    loss = (criterion or nn.CrossEntropyLoss())(precise(widened(part.inputs)), widened(part.targets))
    named = [(name, parameter) for name, parameter in precise.named_parameters() if parameter.requires_grad]
    found = torch.autograd.grad(loss, [parameter for _, parameter in named], allow_unused=True)
    return {
        name: 0.0 if gradient is None else float(gradient.square().mean().sqrt())
        for (name, _), gradient in zip(named, found, strict=True)
    }


def outputs(model: nn.Module, module: str, inputs: Tensor) -> Tensor:
    """Return what a module gives in evaluation mode, in float64."""
    precise = double(model).eval()
    held: list[Tensor] = []
    precise.get_submodule(module).register_forward_hook(lambda _module, _inputs, output: held.append(output))
    with torch.no_grad():
        precise(widened(inputs))
    return held[0]


def silent(model: nn.Module, module: str, inputs: Tensor) -> Tensor:
    """Return which units (of axis 1) are above zero for none of the inputs."""
    given = outputs(model, module, inputs)
    return ~(given > 0).movedim(1, 0).flatten(1).any(1)


def accuracy(model: nn.Module, part: Part) -> float:
    """Return the share of samples, or of places, that a classifier gets right."""
    precise = double(model).eval()
    with torch.no_grad():
        return float((precise(widened(part.inputs)).argmax(1) == part.targets).double().mean())


def loss_of(model: nn.Module, part: Part, criterion: Criterion | None = None) -> float:
    """Return the loss over `part` in evaluation mode."""
    precise = double(model).eval()
    with torch.no_grad():
        return float((criterion or nn.CrossEntropyLoss())(precise(widened(part.inputs)), widened(part.targets)))


def alive(model: nn.Module, inputs: Tensor, most: float = 0.2) -> None:
    """Raise NotProvenError where so large a share of the units (of axis 1) of a ReLU fires for none of the inputs."""
    precise = double(model).eval()
    fired: dict[nn.Module, Tensor] = {}

    def look(module: nn.Module, _inputs: object, output: Tensor) -> None:
        fired[module] = fired.get(module, torch.tensor(False)) | (output > 0).movedim(1, 0).flatten(1).any(1)

    for module in precise.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(look)
    with torch.no_grad():
        precise(widened(inputs))
    for number, units in enumerate(fired.values()):
        share = float((~units).double().mean())
        require(share <= most, f"{share:.2f} of the units of ReLU {number} are dead")


def learned(model: nn.Module, part: Part, least: float) -> None:
    """Raise NotProvenError unless a classifier gets so large a share right, and its units are alive."""
    alive(model, part.inputs)
    share = accuracy(model, part)
    require(share >= least, f"the accuracy is {share:.3f}, which is below {least:g}")


def finite(model: nn.Module) -> None:
    """Raise NotProvenError where a weight is not finite."""
    require(all(bool(value.isfinite().all()) for value in model.parameters()), "a weight is not finite")


def calm(history: History, most: float = 0.25) -> None:
    """Raise NotProvenError where the loss leaps by so large a share of its fall, once a tenth of the run is over."""
    losses = history.train
    fall, after = losses[0] - min(losses), max(20, len(losses) // 10)
    leap = max(losses[at] - max(losses[at - 20 : at]) for at in range(after, len(losses)))
    require(leap < most * fall, f"the loss leaps by {leap:.3g} after a fall of {fall:.3g}")


def generalises(history: History, rise: float = 0.1, gap: float = 0.25) -> None:
    """Raise NotProvenError where the loss held out rose again, or is far above that in training.

    Args:
        history: Of a training with evaluations.
        rise: Share of its fall by which the loss held out may have risen from its least.
        gap: Share of the first loss by which it may be above the loss in training at the end.
    """
    losses = list(history.validation.values())
    end, least = sum(losses[-3:]) / 3, min(losses)
    risen = (end - least) / (history.train[0] - least)
    require(risen < rise, f"the loss held out rose by {risen:.2f} of its fall")
    apart = (end - history.end) / history.train[0]
    require(apart < gap, f"the losses are {apart:.2f} of the first one apart")


def sound(model: nn.Module, part: Part, least: float, history: History) -> None:
    """Raise NotProvenError unless a classifier has learned without leaps, by heart or with units that are dead."""
    learned(model, part, least)
    calm(history)
    if history.validation:
        generalises(history)
