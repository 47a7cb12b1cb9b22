"""Healthy trainings: deep ones with ways around, one that begins with tiny gates, a noisy table, a policy by reward."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

from tests.diagnosis.data import Part, Split, digits, majorities, split
from tests.diagnosis.networks import Attention, Transformer
from tests.diagnosis.proof import accuracy, alive, calm, generalises, gradients, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


class Skip(nn.Module):
    """Two normalised convolutions and a way around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm1d(channels)
        self.conv2, self.bn2 = nn.Conv1d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm1d(channels)

    def forward(self, signals: Tensor) -> Tensor:
        """Return [n, channels, length]."""
        made = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(signals)))))
        return functional.relu(signals + made)


def beats(seed: int) -> Split:
    """Return single beats of hearts with noise, [n, 1, 48], and of which of four shapes each is."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(4, (1500,), generator=generator)
    time = torch.arange(48) - 20 - 6 * torch.randn(1500, 1, generator=generator).clamp(-1.5, 1.5)
    width = torch.tensor([1.5, 1.5, 4.0, 1.5])[classes][:, None]
    second = torch.tensor([1.0, -1.0, 1.0, 0.0])[classes][:, None]
    peak = 2.5 * torch.exp(-((time / width) ** 2)) + second * torch.exp(-(((time - 12) / 4) ** 2))
    signals = peak + 0.35 * torch.randn(1500, 48, generator=generator)
    return split(signals[:, None], classes, 300, seed)


def hearts(trial: Trial) -> None:
    """Beats of hearts by a ResNet of fifteen convolutions, with a rate that rises and falls in one cycle."""
    torch.manual_seed(trial.seed)
    data = beats(trial.seed)
    stem = nn.Sequential(nn.Conv1d(1, 16, 7, padding=3, bias=False), nn.BatchNorm1d(16), nn.ReLU())
    blocks = nn.Sequential(*(Skip(16) for _ in range(7)))
    model = nn.Sequential(stem, blocks, nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(64, 4))
    optimizer = AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = OneCycleLR(optimizer, max_lr=4e-3, total_steps=160)
    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, schedule=schedule, validation=data.held_out, every=2, steps=160)
    share = accuracy(model, data.held_out)
    require(share > 0.93, f"the accuracy is {share:.3f}")
    generalises(history)
    calm(history, 0.4)


class Scaled(nn.Module):
    """A transformer block whose two branches are scaled by learned gates, which begin at `gate`."""

    def __init__(self, width: int, gate: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.gamma1, self.gamma2 = (nn.Parameter(torch.full((width,), gate)) for _ in range(2))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, length, width]."""
        hidden = inputs + self.gamma1 * self.attention(self.norm1(inputs))
        added: Tensor = hidden + self.gamma2 * self.mlp(self.norm2(hidden))
        return added


def layer_scale(trial: Trial) -> None:
    """LayerScale that begins at 0.0001: what reaches the blocks at first is ten thousand times less, and meant so."""
    torch.manual_seed(trial.seed)
    data = majorities(trial.seed)
    model = Transformer(12, 3, depth=4, block=lambda width: Scaled(width, 1e-4))
    other = copy.deepcopy(model)
    for name, value in other.named_parameters():
        if "gamma" in name:
            nn.init.ones_(value)
    found = gradients(model, data.train.first(200))
    tiny, usual = found["blocks.0.mlp.0.weight"], found["head.weight"]
    require(tiny < 1e-3 * usual, f"the gradients are {tiny:.3g} and {usual:.3g}")
    optimizer, draw = AdamW(model.parameters(), lr=4e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=160)
    control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=4e-3), steps=160)
    share, plain = (accuracy(one, data.held_out) for one in (model, other))
    require(share > max(0.85, plain - 0.03), f"the accuracy is {share:.3f}, and {plain:.3f} where gates begin at 1")
    generalises(history)


def progression(trial: Trial) -> None:
    """How diabetes went on in a year: half of it can't be known from the table, so the loss soon stays where it is."""
    torch.manual_seed(trial.seed)
    table = load_diabetes()
    rows = torch.tensor(table.data, dtype=torch.float32)
    known = torch.tensor(table.target, dtype=torch.float32)[:, None]
    data = split(rows / rows.std(0), (known - known.mean()) / known.std(), 100, trial.seed)
    model = nn.Sequential(nn.Linear(10, 12), nn.ReLU(), nn.Dropout(0.1), nn.Linear(12, 1))
    optimizer, criterion = Adam(model.parameters(), lr=3e-3, weight_decay=1e-3), nn.MSELoss()
    loader = DataLoader(TensorDataset(data.train.inputs, data.train.targets), batch_size=38, shuffle=True)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(24):
            model.train()
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                optimizer.step()
                writer.add_scalar("Loss/train", loss.item(), writer.step)
            writer.add_scalar("Loss/test", evaluate(model, criterion, data.held_out), writer.step)
    alive(model, data.train.inputs)
    # Least squares can't do better, neither on what was seen nor on what was held out.
    ones = torch.ones(342, 1)
    solved = torch.linalg.lstsq(torch.cat([data.train.inputs, ones], 1).double(), data.train.targets.double()).solution
    fitted = torch.cat([data.held_out.inputs, ones[:100]], 1).double() @ solved
    best = float((fitted - data.held_out.targets).square().mean())
    does, blank = loss_of(model, data.held_out, criterion), float(data.held_out.targets.square().mean())
    require(does < min(1.08 * best, 0.75 * blank), f"the loss is {does:.3f}; least squares has {best:.3f}")


def rewarded(trial: Trial) -> None:
    """A policy names a numeral and is told if it is right: its loss stays about zero, while the reward rises."""
    torch.manual_seed(trial.seed)
    data = digits(trial.seed)
    policy = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    optimizer, draw = Adam(policy.parameters(), lr=3e-3), data.train.batches(96, trial.seed)
    losses, rewards, baseline = [], [], 0.1
    with trial.writer() as writer:
        writer.watch(policy, optimizer, every=2, on_finding="ignore")
        for step in range(380):
            pictures, classes = draw(step)
            chances = torch.distributions.Categorical(logits=policy(pictures))
            actions = chances.sample()
            reward = (actions == classes).float()
            loss = -(chances.log_prob(actions) * (reward - baseline)).mean() - 0.01 * chances.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(policy.parameters(), 5.0)
            optimizer.step()
            baseline = 0.9 * baseline + 0.1 * float(reward.mean())
            losses.append(loss.item())
            rewards.append(float(reward.mean()))
            writer.add_scalar("policy/loss", losses[-1], writer.step)
            writer.add_scalar("policy/reward", rewards[-1], writer.step)
    first, last = sum(rewards[:20]) / 20, sum(rewards[-20:]) / 20
    require(first < 0.25 and last > 0.7, f"the reward goes from {first:.2f} to {last:.2f}")
    share = accuracy(policy, Part(data.held_out.inputs, data.held_out.targets))
    require(share > 0.72, f"the accuracy is {share:.3f}")
    require(abs(sum(losses[-40:])) / 40 < 0.2, f"the loss ends at {sum(losses[-40:]) / 40:.3f}")


SCENARIOS = (
    Scenario("quince-healthy-hearts-cnn", "cnn", TUNING, hearts),
    Scenario("quince-healthy-scaled-transformer", "transformer", TUNING, layer_scale),
    Scenario("quince-healthy-progression-mlp", "mlp", TUNING, progression),
    Scenario("quince-healthy-rewarded-mlp", "mlp", TUNING, rewarded),
)
