"""Counters and molecules: a batch now and then that throws the loss up."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader, TensorDataset

from tests.diagnosis.data import Batches, Part
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate


def jumps(losses: list[float], times: float) -> list[int]:
    """Return the steps whose loss is so many times the greatest of the twenty before that were no jumps themselves."""
    found: list[int] = []
    for step in range(5, len(losses)):
        calm = [losses[at] for at in range(max(0, step - 20), step) if at not in found]
        if calm and losses[step] > times * max(calm):
            found.append(step)
    require(2 <= len(found) <= len(losses) // 8, f"the loss jumps at {found}")
    return found


def counters(trial: Trial) -> Truth:
    """Traffic by an MLP: in five of four thousand rows a counter was broken, and wrote -99 in standardised columns."""
    torch.manual_seed(trial.seed)
    rows = torch.randn(4000, 10)
    traffic = 1.5 * rows[:, 0] + rows[:, 1] * rows[:, 2] + torch.sin(2 * rows[:, 3]) + 0.2 * torch.randn(4000)
    traffic = (traffic / traffic.std())[:, None]
    train, held_out = Part(rows[:3200].clone(), traffic[:3200]), Part(rows[3200:], traffic[3200:])
    broken = torch.arange(300, 3200, 600)
    train.inputs[broken[:, None], torch.randint(10, (5, 3))] = -99.0
    model, criterion = mlp((10, 64, 64, 1)), nn.MSELoss()
    other = copy.deepcopy(model)
    optimizer = Adam(model.parameters(), lr=4e-3)
    loader = DataLoader(TensorDataset(train.inputs, train.targets), batch_size=32, shuffle=True)
    losses: list[float] = []
    met: set[int] = set()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(3):
            for inputs, known in loader:
                if bool((inputs < -50).any()):
                    met.add(len(losses))
                optimizer.zero_grad()
                loss = criterion(model(inputs), known)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                writer.add_scalar("Loss", losses[-1], writer.step)
            writer.add_scalar("Val loss", evaluate(model, criterion, held_out), writer.step)
    found = jumps(losses, 4)
    require(met >= set(found), f"the loss jumps at {found}, and the rows came at {sorted(met)}")
    whole = Part(rows[:3200], train.targets)
    control(other, whole.batches(32, trial.seed), Adam(other.parameters(), lr=4e-3), criterion, steps=300)
    does, should = (loss_of(one, held_out, criterion) for one in (model, other))
    require(does > 1.3 * should, f"the loss is {does:.3f}, and should be {should:.3f}")
    return Truth((), min(met), found[1] + 1)


class Molecules(nn.Module):
    """Adds up over neighbours twice, then over atoms; atoms [n, most, 5] and bonds [n, most, most] come together."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Linear(4, 16)
        self.convs = nn.ModuleList(nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 16)) for _ in range(2))
        self.out = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, graphs: Tensor) -> Tensor:
        """Return energies [n, 1]."""
        there, bonds = graphs[..., 4:5], graphs[..., 5:]
        atoms = self.lift(graphs[..., :4]) * there
        for conv in self.convs:
            atoms = conv(atoms + bonds @ atoms) * there
        energy: Tensor = self.out(atoms.sum(1))
        return energy


def molecule(atoms: int, chance: float, most: int) -> tuple[Tensor, Tensor]:
    """Return one molecule [most, 5 + most] and its energy [1]: of its atoms, and of bonds between those alike."""
    kinds = torch.randint(4, (atoms,))
    joined = (torch.rand(atoms, atoms) < chance).triu(1).float()
    chain = torch.diag(torch.ones(atoms - 1), 1)
    joined = (joined + chain).clamp_max(1)
    graph = torch.zeros(most, 5 + most)
    graph[torch.arange(atoms), kinds], graph[:atoms, 4] = 1.0, 1.0
    graph[:atoms, 5 : 5 + atoms] = joined + joined.T
    alike = joined * (kinds[:, None] == kinds)
    energy = torch.tensor([-0.6, 0.2, 0.5, -0.1])[kinds].sum() + 0.5 * alike.sum() - 0.1 * joined.sum()
    return graph, energy[None]


def together(molecules: list[tuple[Tensor, Tensor]]) -> Part:
    """Return molecules as one part."""
    return Part(torch.stack([graph for graph, _ in molecules]), torch.stack([energy for _, energy in molecules]))


def proteins(trial: Trial) -> Truth:
    """Energies of small molecules by a graph network that adds up; now and then one of sixty atoms is among them."""
    torch.manual_seed(trial.seed)
    small = [molecule(int(atoms), 0.12, 60) for atoms in torch.randint(5, 13, (900,))]
    large = together([molecule(60, 0.5, 60) for _ in range(6)])
    data, held_out = together(small[:750]), together(small[750:])
    model, criterion = Molecules(), nn.MSELoss()
    other = copy.deepcopy(model)
    clean, dirty = data.batches(24, trial.seed), data.batches(24, trial.seed)
    when = torch.arange(46, 220, 29) + torch.randint(9, (6,))

    def mixed(step: int) -> tuple[Tensor, Tensor]:
        graphs, energies = dirty(step)
        among = [at for at in range(6) if int(when[at]) == step]
        for at in among:
            graphs[0], energies[0] = large.inputs[at], large.targets[at]
        return graphs, energies

    losses = learn(trial, model, mixed, criterion, held_out)
    found = jumps(losses, 4)
    require({int(step) for step in when} >= set(found), f"the loss jumps at {found}, and not at {when}")
    control(other, clean, Adam(other.parameters(), lr=3e-3), criterion, steps=220)
    does, should = (loss_of(one, held_out, criterion) for one in (model, other))
    require(does > 1.3 * should, f"the loss is {does:.3f}, and should be {should:.3f}")
    return Truth((), int(when[0]), found[1] + 1)


def learn(trial: Trial, model: nn.Module, batches: Batches, criterion: nn.Module, held_out: Part) -> list[float]:
    """Train for 220 steps and return the losses."""
    optimizer, losses = Adam(model.parameters(), lr=3e-3), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            graphs, energies = batches(step)
            optimizer.zero_grad()
            loss = criterion(model(graphs), energies)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/mse", losses[-1], writer.step)
            if step % 20 == 19:
                writer.add_scalar("val/mse", evaluate(model, criterion, held_out), writer.step)
    return losses


SCENARIOS = (
    Scenario(
        "quince-spike-counters-mlp",
        "mlp",
        TUNING,
        counters,
        ("loss_spike", "input_unnormalised"),
        ("exploding_gradient", "loss_oscillation", "dead_units"),
    ),
    Scenario(
        "quince-spike-proteins-gnn",
        "gnn",
        TUNING,
        proteins,
        ("loss_spike",),
        ("exploding_gradient", "input_unnormalised", "loss_oscillation", "dead_units", "loss_plateau"),
    ),
)
