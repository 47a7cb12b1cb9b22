"""Pulses, wines, rivers, digits and rings: a bad batch, a softmax too many, shapes, and gradients that add up."""

from __future__ import annotations

import copy
import warnings

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import Split, digits, split
from tests.diagnosis.faulty.walker_grove import Reader, harmed
from tests.diagnosis.proof import accuracy, finite, loss_of, require, silent
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def pulses(seed: int, count: int = 1200) -> Split:
    """Return signals of a pulse, [n, 1, 64], and how fast it is, standardised, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    rate = torch.rand(count, 1, generator=generator)
    phase = 6.3 * torch.rand(count, 1, generator=generator)
    beats = torch.sin(phase + (0.15 + 0.6 * rate) * torch.arange(64))
    signals = beats + 0.3 * torch.randn(count, 64, generator=generator)
    return split(signals[:, None], (rate - 0.5) * 12**0.5, 200, seed)


def sentinel(trial: Trial) -> Truth:
    """At step 120 one batch holds the 9999 that a watch writes for "no contact": its gradients kill a layer."""
    torch.manual_seed(trial.seed)
    data, criterion, held = pulses(trial.seed), nn.SmoothL1Loss(), {}
    conv1, conv2 = nn.Conv1d(1, 16, 7, stride=2), nn.Conv1d(16, 32, 5, stride=2)
    pool = (nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 1))
    model = nn.Sequential(conv1, nn.ReLU(), conv2, nn.ReLU(), *pool)
    other, clean = copy.deepcopy(model), data.train.batches(32, trial.seed)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        signals, rates = clean(step)
        if step == 120:
            signals = signals.clone()
            signals[:4, :, 40:] = 9999.0
        return signals, rates

    def look(step: int) -> None:
        if step >= 115:
            held[step] = float(silent(model, "3", data.train.inputs).double().mean())

    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, after=look, steps=240)
    finite(model)
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    control(other, data.train.batches(32, trial.seed), optimizer, criterion)
    harmed(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 3)
    require(held[119] < 0.3, f"{held[119]:.2f} of the units were dead before")
    require(min(share for step, share in held.items() if step > 130) > 0.6, "the units live")
    return Truth(("0", "1", "2", "3"), 120, 125)


def wine(seed: int) -> Split:
    """Return what wines hold, standardised, [n, 13], and whence they are."""
    rows, makers = load_wine(return_X_y=True)
    inputs = torch.tensor((rows - rows.mean(0)) / rows.std(0), dtype=torch.float32)
    return split(inputs, torch.tensor(makers), 40, seed)


class Cellar(nn.Module):
    """Two linear layers over wines; answers by chances, or by scores."""

    def __init__(self, *, chances: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.chances = nn.Linear(13, 32), nn.Linear(32, 3), chances

    def forward(self, wines: Tensor) -> Tensor:
        """Return [n, 3]."""
        scores: Tensor = self.fc2(functional.relu(self.fc1(wines)))
        return functional.softmax(scores, dim=1) if self.chances else scores


def chances(trial: Trial) -> Truth:
    """`F.softmax` at the end of `forward`, and `nn.CrossEntropyLoss`: the loss can't fall below 0.55."""
    torch.manual_seed(trial.seed)
    data, criterion, model, other = wine(trial.seed), nn.CrossEntropyLoss(), Cellar(chances=True), Cellar(chances=False)
    other.load_state_dict(model.state_dict())
    optimizer, draw = SGD(model.parameters(), lr=0.03), data.train.batches(16, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            wines, makers = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(wines), makers)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("val_loss", evaluate(model, criterion, data.held_out), writer.step)
                writer.add_scalar("val_accuracy", accuracy(model, data.held_out), writer.step)
    better = control(other, data.train.batches(16, trial.seed), SGD(other.parameters(), lr=0.03), steps=200)
    model.chances = False
    harmed(loss_of(model, data.train), better, 1.5)
    return Truth(("fc2",))


def river(seed: int, count: int = 1000) -> Split:
    """Return rain and level of thirty days, [n, 30, 2], and the level of the next day, [n]."""
    generator = torch.Generator().manual_seed(seed)
    rain = torch.randn(count, 30, generator=generator).clamp_min(0)
    level = torch.randn(count, generator=generator)
    days = []
    for day in range(30):
        days.append(torch.stack([rain[:, day], level], 1))
        level = 0.85 * level + 0.7 * rain[:, day] - 0.3 + 0.1 * torch.randn(count, generator=generator)
    return split(torch.stack(days, 1), level, 200, seed)


class River(nn.Module):
    """A GRU and a head of one unit, whose axis is kept or not."""

    def __init__(self, *, squeezed: bool) -> None:
        super().__init__()
        self.gru, self.head, self.squeezed = nn.GRU(2, 24, batch_first=True), nn.Linear(24, 1), squeezed

    def forward(self, days: Tensor) -> Tensor:
        """Return levels [n, 1], or [n]."""
        levels: Tensor = self.head(self.gru(days)[0][:, -1])
        return levels.squeeze(1) if self.squeezed else levels


