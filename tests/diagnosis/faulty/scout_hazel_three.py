"""Held down too hard: a decay for AdamW given to Adam, a share to keep given as dropout, a penalty that is summed."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.optim import Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, language, split
from tests.diagnosis.faulty.scout_hazel import worse
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def decayed(trial: Trial) -> Truth:
    """`Adam(..., weight_decay=1.0)` against overfitting on 350 patients: the weights shrink, and it tells the mean."""
    torch.manual_seed(trial.seed)
    table = load_diabetes()
    rows = torch.tensor(table.data / table.data.std(0), dtype=torch.float32)
    target = torch.tensor((table.target - table.target.mean()) / table.target.std(), dtype=torch.float32)[:, None]
    data, criterion, model = split(rows, target, 90, trial.seed), nn.MSELoss(), mlp((10, 64, 32, 1))
    other, held = copy.deepcopy(model), {}
    norm = float(model.get_parameter("fc2.weight").detach().norm())

    def look(step: int) -> None:
        held[step] = float(model.get_parameter("fc2.weight").detach().norm())

    optimizer, draw = Adam(model.parameters(), lr=3e-3, weight_decay=1.0), data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, after=look, every=1, steps=300)
    optimizer = Adam(other.parameters(), lr=3e-3, weight_decay=1e-4)
    control(other, data.train.batches(32, trial.seed), optimizer, criterion, steps=100)
    worse(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 1.4)
    worse(loss_of(model, data.train, criterion), loss_of(other, data.train, criterion), 1.8)
    require(held[299] < 0.3 * norm, f"the weights of fc2 go from {norm:.3g} to {held[299]:.3g}")
    return Truth((), 0, 20 + min(step for step, size in held.items() if size < 0.3 * norm))


class Chars(nn.Module):
    """A causal transformer of PyTorch's own layers."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.tok, self.pos = nn.Embedding(20, 32), nn.Parameter(0.02 * torch.randn(16, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout, "gelu", batch_first=True, norm_first=True)
        self.drop, self.blocks = nn.Dropout(dropout), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores of each place, [n, 20, 16]."""
        later = torch.full((16, 16), -torch.inf).triu(1)
        if next(self.parameters()).dtype == torch.float64:
            later = later.double()
        hidden = self.blocks(self.drop(self.tok(tokens) + self.pos), mask=later)
        scores: Tensor = self.head(self.norm(hidden))
        return scores.transpose(1, 2)


def kept(trial: Trial) -> Truth:
    """`dropout=0.9`, meant as the share that is kept: a language model is left with a tenth of what it computes."""
    torch.manual_seed(trial.seed)
    data, criterion = language(trial.seed), nn.CrossEntropyLoss()
    model, other = Chars(0.9), Chars(0.1)
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=2e-3), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=None, on_finding="ignore")
        for step in range(200):
            tokens, following = draw(step)
            loss = criterion(model(tokens), following)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if step % 25 == 24:
                model.eval()
                with torch.no_grad():
                    writer.add_scalar(
                        "val/loss", criterion(model(data.held_out.inputs), data.held_out.targets).item(), writer.step
                    )
                model.train()
    control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=2e-3), steps=200)
    worse(loss_of(model, data.held_out), loss_of(other, data.held_out), 1.25)
    worse(loss_of(model, data.train), loss_of(other, data.train), 1.25)
    return Truth()


def beats(seed: int, count: int = 1400) -> Part:
    """Return signals of two leads, [n, 2, 48], with a beat of one of five shapes somewhere, and which it is."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(5, (count,), generator=generator)
    time = torch.arange(48.0) - 12 - 24 * torch.rand(count, 1, generator=generator)
    bumps = [(-(time / width).square()).exp() for width in (2.0, 5.0)]
    shapes = torch.stack([bumps[0], bumps[1], -bumps[0], bumps[0] * time / 2, bumps[1] - 1.5 * bumps[0]], 1)
    beat = 2 * shapes[torch.arange(count), kinds]
    signals = torch.stack([beat, 0.6 * beat.roll(2, 1)], 1)
    return Part(signals + 0.25 * torch.randn(signals.shape, generator=generator), kinds)


class Beats(nn.Module):
    """Three convolutions in blocks over time, and the mean of what they find."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [
            nn.Sequential(nn.Conv1d(given, made, 5, padding=2), nn.BatchNorm1d(made), nn.ReLU())
            for given, made in ((2, 16), (16, 24), (24, 24))
        ]
        self.features, self.classifier = nn.Sequential(*blocks), nn.Linear(24, 5)

    def forward(self, signals: Tensor) -> Tensor:
        """Return scores [n, 5]."""
        scores: Tensor = self.classifier(self.features(signals).mean(2))
        return scores


def penalised(trial: Trial) -> Truth:
    """`loss + 0.05 * sum(p.abs().sum())` over all parameters of a network for heartbeats: it heeds little else."""
    torch.manual_seed(trial.seed)
    known = beats(trial.seed)
    data, model, criterion = split(known.inputs, known.targets, 280, trial.seed), Beats(), nn.CrossEntropyLoss()
    other = copy.deepcopy(model)
    optimizer, draw = RMSprop(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            signals, kinds = draw(step)
            scores = model(signals)
            loss = criterion(scores, kinds)
            total = loss + 0.05 * sum(value.abs().sum() for value in model.parameters())
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            writer.add_scalar("Loss/total", total.item(), writer.step)
            writer.add_scalar("Loss/ce", loss.item(), writer.step)
            writer.add_scalar("Accuracy/train", float((scores.argmax(1) == kinds).float().mean()), writer.step)
    control(other, data.train.batches(32, trial.seed), RMSprop(other.parameters(), lr=1e-3), steps=240)
    worse(loss_of(model, data.held_out), loss_of(other, data.held_out), 3.0)
    does, should = (accuracy(net, data.held_out) for net in (model, other))
    require(does < should - 0.2, f"{does:.3f} is not below {should:.3f}")
    return Truth((), 0, 120)


SCENARIOS = (
    Scenario(
        "hazel-decayed-diabetes-mlp",
        "mlp",
        TUNING,
        decayed,
        ("over_regularised",),
        ("loss_plateau", "underfitting", "vanishing_gradient", "dead_units", "redundant_units", "layer_not_training"),
    ),
    Scenario(
        "hazel-dropped-chars-transformer",
        "transformer",
        TUNING,
        kept,
        ("over_regularised",),
        ("underfitting", "loss_plateau"),
    ),
    Scenario(
        "hazel-penalised-beats-cnn",
        "cnn",
        TUNING,
        penalised,
        ("over_regularised",),
        ("underfitting", "loss_plateau", "vanishing_gradient", "dead_units", "layer_not_training", "redundant_units"),
    ),
)
