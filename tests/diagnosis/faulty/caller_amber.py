"""Logarithms of nothing, texts of nothing, and rates that fit another optimizer."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import OneCycleLR

from tests.diagnosis.data import STATES, Part, digits, language, patients, split
from tests.diagnosis.networks import Block, Transformer, mlp
from tests.diagnosis.proof import accuracy, finite, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def surpassed(loss: float, better: float, factor: float = 1.5) -> None:
    """Raise NotProvenError unless the loss is so many times what a training without the fault reached."""
    require(loss > factor * better, f"the loss of {loss:.3g} is not well above {better:.3g}")


def own_entropy(shares: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy as it stands in the book."""
    return -(targets * torch.log(shares) + (1 - targets) * torch.log(1 - shares)).mean()


def book(trial: Trial) -> Truth:
    """A sigmoid, then the cross-entropy as in the book: a sure answer is 1.0 in float32, and 0 * log(0) is NaN."""
    torch.manual_seed(trial.seed)
    data = patients(trial.seed)
    model = mlp((30, 64, 32, 1))
    model.append(nn.Sigmoid())
    other = copy.deepcopy(model)[:-1]
    optimizer, draw = Adam(model.parameters(), lr=4e-3), data.train.batches(64, trial.seed)
    last, onset = copy.deepcopy(model), -1
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(250):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            shares = model(inputs)
            loss = own_entropy(shares, targets)
            writer.observe(outputs=shares, targets=targets, loss=loss)
            loss.backward()
            if onset < 0 and not loss.isfinite():
                last, onset, batch = copy.deepcopy(model), step, Part(inputs, targets)
            optimizer.step()
            writer.add_scalar("Loss/train", loss.item(), writer.step)
            if step % 25 == 24:
                writer.add_scalar("Loss/val", evaluate(model, own_entropy, data.held_out), writer.step)
    require(onset > 0, "the loss stays finite")
    finite(last)
    with torch.no_grad():
        require(bool(((last(batch.inputs) == 1) & (batch.targets == 1)).any()), "no answer is rounded to 1")
    exact = loss_of(last[:-1], batch, nn.BCEWithLogitsLoss())
    require(math.isfinite(exact) and exact < 0.2, f"by its scores the loss is {exact:.3g}")
    require(all(bool(value.isnan().all()) for value in model.parameters()), "a weight is not NaN")
    optimizer, draw = Adam(other.parameters(), lr=4e-3), data.train.batches(64, trial.seed)
    require(control(other, draw, optimizer, nn.BCEWithLogitsLoss(), steps=250) < 0.1, "the control does not learn")
    return Truth((), onset, onset + 1)


class Attending(nn.Module):
    """Self-attention by hand, with a mask of what is padding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, hidden: Tensor, padding: Tensor) -> Tensor:
        """Return [n, length, width]."""
        scores = self.query(hidden) @ self.key(hidden).transpose(1, 2) / hidden.shape[-1] ** 0.5
        shares = functional.softmax(scores.masked_fill(padding[:, None], float("-inf")), -1)
        made: Tensor = self.out(shares @ self.value(hidden))
        return made


class Reviewer(nn.Module):
    """Says from the words of a review, of which 0 is padding, whether it is a good one."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(41, 32, padding_idx=0), nn.Embedding(14, 32)
        self.norm1, self.attention = nn.LayerNorm(32), Attending(32)
        self.norm2, self.up, self.down = nn.LayerNorm(32), nn.Linear(32, 64), nn.Linear(64, 32)
        self.head = nn.Linear(32, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 2] of [n, 14]."""
        padding = tokens == 0
        hidden = self.embed(tokens) + self.place.weight
        hidden = hidden + self.attention(self.norm1(hidden), padding)
        hidden = hidden + self.down(functional.gelu(self.up(self.norm2(hidden))))
        there = (~padding).float()[..., None]
        scores: Tensor = self.head((hidden * there).sum(1) / there.sum(1).clamp(min=1))
        return scores


def empty_text(trial: Trial) -> Truth:
    """Reviews, one of which has no words after cleaning: all its places are masked, and the softmax gives NaN."""
    generator = torch.Generator().manual_seed(trial.seed)
    torch.manual_seed(trial.seed)
    tokens = torch.randint(1, 41, (1500, 14), generator=generator)
    mood = torch.cat([torch.zeros(1), torch.randn(40, generator=generator)])
    tokens[torch.arange(14) >= torch.randint(3, 15, (1500, 1), generator=generator)] = 0
    data = split(tokens, (mood[tokens].sum(1) > 0).long(), 300, trial.seed)
    # The one comes along late in the first epoch.
    lost = 1000 - 32 * trial.seed
    whole = Part(data.train.inputs.clone(), data.train.targets)
    data.train.inputs[lost] = 0
    model, criterion = Reviewer(), nn.CrossEntropyLoss()
    other, held = copy.deepcopy(model), [math.nan]
    optimizer, onset, at = AdamW(model.parameters(), lr=2e-3), -1, 0
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(4):
            for start in range(0, 1200, 32):
                chosen = torch.arange(start, min(start + 32, 1200))
                if epoch:
                    chosen = torch.randint(1200, (32,), generator=generator)
                batch = Part(data.train.inputs[chosen], data.train.targets[chosen])
                loss = criterion(model(batch.inputs), batch.targets)
                optimizer.zero_grad()
                loss.backward()
                if onset < 0 and not loss.isfinite():
                    finite(model)
                    rest = (batch.inputs != 0).any(1)
                    require(int((~rest).sum()) == 1, "it is not about the empty text")
                    held = [loss_of(model, Part(batch.inputs[rest], batch.targets[rest])), loss_of(model, batch)]
                    onset = at
                optimizer.step()
                at += 1
                writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("val/accuracy", accuracy(model, data.held_out), writer.step)
    require(onset > 0 and math.isfinite(held[0]) and math.isnan(held[1]), f"the losses are {held}")
    better = control(other, whole.batches(32, trial.seed), AdamW(other.parameters(), lr=2e-3), steps=at)
    require(better < 0.3, f"the control gets to {better:.3g}")
    return Truth(("attention", "attention.out"), onset, onset + 1)


class Lenet(nn.Module):
    """Two convolutions and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 24, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(24 * 4, 64), nn.Linear(64, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2).flatten(1)
        scores: Tensor = self.fc2(functional.relu(self.fc1(hidden)))
        return scores


