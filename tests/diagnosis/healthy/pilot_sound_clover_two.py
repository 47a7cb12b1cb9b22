"""Healthy trainings: a loss above that held out, a tiny rate for a sum, and a text that is mostly chance."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.networks import cnn
from tests.diagnosis.proof import accuracy, calm, generalises, learned, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


def mixup(trial: Trial) -> None:
    """Mixup: pictures are blended in training, and not in evaluation, where the loss is therefore far lower."""
    data, model, criterion = digits(trial.seed, flat=False), cnn((16, 32)), nn.CrossEntropyLoss()
    other, draw = copy.deepcopy(model), data.train.batches(64, trial.seed)
    optimizer, losses = Adam(model.parameters(), lr=3e-3), []
    generator = torch.Generator().manual_seed(trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(260):
            pictures, sorts = draw(step)
            share = float(torch.rand(1, generator=generator))
            swap, named = torch.randperm(64, generator=generator), functional.one_hot(sorts, 10).float()
            optimizer.zero_grad()
            blended = share * pictures + (1 - share) * pictures[swap]
            loss = criterion(model(blended), share * named + (1 - share) * named[swap])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            if step % 20 == 19:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    learned(model, data.held_out, 0.96)
    held, trained = loss_of(model, data.held_out), sum(losses[-40:]) / 40
    require(trained > 1.5 * held, f"the loss in training is {trained:.3g}, and held out {held:.3g}")
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=3e-3), steps=260)
    does, without = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(does > without - 0.02, f"{does:.3f} are right, and without mixup {without:.3f}")


class Tides(nn.Module):
    """A GRU over a day and a half of water levels, and the next twelve."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = nn.GRU(1, 32, batch_first=True), nn.Linear(32, 12)

    def forward(self, levels: Tensor) -> Tensor:
        """Return [n, 12] of [n, 36, 1]."""
        told: Tensor = self.out(self.gru(levels)[0][:, -1])
        return told


def tides(trial: Trial) -> None:
    """`MSELoss(reduction="sum")` over 64 times 12 hours: a rate of 0.0003 is as one of 0.23 for the mean."""
    generator = torch.Generator().manual_seed(trial.seed)
    start = 100 * torch.rand(2000, 1, generator=generator) + torch.arange(48)
    levels = (start * 0.506).sin() + 0.4 * (start * 0.262).sin() + 0.1 * torch.randn(2000, 48, generator=generator)
    data, criterion = split(levels[:, :36, None], levels[:, 36:], 400, trial.seed), nn.MSELoss(reduction="sum")
    model = Tides()
    faster, slower = copy.deepcopy(model), copy.deepcopy(model)
    optimizer, draw = SGD(model.parameters(), lr=3e-4, momentum=0.9), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, every=1, steps=300)
    for rate, other in ((4e-3, faster), (1e-5, slower)):
        chosen = SGD(other.parameters(), lr=rate, momentum=0.9)
        control(other, data.train.batches(64, trial.seed), chosen, criterion, steps=300)
    left, fast, slow = (loss_of(one, data.held_out, nn.MSELoss()) for one in (model, faster, slower))
    whole = float(data.held_out.targets.var())
    require(left < 0.15 * whole, f"the error is {left:.3g} of a variance of {whole:.3g}")
    require(not fast < 0.9 * left and slow > 2 * left, f"{left:.3g}, at another rate {fast:.3g} and {slow:.3g}")
    calm(history)


class Chatter(nn.Module):
    """A transformer over what was said, and the next word."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(24, 32), nn.Parameter(0.02 * torch.randn(20, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.1, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 24)
        self.register_buffer("later", torch.ones(20, 20, dtype=torch.bool).triu(1))

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 24, 20]."""
        hidden = self.layers(self.words(words) + self.places, mask=self.later)
        scores: Tensor = self.head(self.norm(hidden)).transpose(1, 2)
        return scores


def chatter(trial: Trial) -> None:
    """A text whose next word is mostly chance: the loss stays high and few are right, which is all that can be."""
    generator = torch.Generator().manual_seed(trial.seed)
    chances = (1.1 * torch.randn(24, 24, generator=generator)).softmax(1)
    said = [torch.randint(24, (1600,), generator=generator)]
    for _place in range(20):
        said.append(torch.multinomial(chances[said[-1]], 1, generator=generator)[:, 0])
    words = torch.stack(said, 1)
    data, model = split(words[:, :-1], words[:, 1:], 300, trial.seed), Chatter()
    optimizer = AdamW(model.parameters(), lr=5e-3, weight_decay=0.05)
    schedule, draw = CosineAnnealingLR(optimizer, 240), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, schedule=schedule, validation=data.held_out, every=2, steps=240)
    text: Part = data.held_out
    best = float(functional.nll_loss(chances.log()[text.inputs].transpose(1, 2), text.targets))
    counts = functional.one_hot(data.train.targets, 24).sum((0, 1)).float()
    flat = float(functional.nll_loss((counts / counts.sum()).log().expand(300, 20, 24).transpose(1, 2), text.targets))
    known = (flat - loss_of(model, text)) / (flat - best)
    require(known > 0.85, f"{known:.2f} of what can be known is known")
    require(accuracy(model, text) < 0.4, "many words are right")
    generalises(history)


SCENARIOS = (
    Scenario("clover-sound-mixup-cnn", "cnn", TUNING, mixup),
    Scenario("clover-sound-tides-gru", "rnn", TUNING, tides),
    Scenario("clover-sound-chatter-transformer", "transformer", TUNING, chatter),
)
