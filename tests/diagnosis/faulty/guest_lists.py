"""Recurrent networks whose steps are the sum of many, and whose scores are in the wrong places."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from tests.diagnosis.data import Split, split
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import Recurrent
from tests.diagnosis.proof import require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def customers(seed: int, count: int = 1500) -> Split:
    """Return what customers did in six months, [n, 6, 5], and which of three things they did then."""
    generator = torch.Generator().manual_seed(seed)
    months = torch.randn(count, 6, 5, generator=generator)
    trend = (months[..., 0] * torch.linspace(-1, 1, 6)).sum(1) + months[:, -3:, 1].sum(1)
    return split(months, (trend > -1).long() + (trend > 1).long(), 300, seed)


def six_added_up(trial: Trial) -> Truth:
    """Gradients of six batches are added up and not divided by six, at the rate that suited one."""
    data, model, criterion = customers(trial.seed), Recurrent(nn.GRU, 3, inputs=5), nn.CrossEntropyLoss()
    other, losses = copy.deepcopy(model), []
    optimizer, draw = SGD(model.parameters(), lr=0.5, momentum=0.9), data.train.batches(8, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for micro in range(100 * 6):
            months, did = draw(micro)
            loss = criterion(model(months), did)
            loss.backward()
            losses.append(float(loss.detach()))
            if micro % 6 == 5:
                optimizer.step()
                optimizer.zero_grad()
                writer.add_scalar("train/loss", sum(losses[-6:]) / 6, writer.step)
    again = data.train.batches(48, trial.seed)
    better = control(other, again, SGD(other.parameters(), lr=0.5, momentum=0.9), steps=100)
    worse(sum(losses[-60:]) / 60, better, 2.0)
    return Truth()


class Tagger(nn.Module):
    """An LSTM that says of each word what kind it is, given the two before."""

    def __init__(self, *, moved: bool) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(24, 16), nn.LSTM(16, 32, batch_first=True)
        self.head, self.moved = nn.Linear(32, 5), moved

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 5, length]."""
        scores: Tensor = self.head(self.rnn(self.embed(words))[0])
        return scores.transpose(1, 2) if self.moved else scores.reshape(len(words), 5, words.shape[1])


def viewed(trial: Trial) -> Truth:
    """`scores.view(n, classes, length)`, as the loss wants that shape: scores of words stand at other words' places."""
    generator = torch.Generator().manual_seed(trial.seed)
    kinds = torch.randint(5, (24, 2), generator=generator)
    words = torch.randint(24, (1400, 18), generator=generator)
    after = torch.cat([torch.zeros(1400, 1).long(), words[:, :-1] % 2], 1)
    data = split(words, kinds[words, after], 200, trial.seed)
    model, other, criterion = Tagger(moved=False), Tagger(moved=True), nn.CrossEntropyLoss()
    optimizer = Adam(model.parameters(), lr=5e-3)
    draw = data.train.batches(24, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=220)
    again = data.train.batches(24, trial.seed)
    worse(history.end, control(other, again, Adam(other.parameters(), lr=5e-3), steps=220), 4.0)
    shares = data.train.targets.flatten().bincount().double() / data.train.targets.numel()
    least = float(-(shares * shares.log()).sum())
    require(history.end > 0.8 * least, f"the loss is {history.end:.3g}, and {least:.3g} of shares alone")
    return Truth()


_RATE = ("loss_oscillation", "loss_plateau", "saturation")
_PLACES = ("wrong_output_or_loss", "loss_plateau", "underfitting")

SCENARIOS = (
    Scenario("high-added-up-gru", "rnn", TUNING, six_added_up, ("lr_too_high",), _RATE),
    Scenario("output-places-lstm", "rnn", TUNING, viewed, _PLACES, ("label_noise",)),
)
