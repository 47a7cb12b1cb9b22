"""Sound trainings whose evaluation, precision or units look odd: dropped edges, bfloat16, heads that agree."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_breast_cancer, load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Graph, Part, communities, digits, majorities, split
from tests.diagnosis.networks import Transformer, cnn
from tests.diagnosis.proof import accuracy, generalises, learned, loss_of, require, sound
from tests.diagnosis.scenario import REPORTING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


def stamps(trial: Trial) -> None:
    """Convolutions with batch normalisation and dropout, evaluated as they should be, after every twenty steps."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), cnn((12, 24), dropout=0.2)
    optimizer, draw = (
        SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4),
        data.train.batches(64, trial.seed),
    )
    history = fit(trial, model, draw, optimizer, steps=200, validation=data.held_out, every=2)
    sound(model, data.held_out, 0.94, history)


class Friends(nn.Module):
    """Graph convolutions that forget half of their units and a third of the edges in training."""

    def __init__(self, graph: Graph, dropout: float, lost: float) -> None:
        super().__init__()
        self.register_buffer("edges", graph.edges, persistent=False)
        self.conv1, self.conv2, self.head = nn.Linear(16, 48), nn.Linear(48, 48), nn.Linear(48, 5)
        self.drop, self.lost = nn.Dropout(dropout), lost
        self.nodes = (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores of the nodes that are trained on, or in evaluation of those held out."""
        edges = functional.dropout(self.edges, self.lost, self.training)
        hidden = self.drop(functional.elu(edges @ self.conv1(self.drop(nodes))))
        hidden = self.drop(functional.elu(edges @ self.conv2(hidden)))
        scores: Tensor = self.head(hidden)[self.nodes[self.training]]
        return scores


def friends(trial: Trial) -> None:
    """Half of all units and a third of the edges are dropped: the loss in training is far above that held out."""
    torch.manual_seed(trial.seed)
    graph, criterion = communities(trial.seed, count=5, size=40, inside=0.2, between=0.02), nn.CrossEntropyLoss()
    model, plain = Friends(graph, 0.5, 0.35), Friends(graph, 0.0, 0.0)
    plain.load_state_dict(model.state_dict())
    optimizer = AdamW(model.parameters(), lr=5e-3, weight_decay=5e-3)
    draw, history = graph.batches(trial.seed), History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            features, known = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(features), known)
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("train/loss", history.train[-1], step)
            if step % 10 == 9:
                history.validation[step] = evaluate(model, criterion, graph.validation)
                writer.add_scalar("val/loss", history.validation[step], step)
    control(plain, graph.batches(trial.seed), AdamW(plain.parameters(), lr=5e-3, weight_decay=5e-3), steps=200)
    learned(model, graph.validation, 0.9)
    require(loss_of(model, graph.validation) < 0.75 * history.end, "the losses are alike")
    found, usual = accuracy(model, graph.validation), accuracy(plain, graph.validation)
    require(found > usual - 0.02, f"nothing dropped does better: {usual:.3f} to {found:.3f}")
    generalises(history)


def ballots(trial: Trial) -> None:
    """A transformer under `autocast` in bfloat16, whose weights and steps are in float32, as is meant."""
    torch.manual_seed(trial.seed)
    data, model, criterion = majorities(trial.seed), Transformer(12, 3), nn.CrossEntropyLoss()
    other, optimizer = copy.deepcopy(model), AdamW(model.parameters(), lr=3e-3)
    draw, history = data.train.batches(32, trial.seed), History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(180):
            tokens, winners = draw(step)
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = criterion(model(tokens), winners)
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("loss/train", history.train[-1], step)
            if step % 30 == 29:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("loss/val", history.validation[step], step)
    control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=3e-3), steps=180)
    found, usual = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(found > 0.85, f"the accuracy is {found:.3f}")
    require(found > usual - 0.04, f"float32 does better: {usual:.3f} to {found:.3f}")
    generalises(history)


def cellars(trial: Trial) -> None:
    """All of a small network is in bfloat16; its steps by SGD are large enough for that, and it loses nothing."""
    torch.manual_seed(trial.seed)
    raw = load_wine()
    rows = torch.tensor(raw.data, dtype=torch.float32)
    data = split((rows - rows.mean(0)) / rows.std(0), torch.tensor(raw.target), 50, trial.seed)
    other, criterion = nn.Sequential(nn.Linear(13, 24), nn.GELU(), nn.Linear(24, 3)), nn.CrossEntropyLoss()
    model = copy.deepcopy(other).bfloat16()
    optimizer, draw = SGD(model.parameters(), lr=0.1), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(150):
            measured, kinds = draw(step)
            loss = criterion(model(measured.bfloat16()).float(), kinds)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss", loss.item(), step)
    control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.1), steps=150)
    found, usual = (loss_of(one.float(), data.held_out) for one in (model, other))
    require(accuracy(model, data.held_out) > 0.93, "it has not learned")
    require(found < 1.15 * usual + 0.02, f"float32 does better: {usual:.3g} to {found:.3g}")


class Cells(nn.Module):
    """An autoencoder of a table, through six numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(30, 48), nn.SiLU(), nn.Linear(48, 6))
        self.decoder = nn.Sequential(nn.Linear(6, 48), nn.SiLU(), nn.Linear(48, 30))

    def forward(self, rows: Tensor) -> Tensor:
        """Return [n, 30]."""
        remade: Tensor = self.decoder(self.encoder(rows))
        return remade


