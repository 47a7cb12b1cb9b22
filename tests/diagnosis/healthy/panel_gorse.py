"""Healthy trainings: an LSTM of gestures, a sine network, dropout over digits, many columns, and papers that cite."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Graph, Part, Split, communities, digits, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, alive, calm, generalises, loss_of, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


def gestures(seed: int, count: int = 1500, length: int = 24) -> Split:
    """Return what three axes of a wrist sense, [n, length, 3], and which of five gestures it is."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(5, (count,), generator=generator)
    pace = torch.tensor([0.5, 0.9, 1.4, 0.9, 0.5])[kinds][:, None]
    turn = torch.tensor([0.0, 0.0, 0.0, 1.5, -1.5])[kinds][:, None]
    angle = pace * torch.arange(length) + 6.3 * torch.rand(count, 1, generator=generator)
    size = 1 + 0.2 * torch.randn(count, 1, generator=generator)
    clean = torch.stack([size * angle.sin(), size * (angle + turn).sin(), size * (2 * angle).cos()], 2)
    return split(clean + 0.4 * torch.randn(count, length, 3, generator=generator), kinds, 300, seed)


class GestureNet(nn.Module):
    """An LSTM with orthogonal recurrent weights and a bias of its forget gates of one."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.drop, self.head = nn.LSTM(3, 32, batch_first=True), nn.Dropout(0.1), nn.Linear(32, 5)
        for name, value in self.lstm.named_parameters():
            if name.startswith("weight_hh"):
                nn.init.orthogonal_(value)
            elif name.startswith("weight_ih"):
                nn.init.xavier_uniform_(value)
            else:
                nn.init.zeros_(value)
        with torch.no_grad():
            self.lstm.bias_ih_l0[32:64] = 1.0

    def forward(self, readings: Tensor) -> Tensor:
        """Return scores [n, 5]."""
        scores: Tensor = self.head(self.drop(self.lstm(readings)[0].mean(1)))
        return scores


def orthogonal(trial: Trial) -> None:
    """An LSTM of gestures, initialised by hand as books advise; the user logs loss and accuracy."""
    torch.manual_seed(trial.seed)
    data, model, criterion = gestures(trial.seed), GestureNet(), nn.CrossEntropyLoss()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(48, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            readings, kinds = draw(step)
            optimizer.zero_grad()
            scores = model(readings)
            loss = criterion(scores, kinds)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            writer.add_scalar("accuracy/train", float((scores.argmax(1) == kinds).float().mean()), writer.step)
            if step % 20 == 19:
                writer.add_scalar("loss/val", evaluate(model, criterion, data.held_out), writer.step)
    right = accuracy(model, data.held_out)
    require(right > 0.93, f"the accuracy is {right:.3f}")


class Sine(nn.Module):
    """A linear layer and the sine of thirty times what it gives."""

    def __init__(self, inputs: int, made: int, *, first: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, made)
        bound = 1 / inputs if first else (6 / inputs) ** 0.5 / 30
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, made]."""
        return torch.sin(30 * self.linear(inputs))


def siren(trial: Trial) -> None:
    """A picture is held in a network of sines, whose weights begin thirty times smaller than usual, as they must."""
    torch.manual_seed(trial.seed)
    places = torch.cartesian_prod(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 40))
    waves = 9 * torch.randn(6, 2)
    values = torch.sin(places @ waves.T + 6 * torch.rand(6)).sum(1, keepdim=True)
    values = (values - values.mean()) / values.std()
    data, criterion = split(places, values, 200, trial.seed), nn.MSELoss()
    model = nn.Sequential(Sine(2, 64, first=True), Sine(64, 64), Sine(64, 64), nn.Linear(64, 1))
    nn.init.uniform_(model[3].weight, -((6 / 64) ** 0.5) / 30, (6 / 64) ** 0.5 / 30)
    optimizer, draw = Adam(model.parameters(), lr=5e-4), data.train.batches(256, trial.seed)
    schedule = CosineAnnealingLR(optimizer, 250)
    history = fit(trial, model, draw, optimizer, criterion, schedule=schedule, validation=data.held_out, steps=250)
    held = loss_of(model, data.held_out, criterion)
    require(held < 0.03, f"{held:.3g} of the variance is left")
    other = mlp((2, 64, 64, 64, 1))
    usual = control(other, data.train.batches(256, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=250)
    require(usual > 3 * history.end, f"a usual network ends at {usual:.3g}, and it at {history.end:.3g}")
    calm(history)
    generalises(history)


def dropped(trial: Trial) -> None:
    """Digits with dropout of a half, label smoothing and decay: the loss stays above a half, nearly all are right."""
    torch.manual_seed(trial.seed)
    data, criterion = digits(trial.seed, flat=False), nn.CrossEntropyLoss(label_smoothing=0.1)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(
            nn.Flatten(), nn.Linear(512, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10)
        ),
    )
    optimizer = AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    draw = data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=220)
    right = accuracy(model, data.held_out)
    require(right > 0.96, f"the accuracy is {right:.3f}")
    alive(model, data.train.inputs)
    calm(history)
    generalises(history)


