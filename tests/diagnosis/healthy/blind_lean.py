"""Healthy trainings under attack or of two minds, and networks that are sparse, binary, rounded or of many experts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import digits, majorities
from tests.diagnosis.networks import Attention, Transformer, mlp
from tests.diagnosis.proof import accuracy, alive, calm, generalises, learned, require, snapshot, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


def attacked(model: nn.Module, inputs: Tensor, targets: Tensor, reach: float, turns: int) -> Tensor:
    """Return inputs moved against the network, by no more than `reach` each."""
    moved = inputs + 0.01 * torch.randn_like(inputs)
    for _ in range(turns):
        moved = moved.detach().requires_grad_(True)
        slope = torch.autograd.grad(functional.cross_entropy(model(moved), targets), moved)[0]
        moved = inputs + (moved + 0.5 * reach * slope.sign() - inputs).clamp(-reach, reach)
    return moved.detach()


def defended(trial: Trial) -> None:
    """TRADES: to be right, and to say the same of pictures that are moved against it, of which the loss rises first."""
    data, model = digits(trial.seed), mlp((64, 128, 64, 10))
    optimizer, draw = (
        SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=2e-4),
        data.train.batches(64, trial.seed),
    )
    schedule = CosineAnnealingLR(optimizer, 200)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            moved = attacked(model, inputs, targets, 0.2, 3)
            scores, against = model(inputs), model(moved)
            natural = functional.cross_entropy(scores, targets)
            robust = functional.kl_div(against.log_softmax(1), scores.softmax(1), reduction="batchmean")
            optimizer.zero_grad()
            (natural + 3 * robust).backward()
            optimizer.step()
            schedule.step()
            writer.add_scalar("loss/natural", natural.detach(), writer.step)
            writer.add_scalar("loss/robust", robust.detach(), writer.step)
    learned(model, data.held_out, 0.9)
    inputs, targets = data.held_out.inputs, data.held_out.targets
    against = attacked(model.eval(), inputs, targets, 0.2, 5)
    held = float((model(against).argmax(1) == targets).float().mean())
    require(held > 0.75, f"{held:.2f} are right against an attack")


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, inputs: Tensor, strength: float) -> Tensor:
        context.strength = strength
        return inputs.view_as(inputs)

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        return -context.strength * slopes[0], None


class Domains(nn.Module):
    """Says the class, and where a picture comes from; the body learns not to let that be known."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(mlp((64, 96, 48), norm=nn.LayerNorm), nn.ELU())
        self.classes, self.domain = nn.Linear(48, 10), mlp((48, 32, 1), lambda: nn.LeakyReLU(0.1))

    def forward(self, inputs: Tensor, strength: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return scores [n, 10], and of the domain [n]."""
        hidden = self.body(inputs)
        return self.classes(hidden), self.domain(_Turned.apply(hidden, strength))[:, 0]


def domains(trial: Trial) -> None:
    """A domain adversary: its loss goes back to log 2 and stays, since what it is to tell is being hidden from it."""
    data, model = digits(trial.seed), Domains()
    optimizer, losses = Adam(model.parameters(), lr=2e-3), []
    here, there = (data.train.batches(48, trial.seed + 1000 * one) for one in range(2))
    generator = torch.Generator().manual_seed(trial.seed)

    back = 0.4 * torch.randn(64, generator=generator)

    def elsewhere(inputs: Tensor) -> Tensor:
        return inputs + back + 0.3 * torch.randn(inputs.shape, generator=generator)

    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(240):
            (inputs, targets), (others, _) = here(step), there(step)
            scores, told = model(torch.cat([inputs, elsewhere(others)]), 0.3 * min(1.0, step / 80))
            known = functional.cross_entropy(scores[:48], targets)
            side = functional.binary_cross_entropy_with_logits(told, (torch.arange(96) < 48).float())
            optimizer.zero_grad()
            (known + side).backward()
            optimizer.step()
            losses.append(float(side.detach()))
            writer.add_scalar("loss/label", known.detach(), writer.step)
            writer.add_scalar("loss/domain", losses[-1], writer.step)
    model.eval()
    with torch.no_grad():
        said, far = (model(one)[0] for one in (data.held_out.inputs, elsewhere(data.held_out.inputs)))
    right, over = (float((one.argmax(1) == data.held_out.targets).float().mean()) for one in (said, far))
    require(right > 0.93 and over > 0.85, f"{right:.2f} are right here, {over:.2f} there")
    alive(model, data.held_out.inputs)
    require(sum(losses[-40:]) / 40 > 0.45, f"the domain is told, with a loss of {sum(losses[-40:]) / 40:.2f}")


class Switch(nn.Module):
    """A transformer block whose tokens each go to one of four experts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.attention = nn.LayerNorm(width), nn.LayerNorm(width), Attention(width)
        self.gate = nn.Linear(width, 4, bias=False)
        self.experts = nn.ModuleList(mlp((width, 2 * width, width), nn.GELU) for _ in range(4))
        self.uneven, self.used = torch.zeros(()), torch.zeros(4)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs [n, length, width] with what attention and the experts add."""
        hidden = inputs + self.attention(self.norm1(inputs))
        tokens = self.norm2(hidden).flatten(0, 1)
        shares = self.gate(tokens).softmax(1)
        share, chosen = shares.max(1)
        made = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            at = (chosen == number).nonzero()[:, 0]
            made = made.index_add(0, at, share[at, None] * expert(tokens[at]))
        self.used = chosen.bincount(minlength=4) / len(chosen)
        self.uneven = 4 * (self.used * shares.mean(0)).sum()
        added: Tensor = hidden + made.view_as(hidden)
        return added


def switch(trial: Trial) -> None:
    """A switch transformer: an expert learns of its own tokens alone, and a loss that keeps them busy stays at one."""
    data, model = majorities(trial.seed), Transformer(12, 3, depth=1, block=Switch)
    blocks = [block for block in model.blocks if isinstance(block, Switch)]
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)

    def criterion(scores: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(scores, targets) + 0.02 * torch.stack([one.uneven for one in blocks]).sum()

    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, steps=150, every=4)
    for block in blocks:
        block.uneven = torch.zeros(())
    require(accuracy(model, data.held_out) > 0.88, f"the accuracy is {accuracy(model, data.held_out):.3f}")
    model(data.held_out.inputs)
    least = min(float(one.used.min()) for one in blocks)
    require(least > 0.05, f"an expert has {least:.2f} of the tokens")
    calm(history)
    generalises(history)


def ticket(trial: Trial) -> None:
    """A lottery ticket: four fifths of the weights were cut, what is left goes back to where it began, and learns."""
    data, model = digits(trial.seed), mlp((64, 128, 64, 10))
    start, draw = snapshot(model), data.train.batches(64, trial.seed)
    control(model, draw, Adam(model.parameters(), lr=3e-3), steps=150)
    for name in ("fc1", "fc2"):
        prune.l1_unstructured(model.get_submodule(name), "weight", 0.8)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(start[name.removesuffix("_orig")])
    optimizer = Adam(model.parameters(), lr=3e-3)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, steps=240, every=3)
    sound(model, data.held_out, 0.93, history)


class Signs(nn.Linear):
    """A linear layer that uses the signs of its weights; slopes go through as if it used the weights."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, outputs]."""
        signs = self.weight + (self.weight.sign() - self.weight).detach()
        return functional.linear(inputs, signs * self.in_features**-0.5)


def signs(trial: Trial) -> None:
    """BinaryConnect: weights are kept between −1 and 1, and only their signs are used; many steps change none."""
    data = digits(trial.seed)
    model = nn.Sequential(
        *(Signs(64, 192, bias=False), nn.BatchNorm1d(192), nn.Hardtanh()),
        *(Signs(192, 96, bias=False), nn.BatchNorm1d(96), nn.Hardtanh(), nn.Linear(96, 10)),
    )
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(64, trial.seed)
    schedule = CosineAnnealingLR(optimizer, 240)

    @torch.no_grad()
    def keep(_step: int) -> None:
        for module in model:
            if isinstance(module, Signs):
                module.weight.clamp_(-1, 1)

    history = fit(
        *(trial, model, draw, optimizer), schedule=schedule, after=keep, validation=data.held_out, steps=240, every=3
    )
    learned(model, data.held_out, 0.94)
    calm(history)
    generalises(history)


SCENARIOS = (
    Scenario("healthy-defended-mlp", "mlp", TUNING, defended),
    Scenario("healthy-domains-mlp", "mlp", TUNING, domains),
    Scenario("healthy-switch-transformer", "transformer", TUNING, switch),
    Scenario("healthy-ticket-mlp", "mlp", TUNING, ticket),
    Scenario("healthy-signs-mlp", "mlp", TUNING, signs),
)
