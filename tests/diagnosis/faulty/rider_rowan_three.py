"""Papers, sensors, flowers and molecules: nodes and tokens that become alike, and gradients that are kept."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_iris
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Graph, Part, communities, split
from tests.diagnosis.networks import Attention
from tests.diagnosis.proof import accuracy, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class Conv(nn.Module):
    """A graph convolution that begins as those of libraries do."""

    def __init__(self, edges: Tensor, inputs: int, made: int) -> None:
        super().__init__()
        self.register_buffer("edges", edges, persistent=False)
        self.lin = nn.Linear(inputs, made)
        nn.init.xavier_uniform_(self.lin.weight)
        nn.init.zeros_(self.lin.bias)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, made]."""
        passed: Tensor = self.edges @ self.lin(nodes)
        return passed


class Papers(nn.Module):
    """So many graph convolutions; returns scores of papers to train on, or in evaluation of those held out."""

    def __init__(self, graph: Graph, depth: int) -> None:
        super().__init__()
        widths = [16, *[32] * depth]
        self.convs = nn.ModuleList(Conv(graph.edges, widths[at], widths[at + 1]) for at in range(depth))
        self.head, self.nodes = nn.Linear(32, 4), (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        for conv in self.convs:
            nodes = functional.relu(conv(nodes))
        scores: Tensor = self.head(nodes)[self.nodes[self.training]]
        return scores


def spread(made: Tensor) -> float:
    """Return how far items, the axis before the last, are from their mean, as a share of how large they are."""
    return float((made - made.mean(-2, keepdim=True)).norm() / made.norm())


def deeper(trial: Trial) -> Truth:
    """Ten graph convolutions instead of two, since deeper is better: all papers become the same one."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=40, inside=0.35, between=0.08)
    model, other = Papers(graph, 10), Papers(graph, 2)
    first = [spread(outputs(model, f"convs.{at}", graph.features).relu()) for at in range(10)]
    require(first[-1] < 0.1 and first[0] > 0.3, f"papers are {first} apart at the start")
    near = [at for at, apart in enumerate(first) if apart < 0.4]
    optimizer = Adam(model.parameters(), lr=5e-3, weight_decay=5e-4)
    fit(trial, model, graph.batches(trial.seed), optimizer, steps=160, validation=graph.validation, every=2)
    optimizer = Adam(other.parameters(), lr=5e-3, weight_decay=5e-4)
    control(other, graph.batches(trial.seed), optimizer, steps=160)
    does, should = (accuracy(one, graph.validation) for one in (model, other))
    require(does < should - 0.15, f"{does:.3f} is not below {should:.3f}")
    return Truth(tuple(name for at in near for name in (f"convs.{at}", f"convs.{at}.lin")))


class Layer(nn.Module):
    """Attention and two linear layers, each normalised; what came in is added, or forgotten."""

    def __init__(self, width: int, *, skip: bool) -> None:
        super().__init__()
        self.attn, self.ff1, self.ff2 = Attention(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norm1, self.norm2, self.skip = nn.LayerNorm(width), nn.LayerNorm(width), skip

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [n, length, width]."""
        kept = hidden if self.skip else torch.zeros(())
        hidden = self.norm1(kept + self.attn(hidden))
        kept = hidden if self.skip else torch.zeros(())
        made: Tensor = self.norm2(kept + self.ff2(functional.gelu(self.ff1(hidden))))
        return made


class Tagger(nn.Module):
    """Says of each moment of three sensors which of four things was done."""

    def __init__(self, *, skip: bool) -> None:
        super().__init__()
        self.lift, self.place = nn.Linear(3, 32), nn.Parameter(0.1 * torch.randn(24, 32))
        self.layers = nn.Sequential(*(Layer(32, skip=skip) for _ in range(6)))
        self.head = nn.Linear(32, 4)

    def forward(self, sensors: Tensor) -> Tensor:
        """Return scores [n, 4, 24] of [n, 24, 3]."""
        hidden = self.layers(self.lift(sensors) + self.place)
        scores: Tensor = self.head(hidden).transpose(1, 2)
        return scores


def activities(seed: int, count: int = 600) -> tuple[Part, Part]:
    """Return what sensors said, [n, 24, 3], and what was done, [n, 24]: it changes after each sixth moment."""
    generator = torch.Generator().manual_seed(seed)
    done = torch.randint(4, (count, 4), generator=generator).repeat_interleave(6, 1)
    centres = 1.6 * torch.randn(4, 3, generator=generator)
    data = split(centres[done] + torch.randn(count, 24, 3, generator=generator), done, 120, seed)
    return data.train, data.held_out


def forgotten_sum(trial: Trial) -> Truth:
    """`x = norm(attn(x))` in all of six layers, with no `x +`: the moments of a recording become alike."""
    torch.manual_seed(trial.seed)
    train, held_out = activities(trial.seed)
    model, other = Tagger(skip=False), Tagger(skip=True)
    other.load_state_dict(model.state_dict())
    first = [spread(outputs(model, f"layers.{at}", held_out.inputs)) for at in range(6)]
    lifted = spread(outputs(model, "lift", held_out.inputs))
    require(first[-1] < 0.001 and lifted > 0.4, f"moments are {lifted:.3f} and then {first} apart at the start")
    near = [at for at, apart in enumerate(first) if apart < 0.4]
    optimizer, draw = AdamW(model.parameters(), lr=1e-3), train.batches(24, trial.seed)
    fit(trial, model, draw, optimizer, steps=160, validation=held_out, every=2)
    last = spread(outputs(model, "layers.5", held_out.inputs))
    require(last < 0.2, f"moments are {last:.3f} apart at the end")
    control(other, train.batches(24, trial.seed), AdamW(other.parameters(), lr=1e-3), steps=160)
    does, should = (accuracy(one, held_out) for one in (model, other))
    require(does < should - 0.2, f"{does:.3f} is not below {should:.3f}")
    names = [name for name, _ in model.named_modules() if name[:8] in {f"layers.{at}" for at in near}]
    return Truth(tuple(names))


def flowers(trial: Trial) -> Truth:
    """Nobody calls `optimizer.zero_grad()`: each step goes along the sum of all gradients there ever were."""
    torch.manual_seed(trial.seed)
    table = load_iris()
    rows = torch.tensor(table.data, dtype=torch.float32)
    data = split((rows - rows.mean(0)) / rows.std(0), torch.tensor(table.target), 40, trial.seed)
    model, criterion = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 3)), nn.CrossEntropyLoss()
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.2)
    draw, losses = data.train.batches(16, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(250):
            inputs, targets = draw(step)
            made = model(inputs)
            loss = criterion(made, targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
            writer.add_scalar("Accuracy", (made.argmax(1) == targets).float().mean().item(), writer.step)
    better = control(other, data.train.batches(16, trial.seed), SGD(other.parameters(), lr=0.2), steps=250)
    mean = sum(losses[50:]) / 200
    require(mean > 2 * better, f"{mean:.3f} is not far above {better:.3f}")
    require(max(losses[50:]) > 1.1 * losses[0], f"the loss is never above {losses[0]:.3f} again")
    return Truth()


class Molecules(nn.Module):
    """Two rounds of messages among twelve atoms, a sum over them, and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 32)
        self.messages = nn.ModuleList(nn.Linear(32, 32) for _ in range(2))
        self.readout = nn.Sequential(nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1))

    def forward(self, molecules: Tensor) -> Tensor:
        """Return [n, 1] of [n, 12, 5 + 12]: what each atom is and with which ones it has a bond."""
        atoms, bonds = self.embed(molecules[..., :5]), molecules[..., 5:]
        for message in self.messages:
            atoms = atoms + functional.silu(message(bonds @ atoms) / 2)
        made: Tensor = self.readout(atoms.mean(1))
        return made


def molecules(seed: int, count: int = 500) -> tuple[Part, Part]:
    """Return kinds and bonds of atoms, and an energy that comes of which kinds have bonds."""
    generator = torch.Generator().manual_seed(seed)
    kinds = functional.one_hot(torch.randint(5, (count, 12), generator=generator), 5).float()
    upper = (torch.rand(count, 12, 12, generator=generator) < 0.2).float().triu(1)
    bonds = upper + upper.transpose(1, 2)
    table = torch.randn(5, 5, generator=generator)
    energy = torch.einsum("nak,kl,nab,nbl->n", kinds, table + table.T, bonds, kinds)[:, None]
    data = split(torch.cat([kinds, bonds], 2), (energy - energy.mean()) / energy.std(), 100, seed)
    return data.train, data.held_out


def epochs(trial: Trial) -> Truth:
    """`optimizer.zero_grad()` stands before the loop over batches, so that gradients add up through an epoch."""
    torch.manual_seed(trial.seed)
    (train, held_out), model, criterion = molecules(trial.seed), Molecules(), nn.MSELoss()
    other, losses = copy.deepcopy(model), []
    optimizer, draw = Adam(model.parameters(), lr=1e-2), train.batches(10, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(6):
            optimizer.zero_grad()
            for _batch in range(40):
                inputs, energies = draw(epoch)
                loss = criterion(model(inputs), energies)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                writer.add_scalar("train/mse", losses[-1], writer.step)
            model.eval()
            with torch.no_grad():
                writer.add_scalar("val/mse", criterion(model(held_out.inputs), held_out.targets).item(), writer.step)
            model.train()
    optimizer = Adam(other.parameters(), lr=1e-2)
    better = control(other, train.batches(10, trial.seed), optimizer, criterion)
    mean = sum(losses[-60:]) / 60
    require(mean > 1.5 * better, f"{mean:.3f} is not far above {better:.3f}")
    does, should = (loss_of(one, held_out, criterion) for one in (model, other))
    require(does > 1.2 * should, f"{does:.3f} is not far above {should:.3f}, held out")
    return Truth()


STUCK = ("vanishing_gradient", "representation_collapse", "loss_plateau", "redundant_units", "underfitting")
KEPT = ("loss_oscillation", "exploding_gradient", "loss_spike", "lr_too_high", "loss_plateau", "saturation")
SCENARIOS = (
    Scenario("rowan-deeper-papers-gnn", "gnn", TUNING, deeper, ("oversmoothing",), (*STUCK, "dead_units")),
    Scenario("rowan-no-skip-sensors-transformer", "transformer", TUNING, forgotten_sum, ("oversmoothing",), STUCK),
    Scenario("rowan-kept-flowers-mlp", "mlp", TUNING, flowers, ("missing_zero_grad",), KEPT),
    Scenario("rowan-kept-molecules-gnn", "gnn", TUNING, epochs, ("missing_zero_grad",), KEPT),
)