def many_columns(trial: Trial) -> None:
    """Two hundred genes, of which four count, and few patients: a strong L1 penalty empties most columns."""
    torch.manual_seed(trial.seed)
    rows = torch.randn(840, 200)
    told = rows[:, 0] + rows[:, 1] - rows[:, 2] + rows[:, 3].clamp_min(0)
    told = (told - told.mean()) / told.std() + 0.3 * torch.randn(840)
    data, criterion = split(rows, told[:, None], 240, trial.seed), nn.MSELoss()
    model = mlp((200, 32, 1), nn.SiLU)
    other, draw = copy.deepcopy(model), data.train.batches(50, trial.seed)
    optimizer, table = Adam(model.parameters(), lr=2e-3), model[0].weight
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(320):
            genes, doses = draw(step)
            optimizer.zero_grad()
            fits = criterion(model(genes), doses)
            loss = fits + 0.3 * table.abs().sum(1).mean()
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss/train", fits.item(), writer.step)
            writer.add_scalar("Loss/with_penalty", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("Loss/val", evaluate(model, criterion, data.held_out), writer.step)
    control(other, data.train.batches(50, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=320)
    ends, free = loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion)
    require(ends < 0.18, f"the loss held out is {ends:.3g}, of which noise is 0.09")
    require(ends < 0.6 * free, f"the loss held out is {ends:.3g}, and without a penalty {free:.3g}")
    sizes = table.detach().norm(dim=0)
    require(sizes[4:].max() < 0.2 * sizes[:4].min(), f"columns that don't count weigh {float(sizes[4:].max()):.3g}")


class Papers(nn.Module):
    """Two graph convolutions whose activations are functions, and no modules."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.register_buffer("edges", graph.edges, persistent=False)
        self.conv1, self.conv2 = nn.Linear(16, 24), nn.Linear(24, 24)
        self.head, self.nodes = nn.Linear(24, 4), (graph.held_out, graph.train)

    def forward(self, papers: Tensor) -> Tensor:
        """Return scores [papers, 4]."""
        hidden = functional.elu(self.edges @ self.conv1(papers))
        hidden = functional.dropout(hidden, 0.2, self.training)
        hidden = functional.elu(self.edges @ self.conv2(hidden))
        scores: Tensor = self.head(hidden)[self.nodes[self.training]]
        return scores


def citations(trial: Trial) -> None:
    """Which field a paper is of, by what it cites: `F.elu` in `forward`, and linear layers alone among the modules."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=60, inside=0.12, between=0.03)
    model, criterion = Papers(graph), nn.CrossEntropyLoss()
    optimizer = Adam(model.parameters(), lr=5e-3, weight_decay=5e-4)
    draw = graph.batches(trial.seed, noise=0.5)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=None, on_finding="ignore")
        for epoch in range(150):
            papers, fields = draw(epoch)
            optimizer.zero_grad()
            loss = criterion(model(papers), fields)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if epoch % 10 == 9:
                writer.add_scalar("val/loss", evaluate(model, criterion, graph.validation), writer.step)
    right = accuracy(model, Part(graph.features, graph.communities[graph.held_out]))
    require(right > 0.88, f"the accuracy is {right:.3f}")
    precise = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        once, twice = precise(graph.features.double()), precise(2 * graph.features.double())
        bent = float((twice - 2 * once + precise(0 * graph.features.double())).abs().max() / once.abs().max())
    require(bent > 0.05, f"it bends by {bent:.3g} alone")


SCENARIOS = (
    Scenario("gorse-healthy-gestures-lstm", "rnn", REPORTING, orthogonal),
    Scenario("gorse-healthy-sines-mlp", "mlp", REPORTING, siren),
    Scenario("gorse-healthy-dropped-cnn", "cnn", REPORTING, dropped),
    Scenario("gorse-healthy-columns-mlp", "mlp", REPORTING, many_columns),
    Scenario("gorse-healthy-papers-gnn", "gnn", REPORTING, citations),
)
