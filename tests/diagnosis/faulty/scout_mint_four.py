"""Steps that are too short: a rate from another optimizer, a schedule upside down, a warm-up from a paper."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from tests.diagnosis.data import digits, language, split
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import accuracy, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class LeNet(nn.Module):
    """Two convolutions and two linear layers over a digit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(64, 48), nn.Linear(48, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        scores: Tensor = self.fc2(functional.relu(self.fc1(hidden.flatten(1))))
        return scores


def adams_rate(trial: Trial) -> Truth:
    """Plain SGD at 0.0001, a rate that was Adam's: after ten epochs LeNet still guesses."""
    data = digits(trial.seed, flat=False)
    torch.manual_seed(trial.seed)
    model, criterion, losses = LeNet(), nn.CrossEntropyLoss(), []
    other, draw = copy.deepcopy(model), data.train.batches(48, trial.seed)
    optimizer = SGD(model.parameters(), lr=1e-4)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            pictures, classes = draw(step)
            optimizer.zero_grad()
            scores = model(pictures)
            loss = criterion(scores, classes)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("train/acc", float((scores.argmax(1) == classes).float().mean()), writer.step)
    better = control(other, data.train.batches(48, trial.seed), SGD(other.parameters(), lr=0.1), steps=300)
    end = sum(losses[-30:]) / 30
    require(end > 2.2 and better < 0.4, f"it ends at {end:.3g}, and at a thousandfold rate at {better:.3g}")
    found, could = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(found < could - 0.5, f"{found:.3g} are right, and could be {could:.3g}")
    return Truth()


class Molecules(nn.Module):
    """Passes messages twice along bonds, adds up the atoms, and says how well a molecule dissolves."""

    def __init__(self) -> None:
        super().__init__()
        self.atoms = nn.Embedding(5, 24)
        self.message1, self.message2 = nn.Linear(24, 24), nn.Linear(24, 24)
        self.own1, self.own2 = nn.Linear(24, 24), nn.Linear(24, 24)
        self.readout = nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, molecule: Tensor) -> Tensor:
        """Return [n, 1] of kinds of atoms beside bonds, [n, 12, 1 + 12]."""
        bonds, hidden = molecule[:, :, 1:], self.atoms(molecule[:, :, 0].long())
        hidden = functional.relu(self.own1(hidden) + bonds @ self.message1(hidden))
        hidden = functional.relu(self.own2(hidden) + bonds @ self.message2(hidden))
        dissolved: Tensor = self.readout(hidden.mean(1))
        return dissolved


def molecules(seed: int, count: int = 1200) -> tuple[Tensor, Tensor]:
    """Return molecules [n, 12, 1 + 12] and a sum over their bonds, standardised."""
    draw = torch.Generator().manual_seed(seed)
    kinds = torch.randint(5, (count, 12), generator=draw)
    bonds = (torch.rand(count, 12, 12, generator=draw) < 0.15).float().triu(1)
    bonds = bonds + bonds.transpose(1, 2)
    bonds[:, range(11), range(1, 12)] = bonds[:, range(1, 12), range(11)] = 1.0
    polar = torch.tensor([1.0, -1.0, 0.5, 0.0, -0.5])[kinds]
    total = (polar[:, :, None] * bonds * (kinds[:, None] < 2)).sum((1, 2)) + 2 * polar.sum(1)
    return torch.cat([kinds[:, :, None].float(), bonds], 2), ((total - total.mean()) / total.std())[:, None]


def upside_down(trial: Trial) -> Truth:
    """ReduceLROnPlateau(mode="max") that is given the loss: each fall of it counts as none, and the rate is cut."""
    data, criterion = split(*molecules(trial.seed), 200, trial.seed), nn.MSELoss()
    torch.manual_seed(trial.seed)
    model, losses, rates = Molecules(), [], []
    other, draw = copy.deepcopy(model), data.train.batches(64, trial.seed)
    optimizer = Adam(model.parameters(), lr=2e-3)
    schedule = ReduceLROnPlateau(optimizer, mode="max", patience=5, factor=0.1)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            graph, dissolved = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(graph), dissolved)
            loss.backward()
            optimizer.step()
            schedule.step(loss.item())
            losses.append(loss.item())
            rates.append(optimizer.param_groups[0]["lr"])
            writer.add_scalar("loss", losses[-1], writer.step)
    better = control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), 2e-3), criterion, steps=240)
    end = sum(losses[-24:]) / 24
    require(end > 0.3 and better < 0.2 * end, f"it ends at {end:.3g}, and at a rate that stays at {better:.3g}")
    found, could = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(could < 0.2 * found, f"the loss held out is {found:.3g}, and could be {could:.3g}")
    cut, gone = (next(at for at, rate in enumerate(rates) if rate < share * 2e-3) for share in (0.99, 0.01))
    return Truth((), cut, gone + 10)


def long_warmup(trial: Trial) -> Truth:
    """The warm-up of 10,000 steps of a paper, for a small language model that is trained for 240 in all."""
    data = language(trial.seed)
    torch.manual_seed(trial.seed)
    model = Transformer(20, 20, each=True)
    other = copy.deepcopy(model)
    optimizer = Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    schedule = LambdaLR(optimizer, lambda step: 24**-0.5 * min((step + 1) ** -0.5, (step + 1) * 10_000**-1.5))
    draw, held_out = data.train.batches(32, trial.seed), data.held_out
    history = fit(trial, model, draw, optimizer, validation=held_out, schedule=schedule, every=3, steps=240)
    optimizer = Adam(other.parameters(), lr=5e-3, betas=(0.9, 0.98), eps=1e-9)
    better = control(other, data.train.batches(32, trial.seed), optimizer, steps=240)
    require(better < history.end - 0.6, f"it ends at {history.end:.3g}, and at 0.005 at {better:.3g}")
    found, could = loss_of(model, held_out), loss_of(other, held_out)
    require(could < found - 0.6, f"the loss held out is {found:.3g}, and could be {could:.3g}")
    return Truth()


SCENARIOS = (
    Scenario("mint-slow-sgd-cnn", "cnn", TUNING, adams_rate, ("lr_too_low",), ("loss_plateau", "underfitting")),
    Scenario("mint-slow-reduce-gnn", "gnn", TUNING, upside_down, ("lr_too_low",), ("loss_plateau", "underfitting")),
    Scenario(
        "mint-slow-warmup-transformer",
        "transformer",
        TUNING,
        long_warmup,
        ("lr_too_low",),
        ("loss_plateau", "underfitting"),
    ),
)
