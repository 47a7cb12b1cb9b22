"""Healthy trainings as they are met with: wines, digits that are shifted, a language, and a new head on an old body."""

from __future__ import annotations

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Part, digits, language, majorities, split
from tests.diagnosis.networks import Transformer, mlp
from tests.diagnosis.proof import accuracy, calm, generalises, learned, loss_of, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


def wines(trial: Trial) -> None:
    """Three sorts of wine by thirteen measurements, with Adam; the accuracy held out is logged beside the losses."""
    torch.manual_seed(trial.seed)
    raw, sorts = load_wine(return_X_y=True)
    rows = torch.tensor((raw - raw.mean(0)) / raw.std(0), dtype=torch.float32)
    data = split(rows, torch.tensor(sorts), 50, trial.seed)
    model, criterion, history = mlp((13, 32, 3)), nn.CrossEntropyLoss(), History([], {})
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(16, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("loss/train", loss.item(), writer.step)
            if step % 20 == 19:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("loss/val", history.validation[step], writer.step)
                writer.add_scalar("accuracy/val", accuracy(model, data.held_out), writer.step)
    learned(model, data.held_out, 0.9)
    calm(history, 0.4)
    generalises(history)


class Shifted(nn.Module):
    """Three convolutions with BatchNorm, as in many a repository."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)
        self.conv3, self.bn3 = nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)
        self.fc = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = F.relu(self.bn3(self.conv3(x)))
        scores: Tensor = self.fc(x.mean((2, 3)))
        return scores


def shifted(trial: Trial) -> None:
    """Digits that are shifted by a pixel at random, SGD with momentum, weight decay and a cosine to the end."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), Shifted()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    draw, generator = data.train.batches(64, trial.seed), torch.Generator().manual_seed(trial.seed)

    def moving(step: int) -> tuple[Tensor, Tensor]:
        pictures, classes = draw(step)
        shift = torch.randint(-1, 2, (2,), generator=generator).tolist()
        return pictures.roll(shift, (2, 3)), classes

    history = fit(
        trial,
        model,
        moving,
        optimizer,
        steps=200,
        schedule=CosineAnnealingLR(optimizer, 200),
        validation=data.held_out,
        every=2,
    )
    learned(model, data.held_out, 0.95)
    calm(history, 0.3)
    generalises(history)


class Speaker(nn.Module):
    """A language model with an LSTM, whose scores are for all places."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.drop = nn.Embedding(20, 32), nn.Dropout(0.1)
        self.rnn, self.decoder = nn.LSTM(32, 48, batch_first=True), nn.Linear(48, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 20, length]."""
        states = self.drop(self.rnn(self.drop(self.encoder(tokens)))[0])
        scores: Tensor = self.decoder(states).transpose(1, 2)
        return scores


def speaker(trial: Trial) -> None:
    """A language model whose loss ends far above zero, since what it reads is half chance; it knows what can be."""
    torch.manual_seed(trial.seed)
    data, model = language(trial.seed), Speaker()
    draw, optimizer = data.train.batches(32, trial.seed), AdamW(model.parameters(), lr=6e-3)
    history = fit(trial, model, draw, optimizer, steps=220, clip=1.0, validation=data.held_out, every=None)
    counts = torch.full((20, 20), 0.05, dtype=torch.float64)
    counts.index_put_(
        (data.train.inputs.flatten(), data.train.targets.flatten()), torch.ones((), dtype=torch.float64), True
    )
    chances = (counts / counts.sum(1, keepdim=True)).log()
    best = -float(chances[data.held_out.inputs, data.held_out.targets].mean())
    does = loss_of(model, data.held_out)
    require(does < best + 0.15, f"the loss is {does:.3f}, and that of counted pairs {best:.3f}")
    calm(history)
    generalises(history)


def new_head(trial: Trial) -> None:
    """Freezes a transformer that was trained before, and trains a new head alone, as is meant."""
    torch.manual_seed(trial.seed)
    data, model = majorities(trial.seed), Transformer(12, 3)
    control(model, data.train.batches(64, 1), Adam(model.parameters(), lr=3e-3), steps=150)
    model.requires_grad_(False)
    model.head = nn.Linear(24, 2)
    # The new task: whether the first kind is the most frequent.
    train, held_out = (Part(part.inputs, (part.targets == 0).long()) for part in (data.train, data.held_out))
    before, optimizer = snapshot(model), Adam(model.head.parameters(), lr=1e-2)
    history = fit(trial, model, train.batches(64, trial.seed), optimizer, steps=160, validation=held_out, every=2)
    for name, change in moved(before, model).items():
        require((change > 0) == name.startswith("head."), f"{name} moved by {change:.3g}")
    common = float((held_out.targets == 0).double().mean())
    require(accuracy(model, held_out) > common + 0.15, f"it is {accuracy(model, held_out):.3f}, {common:.3f} if blind")
    calm(history, 0.5)
    generalises(history)


SCENARIOS = (
    Scenario("maple-sound-wines-mlp", "mlp", TUNING, wines),
    Scenario("maple-sound-shifted-cnn", "cnn", TUNING, shifted),
    Scenario("maple-sound-speaker-lstm", "rnn", TUNING, speaker),
    Scenario("maple-sound-head-transformer", "transformer", TUNING, new_head),
)