def first_guess(trial: Trial) -> Truth:
    """Adam at 0.1, as SGD had it: the loss leaps at once, and stays far above what it could be."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed, flat=False), Lenet(), nn.CrossEntropyLoss()
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=0.1), data.train.batches(64, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
            if step % 20 == 19:
                writer.add_scalar("Accuracy", accuracy(model, data.held_out), writer.step)
    require(max(losses[:10]) > 1.5 * losses[0], "the loss does not leap")
    better = control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=2e-3), steps=200)
    require(better < 0.3, f"the control gets to {better:.3g}")
    surpassed(sum(losses[-20:]) / 20, better, 4)
    return Truth((), 0, 10)


def one_cycle(trial: Trial) -> Truth:
    """A language model whose cycle of the rate has its peak at 0.3, as in a tutorial that used SGD; this is AdamW."""
    torch.manual_seed(trial.seed)
    data = language(trial.seed)
    model = Transformer(STATES, STATES, width=32, each=True, block=lambda width: Block(width, causal=True, dropout=0.1))
    other = copy.deepcopy(model)
    rates: list[float] = []
    optimizer = AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = OneCycleLR(optimizer, max_lr=0.3, total_steps=261, pct_start=0.4)
    history = fit(
        trial,
        model,
        data.train.batches(32, trial.seed),
        optimizer,
        schedule=schedule,
        validation=data.held_out,
        every=2,
        steps=260,
        before=lambda _step: rates.append(float(optimizer.param_groups[0]["lr"])),
    )
    gentle = AdamW(other.parameters(), lr=3e-3, weight_decay=0.01)
    surpassed(history.end, control(other, data.train.batches(32, trial.seed), gentle, steps=260), 1.3)
    peak = rates.index(max(rates))
    surpassed(sum(history.train[peak : peak + 20]) / 20, min(history.train[:peak]), 1.1)
    return Truth((), next(step for step, rate in enumerate(rates) if rate > 0.02), peak)


SCENARIOS = (
    Scenario("amber-log-bce-mlp", "mlp", TUNING, book, ("nonfinite",), ("wrong_output_or_loss",)),
    Scenario("amber-empty-text-transformer", "transformer", TUNING, empty_text, ("nonfinite",)),
    Scenario(
        "amber-adam-tenth-cnn",
        "cnn",
        TUNING,
        first_guess,
        ("lr_too_high",),
        ("loss_spike", "dead_units", "loss_plateau", "exploding_gradient", "vanishing_gradient", "underfitting"),
    ),
    Scenario(
        "amber-one-cycle-transformer",
        "transformer",
        TUNING,
        one_cycle,
        ("lr_too_high",),
        ("loss_spike", "loss_plateau", "loss_oscillation", "saturation", "exploding_gradient", "underfitting"),
    ),
)
