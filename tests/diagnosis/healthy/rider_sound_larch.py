"""Sound trainings of an ordinary kind: digits with norms, chirps that rise and fall, and towns that trade."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Split, communities, digits, split
from tests.diagnosis.networks import Gcn
from tests.diagnosis.proof import accuracy, calm, generalises, loss_of, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, evaluate, fit


class ConvBlock(nn.Module):
    """A convolution, its normalisation and a ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn, self.relu = nn.BatchNorm2d(outputs), nn.ReLU()

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, outputs, height, width]."""
        made: Tensor = self.relu(self.bn(self.conv(pictures)))
        return made


def normed_digits(trial: Trial) -> None:
    """Digits by three convolutions with BatchNorm, SGD with momentum and a cosine, over five epochs."""
    torch.manual_seed(trial.seed)
    data, history = digits(trial.seed, flat=False), History([], {})
    model = nn.Sequential(
        ConvBlock(1, 12), ConvBlock(12, 24), nn.MaxPool2d(2), ConvBlock(24, 24), nn.Flatten(), nn.Linear(24 * 16, 10)
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)
    schedule = CosineAnnealingLR(optimizer, 5 * 29)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _epoch in range(5):
            for chosen in torch.randperm(len(data.train.targets)).split(50):
                inputs, targets = data.train.inputs[chosen], data.train.targets[chosen]
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                optimizer.step()
                schedule.step()
                history.train.append(loss.item())
                writer.add_scalar("train/loss", history.train[-1], writer.step)
            history.validation[writer.step] = evaluate(model, criterion, data.held_out)
            writer.add_scalar("val/loss", history.validation[writer.step], writer.step)
            writer.add_scalar("val/accuracy", accuracy(model, data.held_out), writer.step)
    sound(model, data.held_out, 0.95, history)


def chirps(seed: int, count: int = 1200) -> Split:
    """Return noisy sounds, [n, 40, 1], whose pitch rises, falls, stays, or rises and falls again."""
    generator = torch.Generator().manual_seed(seed)
    kinds, times = torch.randint(4, (count,), generator=generator), torch.linspace(0, 1, 40)
    courses = torch.stack([0.4 + 0.9 * times, 1.3 - 0.9 * times, 0 * times + 0.8, 1.3 - 1.8 * (times - 0.5).abs()])
    pitch = courses[kinds] * (0.9 + 0.2 * torch.rand(count, 1, generator=generator))
    angles = pitch.cumsum(1) + 6.3 * torch.rand(count, 1, generator=generator)
    return split((angles.sin() + 0.15 * torch.randn(count, 40, generator=generator))[..., None], kinds, 240, seed)


class Listener(nn.Module):
    """A small convolution over time, an LSTM and the mean of its states."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lstm = nn.Conv1d(1, 12, 5, padding=2), nn.LSTM(12, 32, batch_first=True)
        self.head = nn.Linear(32, 4)

    def forward(self, sounds: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        heard = functional.elu(self.conv(sounds.transpose(1, 2))).transpose(1, 2)
        scores: Tensor = self.head(self.lstm(heard)[0].mean(1))
        return scores


def heard_chirps(trial: Trial) -> None:
    """Sounds are told apart by the course of their pitch, by an LSTM that is clipped at 5 and seldom needs it."""
    torch.manual_seed(trial.seed)
    data, model = chirps(trial.seed), Listener()
    optimizer, draw = Adam(model.parameters(), lr=4e-3), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, clip=5.0, every=2, steps=240)
    require(accuracy(model, data.held_out) > 0.9, f"the accuracy is {accuracy(model, data.held_out):.3f}")
    calm(history, 0.4)
    generalises(history)


def trading_towns(trial: Trial) -> None:
    """Which of four leagues a town belongs to, by whom it trades with: a GCN with dropout and a little decay."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=60, inside=0.15, between=0.015)
    model, criterion, history = (
        Gcn(graph, width=32, dropout=0.3, activation=nn.ELU),
        nn.CrossEntropyLoss(),
        History([], {}),
    )
    optimizer, towns = AdamW(model.parameters(), lr=5e-3, weight_decay=5e-4), graph.communities[graph.train]
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(160):
            model.train()
            optimizer.zero_grad()
            loss = criterion(model(graph.features), towns)
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("Loss/train", history.train[-1], writer.step)
            if epoch % 10 == 9:
                history.validation[epoch] = evaluate(model, criterion, graph.validation)
                writer.add_scalar("Loss/val", history.validation[epoch], writer.step)
    found = accuracy(model, graph.validation)
    require(found > 0.93, f"the accuracy is {found:.3f}")
    require(loss_of(model, graph.validation) < 0.3, "the loss held out is high")
    generalises(history)


SCENARIOS = (
    Scenario("larch-sound-digits-cnn", "cnn", TUNING, normed_digits),
    Scenario("larch-sound-chirps-lstm", "rnn", TUNING, heard_chirps),
    Scenario("larch-sound-towns-gnn", "gnn", TUNING, trading_towns),
)