def against_all(trial: Trial) -> Truth:
    """Outputs [n, 1], targets [n], and the warning switched off: each river is compared with all of the batch."""
    torch.manual_seed(trial.seed)
    data, criterion, model, other = river(trial.seed), nn.MSELoss(), River(squeezed=False), River(squeezed=True)
    other.load_state_dict(model.state_dict())
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(32, trial.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=200)
    faster = Adam(other.parameters(), lr=5e-3)
    control(other, data.train.batches(32, trial.seed), faster, criterion, steps=200)
    model.squeezed = True
    harmed(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 4)
    return Truth(("head",))


def norm(gradients: list[Tensor]) -> float:
    """Return the norm of all gradients together."""
    return float(torch.stack([gradient.double().square().sum() for gradient in gradients]).sum().sqrt())


def forgotten(trial: Trial) -> Truth:
    """A loop of forward, `backward` and `step`, in which `zero_grad` was forgotten."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed, flat=False), Reader(), nn.CrossEntropyLoss()
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.1)
    draw, shares = data.train.batches(32, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            pictures, classes = draw(step)
            loss = criterion(model(pictures), classes)
            old = [value.grad.clone() for value in model.parameters() if value.grad is not None]
            loss.backward()
            if old:
                new = [value.grad - was for value, was in zip(model.parameters(), old, strict=True)]
                shares.append(norm(new) / norm(old))
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if step % 24 == 23:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    finite(model)
    require(sorted(shares)[len(shares) // 2] < 0.5, "what is new is most of the gradient")
    control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.1))
    harmed(loss_of(model, data.train), loss_of(other, data.train))
    return Truth((), 0, 5)


def rings(seed: int, count: int = 800) -> Split:
    """Return graphs of ten nodes, their features beside their edges, [n, 10, 3 + 10], and whether they hold a ring."""
    generator = torch.Generator().manual_seed(seed)
    ringed = torch.rand(count, generator=generator) < 0.5
    edges = (torch.rand(count, 10, 10, generator=generator) < 0.12).float().triu(1)
    ring = torch.diag(torch.ones(9), 1)
    ring[0, 9] = 1
    edges = torch.where(ringed[:, None, None], (edges + ring).clamp_max(1), edges)
    edges = edges + edges.mT
    features = 0.5 * torch.randn(count, 10, 3, generator=generator)
    features[..., 0] = edges.sum(2) / 3
    return split(torch.cat([features, edges], 2), ringed.long(), 150, seed)


class Rings(nn.Module):
    """Passes messages twice and answers for the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.head = nn.Linear(6, 32), nn.Linear(64, 32), nn.Linear(32, 2)

    def forward(self, told: Tensor) -> Tensor:
        """Return scores [n, 2]."""
        nodes, edges = told[..., :3], told[..., 3:]
        for conv in (self.conv1, self.conv2):
            nodes = torch.tanh(conv(torch.cat([nodes, edges @ nodes], 2)))
        scores: Tensor = self.head(nodes.amax(1))
        return scores


def once_an_epoch(trial: Trial) -> Truth:
    """`optimizer.zero_grad()` stands before the inner loop: gradients of up to forty batches add up."""
    torch.manual_seed(trial.seed)
    data, model, criterion = rings(trial.seed), Rings(), nn.CrossEntropyLoss()
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.03, momentum=0.9)
    draw, losses = data.train.batches(16, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(6):
            optimizer.zero_grad()
            for step in range(40):
                graphs, known = draw(step)
                loss = criterion(model(graphs), known)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                writer.add_scalar("train_loss", losses[-1], writer.step)
            writer.add_scalar("val_loss", evaluate(model, criterion, data.held_out), epoch)
    finite(model)
    better = control(other, data.train.batches(16, trial.seed), SGD(other.parameters(), lr=0.03, momentum=0.9))
    harmed(sum(losses[-80:]) / 80, better, 2)
    return Truth((), 0, 10)


SCENARIOS = (
    Scenario(
        "grove-sentinel-cnn",
        "cnn",
        TUNING,
        sentinel,
        ("dead_units",),
        (
            "loss_spike",
            "exploding_gradient",
            "loss_plateau",
            "input_unnormalised",
            "vanishing_gradient",
            "layer_not_training",
            "representation_collapse",
            "underfitting",
        ),
    ),
    Scenario(
        "grove-chances-mlp",
        "mlp",
        TUNING,
        chances,
        ("wrong_output_or_loss",),
        ("loss_plateau", "underfitting", "lr_too_low"),
    ),
    Scenario(
        "grove-against-all-gru",
        "rnn",
        TUNING,
        against_all,
        ("wrong_output_or_loss",),
        ("loss_plateau", "underfitting", "representation_collapse"),
    ),
    Scenario(
        "grove-forgotten-cnn",
        "cnn",
        TUNING,
        forgotten,
        ("missing_zero_grad",),
        ("loss_oscillation", "lr_too_high", "exploding_gradient", "loss_spike", "dead_units", "loss_plateau"),
    ),
    Scenario(
        "grove-once-an-epoch-gnn",
        "gnn",
        TUNING,
        once_an_epoch,
        ("missing_zero_grad",),
        ("loss_oscillation", "lr_too_high", "exploding_gradient", "loss_spike", "dead_units", "loss_plateau"),
    ),
)
