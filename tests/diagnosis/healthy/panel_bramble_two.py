"""Healthy trainings: a chain of tokens, demand with rare rushes, flowers, and grey pictures drawn again."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_iris
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, Split, digits, language, split
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import accuracy, loss_of, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


def chain(trial: Trial) -> None:
    """A small language model by AdamW, its norm clipped at 1 as is usual, with a warm-up."""
    torch.manual_seed(trial.seed)
    data, model, criterion = language(trial.seed), Transformer(20, 20, each=True, width=32), nn.CrossEntropyLoss()
    optimizer, draw, norms = AdamW(model.parameters(), lr=3e-3, weight_decay=0.01), data.train.batches(32), []
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 20))
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            tokens, following = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(tokens), following)
            loss.backward()
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 1.0)))
            optimizer.step()
            schedule.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    # What can be known is how often each token follows each other one.
    pairs = torch.zeros(20, 20, dtype=torch.float64) + 1e-3
    pairs.index_put_((data.train.inputs.flatten(), data.train.targets.flatten()), torch.ones(()).double(), True)
    chances = (pairs / pairs.sum(1, keepdim=True)).log()
    best = -float(chances[data.held_out.inputs, data.held_out.targets].mean())
    does = loss_of(model, data.held_out)
    require(does < 1.15 * best, f"the loss is {does:.3g}, and could be {best:.3g}")
    share = sum(norm > 1 for norm in norms) / len(norms)
    require(share < 0.3, f"{share:.2f} of the steps were clipped")


class Demand(nn.Module):
    """A GRU over the demand of a week, and that of the next day."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, days: Tensor) -> Tensor:
        """Return [n, 1] of [n, days, 1]."""
        told: Tensor = self.out(self.rnn(days)[0][:, -1])
        return told


def shop(seed: int, count: int = 2000) -> tuple[Split, Tensor]:
    """Return demand of two weeks, [n, 14, 1], the next day's, now and then with a rush; and without rushes."""
    generator = torch.Generator().manual_seed(seed)
    day = torch.randint(7, (count, 1), generator=generator) + torch.arange(15)
    level = 0.8 * torch.randn(count, 1, generator=generator) + (0.898 * day).sin()
    level = level + 0.1 * torch.randn(count, 15, generator=generator)
    rush = (torch.rand(count, 1, generator=generator) < 0.015) * 8 * torch.randn(count, 1, generator=generator)
    data = split(level[:, :14, None], torch.cat([level[:, 14:] + rush, level[:, 14:]], 1), 400, seed)
    return data, data.held_out.targets[:, 1:]


def rushes(trial: Trial) -> None:
    """What a shop sells next: a batch with a rush has a gradient many times as large, so that many are clipped."""
    torch.manual_seed(trial.seed)
    data, calm = shop(trial.seed)
    train, held_out = Part(data.train.inputs, data.train.targets[:, :1]), Part(data.held_out.inputs, calm)
    model, criterion, norms = Demand(), nn.MSELoss(), []
    other, draw = copy.deepcopy(model), train.batches(32, trial.seed)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(300):
            days, following = draw(step)
            loss = criterion(model(days), following)
            optimizer.zero_grad()
            loss.backward()
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 0.5)))
            optimizer.step()
            writer.add_scalar("Loss/train", loss.item(), writer.step)
    control(other, train.batches(32, trial.seed), SGD(other.parameters(), lr=0.1, momentum=0.9), criterion, steps=300)
    does, might = (loss_of(one, held_out, criterion) for one in (model, other))
    plain = float(calm.var())
    require(
        does < 0.12 * plain and does < 1.1 * might, f"the error is {does:.3g}, {might:.3g} unclipped, of {plain:.3g}"
    )
    share = sum(norm > 0.5 for norm in norms) / len(norms)
    require(0.2 < share < 0.75, f"{share:.2f} of the steps were clipped")


class Flowers(nn.Module):
    """An MLP that ends in logarithms of probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 24), nn.Linear(24, 3)
        self.log = nn.LogSoftmax(1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return log-probabilities [n, 3]."""
        told: Tensor = self.log(self.out(torch.tanh(self.hidden(rows))))
        return told


def flowers(trial: Trial) -> None:
    """Iris by an MLP whose LogSoftmax goes with NLLLoss, as it should, and RMSprop."""
    torch.manual_seed(trial.seed)
    table = load_iris()
    rows = torch.tensor(table.data, dtype=torch.float32)
    data = split((rows - rows.mean(0)) / rows.std(0), torch.tensor(table.target), 45, trial.seed)
    model, criterion = Flowers(), nn.NLLLoss()
    optimizer = RMSprop(model.parameters(), lr=2e-3)
    history = fit(trial, model, data.train.batches(16, trial.seed), optimizer, criterion, steps=240, every=None)
    share = accuracy(model, data.held_out)
    require(share > 0.9 and history.end < 0.2, f"{share:.3f} is right, the loss ends at {history.end:.3g}")


def redrawn(trial: Trial) -> None:
    """Grey digits drawn again by an autoencoder: sigmoids and BCELoss, which no grey can bring below its entropy."""
    torch.manual_seed(trial.seed)
    raw = digits(trial.seed, flat=False)
    low, high = raw.train.inputs.min(), raw.train.inputs.max()
    train, held_out = ((part.inputs - low) / (high - low) for part in (raw.train, raw.held_out))
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(16, 16, 2, stride=2), nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 2, stride=2), nn.Sigmoid(),
    )  # fmt: skip
    optimizer, criterion = Adam(model.parameters(), lr=5e-3), nn.BCELoss()
    history = fit(
        trial,
        model,
        Part(train, train).batches(48, trial.seed),
        optimizer,
        criterion,
        validation=Part(held_out, held_out),
        steps=300,
        every=2,
    )
    least, plain = (
        float(criterion(told.clamp(0, 1), held_out)) for told in (held_out, train.mean(0).expand_as(held_out))
    )
    end = list(history.validation.values())[-1]
    require(
        (plain - end) / (plain - least) > 0.7, f"the loss is {end:.3g}; {plain:.3g} of the mean, {least:.3g} at best"
    )
    with torch.no_grad():
        error = float((model(held_out) - held_out).square().mean() / (train.mean(0) - held_out).square().mean())
    require(error < 0.35, f"the square error is {error:.3g} of the mean picture's")


SCENARIOS = (
    Scenario("bramble-healthy-chain-transformer", "transformer", REPORTING, chain),
    Scenario("bramble-healthy-rushes-gru", "rnn", REPORTING, rushes),
    Scenario("bramble-healthy-flowers-mlp", "mlp", REPORTING, flowers),
    Scenario("bramble-healthy-redrawn-cnn", "cnn", REPORTING, redrawn),
)