def cells(trial: Trial) -> None:
    """An autoencoder of a table, many of whose columns say nearly the same."""
    torch.manual_seed(trial.seed)
    rows = torch.tensor(load_breast_cancer().data, dtype=torch.float32)
    rows = ((rows - rows.mean(0)) / rows.std(0)).clamp(-4, 4)
    data, model, criterion = split(rows, rows, 120, trial.seed), Cells(), nn.MSELoss()
    optimizer, draw = RMSprop(model.parameters(), lr=2e-3), data.train.batches(48, trial.seed)
    fit(trial, model, draw, optimizer, criterion, steps=300, validation=data.held_out, every=2)
    found, flat = loss_of(model, data.held_out, criterion), float(data.held_out.inputs.square().mean())
    require(found < 0.25 * flat, f"{found:.3g} of {flat:.3g} is left")


class Tides(nn.Module):
    """A GRU with eight heads that all say the same, each of which learns from samples of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.heads = nn.GRU(1, 32, batch_first=True), nn.Linear(32, 8)

    def forward(self, levels: Tensor) -> Tensor:
        """Return [n, 8] of [n, hours, 1]."""
        told: Tensor = self.heads(self.rnn(levels)[0][:, -1])
        return told


def tides(trial: Trial) -> None:
    """Eight heads, bootstrapped, say how high the water will be: they agree as they ought to, and tell how sure."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    phases = 6.28 * torch.rand(1000, 2, 1, generator=generator)
    levels = (torch.tensor([[0.51], [0.26]]) * torch.arange(31) + phases).sin().sum(1)
    levels = levels + 0.05 * torch.randn(1000, 31, generator=generator)
    data = split(levels[:, :30, None], levels[:, 30:], 200, trial.seed)
    share = (torch.rand(800, 8, generator=generator) < 0.7).float()
    model, losses = Tides(), list[float]()
    optimizer = Adam(model.parameters(), lr=5e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(240):
            mine = torch.randint(800, (48,), generator=generator)
            told = model(data.train.inputs[mine])
            loss = ((told - data.train.targets[mine]).square() * share[mine]).sum() / share[mine].sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], step)
    with torch.no_grad():
        told = model(data.held_out.inputs)
    spread = float(data.held_out.targets.var())
    found = float((told.mean(1, keepdim=True) - data.held_out.targets).square().mean())
    single = float((told - data.held_out.targets).square().mean())
    require(found < 0.1 * spread, f"{found:.3g} of {spread:.3g} is left")
    require(found <= single, "the mean of the heads is no better than one")
    alike = Part(told, data.held_out.targets).inputs.T.corrcoef().min()
    require(alike > 0.95, f"heads are alike by {float(alike):.3g} only")


SCENARIOS = (
    Scenario("cress-stamps-cnn", "cnn", REPORTING, stamps),
    Scenario("cress-friends-gnn", "gnn", REPORTING, friends),
    Scenario("cress-ballots-transformer", "transformer", REPORTING, ballots),
    Scenario("cress-cellars-mlp", "mlp", REPORTING, cellars),
    Scenario("cress-cells-mlp", "mlp", REPORTING, cells),
    Scenario("cress-tides-gru", "rnn", REPORTING, tides),
)
