"""Clothes, verse, flats and molecules: steps too small to get anywhere, and weights that nothing passes through."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import LambdaLR

from tests.diagnosis.data import Part, Split, language, split
from tests.diagnosis.faulty.walker_elm import behind
from tests.diagnosis.faulty.walker_elm_two import epochs
from tests.diagnosis.proof import double, loss_of, moved, require, snapshot, widened
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def hardly(before: dict[str, Tensor], model: nn.Module, most: float = 0.02) -> None:
    """Raise NotProvenError where a matrix has moved by so large a share of its norm."""
    for name, value in model.named_parameters():
        if value.dim() > 1:
            share = float((value.detach() - before[name]).norm() / before[name].norm())
            require(share < most, f"{name} has moved by {share:.3g} of its norm")


class Shapes(nn.Module):
    """Convolutions over pictures of 12 × 12 in which there is a bar, a cross, a box or a dot."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 24, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(24 * 9, 48), nn.Linear(48, 4)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        scores: Tensor = self.fc2(functional.relu(self.fc1(hidden.flatten(1))))
        return scores


def drawn(seed: int, count: int = 1200) -> Part:
    """Return pictures [n, 1, 12, 12] of one shape each, somewhere, and which it is."""
    generator = torch.Generator().manual_seed(seed)
    shapes = torch.zeros(4, 5, 5)
    shapes[0, 2] = shapes[1, 2] = shapes[1, :, 2] = 1
    shapes[2, 0] = shapes[2, -1] = shapes[2, :, 0] = shapes[2, :, -1] = 1
    shapes[3, 1:4, 1:4] = 1
    kinds = torch.randint(4, (count,), generator=generator)
    places = torch.randint(8, (count, 2), generator=generator)
    pictures = 0.3 * torch.randn(count, 1, 12, 12, generator=generator)
    for picture, kind, (down, right) in zip(pictures, kinds, places.tolist(), strict=True):
        picture[0, down : down + 5, right : right + 5] += shapes[kind]
    return Part((pictures - pictures.mean()) / pictures.std(), kinds)


def careful(trial: Trial) -> Truth:
    """SGD without momentum at 0.0001, since a forum says that a smaller rate is the safer one."""
    both, losses = drawn(trial.seed), []
    data = split(both.inputs, both.targets, 200, trial.seed)
    model, criterion = Shapes(), nn.CrossEntropyLoss()
    other, before = copy.deepcopy(model), snapshot(model)
    optimizer, draw = SGD(model.parameters(), lr=1e-4), epochs(data.train, 32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(300):
            pictures, kinds = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(pictures), kinds)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss/train", losses[-1], writer.step)
            if step % 50 == 49:
                writer.add_scalar("Loss/test", evaluate(model, criterion, data.held_out), writer.step)
    hardly(before, model)
    other_optimizer = SGD(other.parameters(), lr=0.1)
    better = control(other, epochs(data.train, 32, trial.seed), other_optimizer, criterion, steps=300)
    behind(sum(losses[-30:]) / 30, better, 3)
    return Truth()


class Verse(nn.Module):
    """An LSTM that says the next letter at each place, [n, letters, length]."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Embedding(28, 32), nn.LSTM(32, 64, batch_first=True)
        self.drop, self.decoder = nn.Dropout(0.1), nn.Linear(64, 28)

    def forward(self, letters: Tensor) -> Tensor:
        """Return scores."""
        scores: Tensor = self.decoder(self.drop(self.lstm(self.embed(letters))[0])).transpose(1, 2)
        return scores


def long_warmup(trial: Trial) -> Truth:
    """A warm-up of 20,000 steps to a rate of 0.001, copied from a large model, in a run of 250 steps."""
    data, model = language(trial.seed, length=20, states=28), Verse()
    other, before = copy.deepcopy(model), snapshot(model)
    optimizer, draw = AdamW(model.parameters(), lr=1e-3), data.train.batches(24, trial.seed)
    schedule = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 20000))
    history = fit(trial, model, draw, optimizer, schedule=schedule, validation=data.held_out, every=2, steps=250)
    hardly(before, model)
    optimizer, draw = AdamW(other.parameters(), lr=1e-2), data.train.batches(24, trial.seed)
    behind(history.end, control(other, draw, optimizer, steps=250), 1.5)
    return Truth()


class Flats(nn.Module):
    """Says a flat's rent by six numbers and, where it is told, by the quarter of the town."""

    def __init__(self, *, told: bool) -> None:
        super().__init__()
        self.quarter = nn.Embedding(25, 8)
        self.fc1 = nn.Linear(14 if told else 6, 64)
        self.norm, self.fc2, self.out = nn.BatchNorm1d(64), nn.Linear(64, 32), nn.Linear(32, 1)
        self.told = told

    def forward(self, rows: Tensor) -> Tensor:
        """Return [n, 1] of [n, 7], of which the first column is the quarter."""
        numbers = rows[:, 1:]
        place = self.quarter(rows[:, 0].long())
        hidden = torch.cat([place, numbers], 1) if self.told else numbers
        rent: Tensor = self.out(self.fc2(self.norm(self.fc1(hidden)).relu()).relu())
        return rent


def wired(model: nn.Module, part: Part, criterion: nn.Module) -> set[str]:
    """Return the names of the parameters on which the loss does not depend, by autograd alone."""
    precise = double(model)
    named = dict(precise.named_parameters())
    loss = criterion(precise(widened(part.inputs)), widened(part.targets))
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name for name, gradient in zip(named, found, strict=True) if gradient is None}


