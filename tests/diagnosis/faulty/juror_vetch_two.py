"""Losses that become NaN, and clipping that leaves next to nothing of the gradients."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, language
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class Mask(nn.Module):
    """Three convolutions; says for each pixel how likely it belongs to the thing."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())
        self.last = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return probabilities, [n, 1, 16, 16]."""
        chance: Tensor = self.last(self.middle(self.down(pictures))).sigmoid()
        return chance


def discs(seed: int, count: int = 600) -> Part:
    """Return pictures of a bright disc, [n, 1, 16, 16], and where it is."""
    generator = torch.Generator().manual_seed(seed)
    at = torch.arange(16.0)
    x, y = 4 + 8 * torch.rand(2, count, 1, 1, generator=generator)
    radius = 2 + 2.5 * torch.rand(count, 1, 1, generator=generator)
    inside = ((at - x).square() + (at[:, None] - y).square() < radius.square()).float()[:, None]
    return Part(2 * inside - 0.5 + 0.35 * torch.randn(inside.shape, generator=generator), inside)


def by_hand(chance: Tensor, known: Tensor) -> Tensor:
    """Return the binary cross-entropy as a textbook writes it."""
    return -(known * chance.log() + (1 - known) * (1 - chance).log()).mean()


def with_floor(chance: Tensor, known: Tensor) -> Tensor:
    """Return the same of probabilities that are kept off 0 and 1."""
    return by_hand(chance.clamp(1e-6, 1 - 1e-6), known)


def textbook(trial: Trial) -> Truth:
    """Binary cross-entropy by hand, `y * log(p) + (1 - y) * log(1 - p)`: NaN once a sigmoid rounds to 1."""
    torch.manual_seed(trial.seed)
    data, model = discs(trial.seed), Mask()
    other, draw = copy.deepcopy(model), data.batches(16, trial.seed)
    optimizer, losses, ones = Adam(model.parameters(), lr=0.005), [], []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(200):
            pictures, known = draw(step)
            chance = model(pictures)
            loss = by_hand(chance, known)
            writer.observe(outputs=chance, targets=known, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            ones.append(bool((chance == 1).any()))
            writer.add_scalar("train/bce", losses[-1], writer.step)
    better = control(other, data.batches(16, trial.seed), Adam(other.parameters(), lr=0.005), with_floor, steps=200)
    onset = next((step for step, loss in enumerate(losses) if not math.isfinite(loss)), -1)
    require(onset > 0 and ones[onset], f"it is not the logarithm of 0 in step {onset}")
    require(not any(math.isfinite(loss) for loss in losses[onset:]), "the loss is finite again")
    require(better < 0.1, f"the loss with a floor is {better:.3g}")
    return Truth((), onset, onset + 2)


def places(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return how far a robot is from a goal on a grid, [n, 2], and which of four moves bring it closer, [n, 4]."""
    way = torch.randint(-4, 5, (count, 2), generator=generator)
    way[(way == 0).all(1)] = 1
    return way / 4.0, torch.stack([way[:, 0] > 0, way[:, 0] < 0, way[:, 1] > 0, way[:, 1] < 0], 1).float()


def all_won(trial: Trial) -> Truth:
    """Policy gradient with `(r - r.mean()) / r.std()`: once all moves of a batch are rewarded, that is 0 / 0."""
    torch.manual_seed(trial.seed)
    policy = mlp((2, 32, 32, 4), nn.Tanh)
    other = copy.deepcopy(policy)
    optimizer, generator = Adam(policy.parameters(), lr=0.003), torch.Generator().manual_seed(trial.seed)
    rewards, losses = [], []
    with trial.writer() as writer:
        writer.watch(policy, optimizer, every=1, on_finding="ignore")
        for _ in range(260):
            seen, good = places(24, generator)
            chances = Categorical(logits=policy(seen), validate_args=False)
            moves = chances.probs.nan_to_num(0.25).multinomial(1)[:, 0]
            reward = good.gather(1, moves[:, None])[:, 0]
            loss = -(chances.log_prob(moves) * (reward - reward.mean()) / reward.std()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rewards.append(float(reward.mean()))
            losses.append(loss.item())
            writer.add_scalar("policy/loss", losses[-1], writer.step)
            writer.add_scalar("policy/reward", rewards[-1], writer.step)
    optimizer, could = Adam(other.parameters(), lr=0.003), []
    for _ in range(260):
        seen, good = places(24, generator)
        chances = Categorical(logits=other(seen))
        moves = chances.sample()
        reward = good.gather(1, moves[:, None])[:, 0]
        optimizer.zero_grad()
        (-(chances.log_prob(moves) * (reward - reward.mean()) / (reward.std() + 1e-6)).mean()).backward()
        optimizer.step()
        could.append(float(reward.mean()))
    onset = next((step for step, loss in enumerate(losses) if not math.isfinite(loss)), -1)
    require(onset > 0 and rewards[onset] == 1, f"it is not that all is won in step {onset}")
    require(onset < 220, f"all is won in step {onset} only")
    require(sum(rewards[-40:]) < sum(could[-40:]) - 8, "a floor doesn't help")
    return Truth((), onset, onset + 2)


def tightly(trial: Trial) -> Truth:
    """A language model with `clip_grad_norm_(parameters, 0.01)` before plain SGD; gradients are twenty times that."""
    torch.manual_seed(trial.seed)
    data, criterion = language(trial.seed, length=12), nn.CrossEntropyLoss()
    model = Characters()
    other, draw = copy.deepcopy(model), data.train.batches(32, trial.seed)
    optimizer, norms, losses = SGD(model.parameters(), lr=1.0), [], []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            tokens, following = draw(step)
            model.zero_grad()
            loss = criterion(model(tokens), following)
            loss.backward()
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 0.01)))
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
            writer.add_scalar("Perplexity", math.exp(losses[-1]), writer.step)
    better = control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=1.0), steps=200)
    found = sum(losses[-20:]) / 20
    require(min(norms) > 0.05, f"a norm is {min(norms):.3g} before it is clipped")
    require(found > better + 0.3, f"the loss is {found:.3g}, and {better:.3g} where nothing is clipped")
    return Truth()


