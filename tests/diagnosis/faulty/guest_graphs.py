"""Graphs: means that can't count, attention too deep, and more weights than there are molecules."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Adam

from tests.diagnosis.data import Graph, Part, Split, communities
from tests.diagnosis.faulty.blind_outputs import Molecule, energies
from tests.diagnosis.faulty.losses import rising
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.faulty.representations import alike
from tests.diagnosis.healthy.blind_graphs import Heads
from tests.diagnosis.proof import outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def means_over_bonds(trial: Trial) -> Truth:
    """`normalize(adj)` from a tutorial on citations: means over neighbours don't tell how many bonds there are."""
    raw = energies(trial.seed)
    scale = raw.train.targets.std()

    def prepared(part: Part, *, mean: bool) -> Part:
        kinds, bonds = part.inputs.split((5, 10), 2)
        edges = bonds / bonds.sum(2, keepdim=True).clamp_min(1e-6) if mean else 3 * bonds
        return Part(torch.cat([kinds, edges], 2), (part.targets - raw.train.targets.mean()) / scale)

    data = Split(prepared(raw.train, mean=True), prepared(raw.held_out, mean=True))
    model, other, criterion = Molecule(nn.Identity()), Molecule(nn.Identity()), nn.MSELoss()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=3, steps=220)
    sums = prepared(raw.train, mean=False).batches(32, trial.seed)
    worse(history.end, control(other, sums, Adam(other.parameters(), lr=5e-3), criterion, steps=220), 3.0)
    return Truth()


class Deep(nn.Module):
    """Layers of attention along edges, one upon another; scores of the nodes trained on, or in evaluation held out."""

    def __init__(self, graph: Graph, depth: int, *, residual: bool = False) -> None:
        super().__init__()
        edges = graph.edges.nonzero().T
        self.enter, self.residual = nn.Linear(16, 32), residual
        self.convs = nn.ModuleList(Heads(32, 8, 4, edges) for _ in range(depth))
        self.acts = nn.ModuleList(nn.ELU() for _ in range(depth))
        self.head, self.nodes = nn.Linear(32, 4), (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        hidden = self.enter(nodes)
        for conv, act in zip(self.convs, self.acts, strict=True):
            made = act(conv(hidden))
            hidden = hidden + made if self.residual else made
        scores: Tensor = self.head(hidden)[self.nodes[self.training]]
        return scores


def eight_layers_of_attention(trial: Trial) -> Truth:
    """A graph attention network made eight layers deep, since deeper is better: all nodes become one."""
    graph = communities(trial.seed, size=20, between=0.1)
    model, other = Deep(graph, 8), Deep(graph, 2, residual=True)
    optimizer, draw = Adam(model.parameters(), lr=5e-3, weight_decay=5e-4), graph.batches(trial.seed)
    criterion, losses = nn.CrossEntropyLoss(), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=6, on_finding="ignore")
        for epoch in range(100):
            nodes, kinds = draw(epoch)
            optimizer.zero_grad()
            loss = criterion(model(nodes), kinds)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("loss/train", losses[-1], epoch)
            if epoch % 10 == 9:
                writer.add_scalar("loss/val", evaluate(model, criterion, graph.validation), epoch)
    better = control(other, graph.batches(trial.seed), Adam(other.parameters(), lr=5e-3), steps=100)
    worse(sum(losses[-10:]) / 10, better, 2.0)
    last = outputs(model, "acts.7", graph.features)
    first = outputs(model, "enter", graph.features)
    apart = [float((made - made.mean(0)).norm() / made.norm()) for made in (first, last)]
    require(apart[1] < 0.1 * apart[0], f"nodes differ by {apart}")
    return alike(last, tuple(f"convs.{at}{part}" for at in range(2, 8) for part in (".source", ".target", "")))


def forty_molecules(trial: Trial) -> Truth:
    """Forty molecules whose energies were measured badly, and a network of four thousand weights, without a stop."""
    data, generator = energies(trial.seed, 320), torch.Generator().manual_seed(trial.seed)
    scale = data.train.targets.std()

    def measured(part: Part) -> Part:
        error = 0.7 * torch.randn(part.targets.shape, generator=generator)
        return Part(part.inputs, (part.targets - data.train.targets.mean()) / scale + error)

    few, held_out = measured(data.train).first(40), measured(data.held_out)
    model, criterion = Molecule(nn.Identity()), nn.MSELoss()
    optimizer = Adam(model.parameters(), lr=8e-3)
    draw = few.batches(20, trial.seed)
    return rising(fit(trial, model, draw, optimizer, criterion, validation=held_out, every=3, steps=380))


_SMOOTH = ("oversmoothing", "representation_collapse")

SCENARIOS = (
    Scenario("poor-means-gnn", "gnn", TUNING, means_over_bonds, ("underfitting", "loss_plateau")),
    Scenario(
        "smoothed-heads-gnn",
        "gnn",
        TUNING,
        eight_layers_of_attention,
        _SMOOTH,
        ("vanishing_gradient", "loss_plateau", "underfitting"),
    ),
    Scenario("by-heart-molecules-gnn", "gnn", TUNING, forty_molecules, ("overfitting",), ("label_noise",)),
)