def unheard_quarter(trial: Trial) -> Truth:
    """Looks up the embedding of a flat's quarter in `forward`, and then forgets to join it to the numbers."""
    generator = torch.Generator().manual_seed(trial.seed)
    quarters = torch.randint(25, (3000,), generator=generator)
    numbers = torch.randn(3000, 6, generator=generator)
    dear = torch.randn(25, generator=generator)[quarters]
    rent = dear * (1 + 0.3 * numbers[:, 0]) + numbers[:, 0] + 0.5 * numbers[:, 1] * numbers[:, 2] - 0.4 * numbers[:, 3]
    rent = rent + 0.2 * torch.randn(3000, generator=generator)
    rows = torch.cat([quarters[:, None].float(), numbers], 1)
    data = split(rows, ((rent - rent.mean()) / rent.std())[:, None], 600, trial.seed)
    model, other, criterion = Flats(told=False), Flats(told=True), nn.SmoothL1Loss()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), epochs(data.train, 64, trial.seed)
    before = snapshot(model)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=260)
    require(wired(model, data.train, criterion) == {"quarter.weight"}, "it is not the quarter alone that is unheard")
    require(moved(before, model)["quarter.weight"] == 0, "the embedding has moved")
    optimizer = Adam(other.parameters(), lr=5e-3)
    better = control(other, epochs(data.train, 64, trial.seed), optimizer, criterion, steps=260)
    behind(history.end, better, 2)
    behind(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 2)
    return Truth(("quarter",))


class Bonds(nn.Module):
    """Passes messages between atoms: what a neighbour is, times a gate by the kind of the bond where it is heard."""

    def __init__(self, inputs: int, made: int, *, heard: bool) -> None:
        super().__init__()
        self.own, self.near = nn.Linear(inputs, made), nn.Linear(inputs, made)
        self.bond = nn.Sequential(nn.Linear(3, made), nn.SiLU(), nn.Linear(made, made))
        self.heard = heard

    def forward(self, atoms: Tensor, bonds: Tensor) -> Tensor:
        """Return [n, atoms, made] of atoms [n, atoms, inputs] and bonds [n, atoms, atoms, 3]."""
        there = bonds.sum(-1, keepdim=True)
        gates = self.bond(bonds)
        messages = there * self.near(atoms)[:, None] * (gates if self.heard else 1)
        made: Tensor = functional.silu(self.own(atoms) + messages.sum(2) / 3)
        return made


class Molecules(nn.Module):
    """Two rounds over the atoms and their sum; says a property of a molecule."""

    def __init__(self, *, heard: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = Bonds(4, 32, heard=heard), Bonds(32, 32, heard=heard)
        self.readout = nn.Sequential(nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1))

    def forward(self, molecules: Tensor) -> Tensor:
        """Return [n, 1] of molecules [n, 10, 4 + 30]."""
        atoms, bonds = molecules[..., :4], molecules[..., 4:].unflatten(-1, (10, 3))
        hidden = self.conv2(self.conv1(atoms, bonds), bonds)
        told: Tensor = self.readout(hidden.mean(1))
        return told


def bound(seed: int) -> Split:
    """Return molecules of ten atoms, [n, 10, 34], and how strongly they are bound, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(4, (1500, 10), generator=generator)
    upper = (torch.rand(1500, 10, 10, generator=generator) < 0.28).float().triu(1)
    edges = upper + upper.mT
    order = torch.randint(3, (1500, 10, 10), generator=generator).triu(1)
    bonds = functional.one_hot(order + order.mT, 3).float() * edges[..., None]
    atoms = functional.one_hot(kinds, 4).float()
    strength = torch.tensor([-1.0, 0.3, 1.5])
    pull = torch.tensor([0.5, 1.0, 1.5, 2.0])[kinds]
    energy = ((bonds @ strength) * pull[:, None] * pull[..., None]).sum((1, 2)) / 10 + 0.3 * pull.sum(1)
    energy = (energy - energy.mean()) / energy.std()
    return split(torch.cat([atoms, bonds.flatten(2)], 2), energy[:, None], 300, seed)


def unheard_bonds(trial: Trial) -> Truth:
    """A network over bonds is made in every layer, and messages are then sent without what it says."""
    data = bound(trial.seed)
    model, other, criterion, losses = Molecules(heard=False), Molecules(heard=True), nn.L1Loss(), []
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=4e-3), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=None, on_finding="ignore")
        for step in range(200):
            molecules, known = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(molecules), known)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/mae", losses[-1], writer.step)
            if step % 25 == 24:
                writer.add_scalar("val/mae", evaluate(model, criterion, data.held_out), writer.step)
    unheard = wired(model, data.held_out, criterion)
    names = {name for name, _ in model.named_parameters() if ".bond." in name}
    require(unheard == names, f"it is {unheard} that is unheard")
    optimizer = AdamW(other.parameters(), lr=4e-3)
    behind(sum(losses[-20:]) / 20, control(other, data.train.batches(32, trial.seed), optimizer, criterion, steps=200))
    return Truth(tuple(f"conv{at}{part}" for at in (1, 2) for part in ("", ".bond", ".bond.0", ".bond.1", ".bond.2")))


SLOW = ("loss_plateau", "underfitting")
UNHEARD = ("layer_not_training", "underfitting", "loss_plateau")

SCENARIOS = (
    Scenario("elm-slow-careful-cnn", "cnn", TUNING, careful, ("lr_too_low",), SLOW),
    Scenario("elm-slow-warmup-lstm", "rnn", TUNING, long_warmup, ("lr_too_low",), SLOW),
    Scenario("elm-unused-quarter-mlp", "mlp", TUNING, unheard_quarter, ("unused_parameter",), UNHEARD),
    Scenario("elm-unused-bonds-gnn", "gnn", TUNING, unheard_bonds, ("unused_parameter",), UNHEARD),
)