class Characters(nn.Module):
    """Embeds characters, reads them by an LSTM, and scores the next at every place."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Embedding(20, 16), nn.LSTM(16, 32, batch_first=True)
        self.decoder = nn.Linear(32, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 20, length]."""
        scores: Tensor = self.decoder(self.lstm(self.embed(tokens))[0])
        return scores.transpose(1, 2)


class Roads(nn.Module):
    """Two rounds of messages along roads, after which each junction tells its next speed."""

    def __init__(self, roads: Tensor) -> None:
        super().__init__()
        self.register_buffer("roads", roads, persistent=False)
        self.own1, self.near1 = nn.Linear(6, 24), nn.Linear(6, 24, bias=False)
        self.own2, self.near2 = nn.Linear(24, 24), nn.Linear(24, 24, bias=False)
        self.head = nn.Linear(24, 1)

    def forward(self, speeds: Tensor) -> Tensor:
        """Return [n, junctions] of [n, junctions, 6]."""
        hidden = torch.relu(self.own1(speeds) + self.roads @ self.near1(speeds))
        hidden = torch.relu(self.own2(hidden) + self.roads @ self.near2(hidden))
        told: Tensor = self.head(hidden)[..., 0]
        return told


def traffic(seed: int, junctions: int = 25, hours: int = 900) -> tuple[Tensor, Part, Part]:
    """Return roads between junctions, and windows of six hours of speeds with the hour after, to learn and held out."""
    generator = torch.Generator().manual_seed(seed)
    roads = (torch.rand(junctions, junctions, generator=generator) < 0.12).float().fill_diagonal_(0)
    roads = roads / roads.sum(1, keepdim=True).clamp_min(1)
    before, speed, series = torch.zeros(junctions), torch.ones(junctions), []
    for _ in range(hours):
        pressed = 1.2 * speed + 0.8 * roads @ speed - 1.2 * before
        before, speed = speed, torch.tanh(pressed) + 0.2 * torch.randn(junctions, generator=generator)
        series.append(speed)
    every = torch.stack(series, 1)
    every = (every - every.mean()) / every.std()
    windows = every.unfold(1, 7, 1).transpose(0, 1)
    learned, held_out = windows[:700], windows[700:]
    return roads, Part(learned[..., :6], learned[..., 6]), Part(held_out[..., :6], held_out[..., 6])


def by_value(trial: Trial) -> Truth:
    """`clip_grad_value_(parameters, 1e-4)`: it cuts next to all numbers of each gradient to that, at every step."""
    torch.manual_seed(trial.seed)
    roads, data, held_out = traffic(trial.seed)
    model, criterion = Roads(roads), nn.MSELoss()
    other, shares = copy.deepcopy(model), []

    def clip(_step: int) -> None:
        every = torch.cat([value.grad.flatten() for value in model.parameters() if value.grad is not None])
        shares.append(float((every[every != 0].abs() > 1e-4).double().mean()))
        nn.utils.clip_grad_value_(model.parameters(), 1e-4)

    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    draw = data.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=held_out, backward=clip, steps=240)
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    better = control(other, data.batches(32, trial.seed), optimizer, criterion)
    require(min(shares) > 0.75, f"only {min(shares):.2f} of a gradient are cut")
    require(history.end > 1.5 * better, f"the loss is {history.end:.3g}, and {better:.3g} where nothing is clipped")
    return Truth()


SCENARIOS = (
    Scenario("vetch-textbook-cnn", "cnn", TUNING, textbook, ("nonfinite",), ("saturation", "exploding_gradient")),
    Scenario("vetch-won-policy", "mlp", TUNING, all_won, ("nonfinite",)),
    Scenario(
        "vetch-tight-lstm",
        "rnn",
        TUNING,
        tightly,
        ("clip_saturated",),
        ("lr_too_low", "loss_plateau", "underfitting"),
    ),
    Scenario(
        "vetch-values-gnn",
        "gnn",
        TUNING,
        by_value,
        ("clip_saturated",),
        ("lr_too_low", "loss_plateau", "underfitting", "layer_not_training"),
    ),
)
