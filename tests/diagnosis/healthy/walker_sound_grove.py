"""Sound trainings of an ordinary kind: wines, groups of people, and the tide in a harbour."""

from __future__ import annotations

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from tests.diagnosis.data import Split, communities, split
from tests.diagnosis.networks import Gcn, mlp
from tests.diagnosis.proof import generalises, learned, loss_of, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import evaluate, fit


def cellar(trial: Trial) -> None:
    """Wines told apart by thirteen measurements, with batch normalisation, weight decay and a cosine schedule."""
    torch.manual_seed(trial.seed)
    rows, makers = load_wine(return_X_y=True)
    inputs = torch.tensor((rows - rows.mean(0)) / rows.std(0), dtype=torch.float32)
    data = split(inputs, torch.tensor(makers), 45, trial.seed)
    model = mlp((13, 24, 16, 3), norm=nn.BatchNorm1d)
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-3)
    schedule, draw = CosineAnnealingLR(optimizer, 160), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, schedule=schedule, every=2, steps=160)
    sound(model, data.held_out, 0.93, history)


def groups(trial: Trial) -> None:
    """Whom people write to tells the group they are of: two graph convolutions with dropout, over the whole graph."""
    torch.manual_seed(trial.seed)
    graph, criterion = communities(trial.seed, size=50, inside=0.2), nn.CrossEntropyLoss()
    model = Gcn(graph, width=24, activation=nn.ELU, dropout=0.3)
    optimizer, draw = AdamW(model.parameters(), lr=5e-3, weight_decay=0.01), graph.batches(trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(150):
            features, known = draw(epoch)
            optimizer.zero_grad()
            scores = model(features)
            loss = criterion(scores, known)
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss/train", loss.item(), writer.step)
            writer.add_scalar("Accuracy/train", float((scores.argmax(1) == known).float().mean()), writer.step)
            if epoch % 10 == 9:
                writer.add_scalar("Loss/val", evaluate(model, criterion, graph.validation), writer.step)
    learned(model, graph.validation, 0.9)


def tides(seed: int, count: int = 1200) -> Split:
    """Return thirty-two hours of a tide, [n, 32, 1], and the next eight, [n, 8]."""
    generator = torch.Generator().manual_seed(seed)
    hours = torch.arange(40)
    phases = 6.3 * torch.rand(count, 2, generator=generator)
    moon, sun = (torch.sin(6.2832 * hours / time + phases[:, at, None]) for at, time in enumerate((12.4, 7.0)))
    level = moon + 0.5 * sun + 0.1 * torch.randn(count, 40, generator=generator)
    return split(level[:, :32, None], level[:, 32:], 200, seed)


class Tide(nn.Module):
    """A GRU whose last state tells eight hours at once."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(1, 32, batch_first=True), nn.Linear(32, 8)

    def forward(self, level: Tensor) -> Tensor:
        """Return [n, 8]."""
        told: Tensor = self.head(self.gru(level)[0][:, -1])
        return told


def harbour(trial: Trial) -> None:
    """The tide of the next eight hours by a GRU, Adam with one cycle of its rate, and clipping that seldom acts."""
    torch.manual_seed(trial.seed)
    data, model, criterion = tides(trial.seed), Tide(), nn.MSELoss()
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    schedule, sizes = OneCycleLR(optimizer, 1e-2, total_steps=240), []

    def measure(_step: int) -> None:
        sizes.append(sum(float(v.grad.square().sum()) for v in model.parameters() if v.grad is not None) ** 0.5)

    history = fit(
        trial,
        model,
        draw,
        optimizer,
        criterion,
        schedule=schedule,
        validation=data.held_out,
        clip=5.0,
        every=None,
        backward=measure,
    )
    end, flat = loss_of(model, data.held_out, criterion), float(data.held_out.targets.var())
    require(end < 0.1 * flat, f"the loss is {end:.3g}, and {flat:.3g} where one level is told")
    require(sum(size > 5 for size in sizes) < 24, "it is clipped often")
    generalises(history)


SCENARIOS = (
    Scenario("grove-sound-cellar-mlp", "mlp", TUNING, cellar),
    Scenario("grove-sound-groups-gnn", "gnn", TUNING, groups),
    Scenario("grove-sound-harbour-gru", "rnn", TUNING, harbour),
)
