"""Healthy trainings: wines, discs, friends of friends, a policy, gates at zero, a frozen eye, a forecast."""

from __future__ import annotations

import math

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.networks import Attention, GraphConvolution, Residual, mlp
from tests.diagnosis.proof import accuracy, calm, generalises, gradients, moved, require, snapshot, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


def wines(trial: Trial) -> None:
    """Three kinds of wine by a DataLoader that shuffles, features standardised, a little dropout and weight decay."""
    torch.manual_seed(trial.seed)
    table = load_wine()
    rows = torch.tensor((table.data - table.data.mean(0)) / table.data.std(0), dtype=torch.float32)
    data = split(rows, torch.tensor(table.target), 45, trial.seed)
    model, criterion = mlp((13, 24, 24, 3), dropout=0.1), nn.CrossEntropyLoss()
    optimizer = SGD(model.parameters(), lr=0.015, momentum=0.9, weight_decay=3e-3)
    loader = DataLoader(TensorDataset(data.train.inputs, data.train.targets), batch_size=16, shuffle=True)
    history = History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(14):
            model.train()
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                optimizer.step()
                history.train.append(loss.item())
                writer.add_scalar("train/loss", loss.item(), writer.step)
            history.validation[writer.step] = evaluate(model, criterion, data.held_out)
            writer.add_scalar("val/loss", history.validation[writer.step], writer.step)
            writer.add_scalar("val/accuracy", accuracy(model, data.held_out), epoch)
    sound(model, data.held_out, 0.9, history)


class Outline(nn.Module):
    """A small U: down by a step, up again, and joined with what was there before."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU())
        self.down = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU())
        self.up = nn.ConvTranspose2d(24, 12, 2, stride=2)
        self.join = nn.Sequential(nn.Conv2d(24, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU())
        self.out = nn.Conv2d(12, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores, as large as the pictures."""
        fine = self.enter(pictures)
        scores: Tensor = self.out(self.join(torch.cat([fine, self.up(self.down(fine))], 1)))
        return scores


def discs(seed: int, count: int = 700) -> tuple[Tensor, Tensor]:
    """Return noisy pictures with a disc and a stripe, [n, 1, 16, 16], and which pixels are the disc's."""
    generator = torch.Generator().manual_seed(seed)
    across, along = torch.arange(16.0)[:, None], torch.arange(16.0)
    place = 4 + 8 * torch.rand(count, 2, 1, 1, generator=generator)
    radius = 2 + 2 * torch.rand(count, 1, 1, generator=generator)
    disc = ((across - place[:, 0]) ** 2 + (along - place[:, 1]) ** 2 < radius**2).float()
    stripe = (across - torch.randint(16, (count, 1, 1), generator=generator)).abs() < 1
    seen = torch.maximum(disc, stripe.float().expand_as(disc)) + 0.4 * torch.randn(disc.shape, generator=generator)
    return (seen[:, None] - 0.25) / 0.6, disc[:, None]


def overlap(scores: Tensor, disc: Tensor) -> Tensor:
    """Return the cross-entropy of pixels and what is lacking in their overlap (Dice)."""
    shares = scores.sigmoid()
    dice = (2 * (shares * disc).sum((1, 2, 3)) + 1) / ((shares + disc).sum((1, 2, 3)) + 1)
    return functional.binary_cross_entropy_with_logits(scores, disc) + 1 - dice.mean()


def segmented(trial: Trial) -> None:
    """A small U-Net that marks discs in noisy pictures, by cross-entropy and Dice, with AdamW and a cosine."""
    torch.manual_seed(trial.seed)
    data, model = split(*discs(trial.seed), 150, trial.seed), Outline()
    optimizer = AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
    schedule, draw = CosineAnnealingLR(optimizer, 150), data.train.batches(16, trial.seed)
    history = fit(
        trial, model, draw, optimizer, overlap, schedule=schedule, validation=data.held_out, steps=150, every=3
    )
    with torch.no_grad():
        marked = model.eval()(data.held_out.inputs) > 0
    truth = data.held_out.targets > 0
    shared = float((marked & truth).sum() / (marked | truth).sum())
    require(shared > 0.75, f"intersection over union is {shared:.3f}")
    calm(history)
    generalises(history)


class Friends(nn.Module):
    """Embeds the people of a graph, and scores pairs of them by the product of their vectors."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.conv1, self.conv2 = GraphConvolution(edges, 16, 32), GraphConvolution(edges, 32, 16)
        self.drop, self.bias = nn.Dropout(0.1), nn.Parameter(torch.zeros(1))

    def forward(self, nodes: Tensor, pairs: Tensor) -> Tensor:
        """Return scores [n] of pairs [n, 2]."""
        vectors = self.conv2(self.drop(functional.elu(self.conv1(nodes))))
        scores: Tensor = (vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(1) + self.bias
        return scores


def friends(trial: Trial) -> None:
    """Who knows whom: a third of the edges is kept from the graph, and pairs that aren't joined are drawn anew."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    group = torch.arange(160) % 4
    features = 0.8 * torch.randn(4, 16, generator=generator)[group] + torch.randn(160, 16, generator=generator)
    chance = torch.where(group[:, None] == group, 0.3, 0.01)
    known = (torch.rand(160, 160, generator=generator) < chance).triu(1)
    pairs = known.nonzero()[torch.randperm(int(known.sum()), generator=generator)]
    hidden, shown = pairs[: len(pairs) // 3], pairs[len(pairs) // 3 :]
    edges = torch.eye(160)
    edges[shown[:, 0], shown[:, 1]] = edges[shown[:, 1], shown[:, 0]] = 1
    roots = edges.sum(1).rsqrt()
    strangers = (~known).triu(1).nonzero()
    strangers = strangers[torch.randperm(len(strangers), generator=generator)]
    model, criterion = Friends(roots[:, None] * edges * roots), nn.BCEWithLogitsLoss()
    optimizer, half = RMSprop(model.parameters(), lr=2e-3), len(hidden)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _step in range(200):
            drawn = torch.randint(half, len(strangers), (256,), generator=generator)
            joined = shown[torch.randint(len(shown), (256,), generator=generator)]
            scores = model(features, torch.cat([joined, strangers[drawn]]))
            loss = criterion(scores, torch.cat([torch.ones(256), torch.zeros(256)]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss", loss.item(), writer.step)
    model.eval()
    with torch.no_grad():
        yes, no = model(features, hidden), model(features, strangers[:half])
    ranked = float((yes[:, None] > no).float().mean())
    require(ranked > 0.8, f"AUC of what was kept back is {ranked:.3f}")
    calm(History(losses, {}))


class Chooser(nn.Module):
    """Chooses one of five offers, and says how much it expects."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh())
        self.policy, self.value = nn.Linear(48, 5), nn.Linear(48, 1)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores [n, 5] and expectations [n]."""
        hidden = self.body(seen)
        return self.policy(hidden), self.value(hidden)[:, 0]


def offers(trial: Trial) -> None:
    """A policy gradient: its loss goes up and down and tells little, while what it earns grows."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    taste = torch.randn(10, 5, generator=generator) / math.sqrt(10)
    model = Chooser()
    optimizer, earned = Adam(model.parameters(), lr=3e-3), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _step in range(300):
            seen = torch.randn(96, 10, generator=generator)
            scores, expected = model(seen)
            choice = Categorical(logits=scores)
            action = choice.sample()
            reward = (seen @ taste).gather(1, action[:, None])[:, 0] + 0.5 * torch.randn(96, generator=generator)
            better = reward - expected.detach()
            chosen = -(choice.log_prob(action) * better).mean()
            loss = chosen + 0.5 * (reward - expected).square().mean() - 0.01 * choice.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            earned.append(float(reward.mean()))
            writer.add_scalar("losses/policy", float(chosen.detach()), writer.step)
            writer.add_scalar("losses/total", float(loss.detach()), writer.step)
            writer.add_scalar("charts/reward", earned[-1], writer.step)
    seen = torch.randn(2000, 10, generator=generator)
    worth = seen @ taste
    with torch.no_grad():
        found = float(worth.gather(1, model(seen)[0].argmax(1, keepdim=True)).mean())
    best = float(worth.max(1).values.mean())
    require(found > 0.85 * best, f"it earns {found:.3f}, and could earn {best:.3f}")
    require(sum(earned[-30:]) > sum(earned[:30]) + 10, "it earns no more than in the beginning")


class Gated(nn.Module):
    """Blocks over tokens that all begin with a gate of zero, as in ReZero."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(10, 32), nn.Embedding(12, 32)
        self.blocks = nn.ModuleList()
        for _block in range(3):
            feed = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
            self.blocks += [Residual(Attention(32, 4), 0.0), Residual(feed, 0.0)]
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores of each place [n, 10, length]."""
        hidden = self.embed(tokens) + self.place(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            hidden = block(hidden)
        scores: Tensor = self.head(self.norm(hidden)).transpose(1, 2)
        return scores


def gates(trial: Trial) -> None:
    """Turns sequences round by blocks whose gates begin at zero, so that no weight within has a gradient at first."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    tokens = torch.randint(10, (2400, 12), generator=generator)
    data, model = split(tokens, tokens.flip(1), 400, trial.seed), Gated()
    before, draw = snapshot(model), data.train.batches(48, trial.seed)
    inner = max(size for name, size in gradients(model, data.held_out).items() if ".body." in name)
    require(inner == 0, f"a weight behind a gate has a gradient of {inner:.3g}")
    optimizer = Adam(model.parameters(), lr=4e-3)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, steps=240, every=2)
    share = accuracy(model, data.held_out)
    require(share > 0.95, f"{share:.3f} of the places are right, and one in ten by chance")
    still = [name for name, change in moved(before, model).items() if change < 1e-3]
    require(not still, f"{still} did not move")
    generalises(history)


def frozen_eye(trial: Trial) -> None:
    """Convolutions learned on digits below five and then frozen, on purpose; a new head learns the other five."""
    torch.manual_seed(trial.seed)
    data = digits(trial.seed, flat=False)
    low = data.train.targets < 5
    first = Part(data.train.inputs[low], data.train.targets[low])
    then, held_out = (
        Part(one.inputs[one.targets > 4], one.targets[one.targets > 4] - 5) for one in (data.train, data.held_out)
    )
    eye = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(16, 24, 3, padding=1), nn.LeakyReLU(), nn.AvgPool2d(2)
    )
    earlier = nn.Sequential(eye, nn.Flatten(), nn.Linear(384, 5))
    control(earlier, first.batches(64, trial.seed), Adam(earlier.parameters(), lr=2e-3), steps=80)
    for value in eye.parameters():
        value.requires_grad = False
    model = nn.Sequential(eye, nn.Flatten(), nn.LayerNorm(384), nn.Linear(384, 5))
    before = snapshot(eye)
    optimizer = AdamW((value for value in model.parameters() if value.requires_grad), lr=2e-3)
    history = fit(trial, model, then.batches(32, trial.seed), optimizer, validation=held_out, steps=160, every=None)
    require(max(moved(before, eye).values()) == 0, "the eye moved")
    sound(model, held_out, 0.93, history)


class Forecast(nn.Module):
    """A GRU that says what comes next and how sure it is."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.mean, self.spread = nn.GRU(2, 24, batch_first=True), nn.Linear(24, 1), nn.Linear(24, 1)

    def forward(self, past: Tensor) -> Tensor:
        """Return means and logarithms of variances, [n, 2]."""
        hidden = self.gru(past)[0][:, -1]
        return torch.cat([self.mean(hidden), self.spread(hidden).clamp(-6, 4)], 1)


def surprise(told: Tensor, known: Tensor) -> Tensor:
    """Return how unlikely what is known is under a normal distribution; below zero where that is narrow."""
    mean, spread = told[:, 0], told[:, 1]
    return 0.5 * (spread + (known - mean).square() / spread.exp()).mean()


def unsure(trial: Trial) -> None:
    """Means and spreads of a series that is quiet half of the time: the loss goes below zero, with high points."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    loud = (torch.rand(3000, 1, generator=generator) < 0.5).float().expand(-1, 16)
    phase, pace = (torch.rand(3000, 1, generator=generator) for _ in range(2))
    clean = (6.2832 * phase + (0.3 + 0.4 * pace) * torch.arange(16)).sin()
    deviation = 0.2 + 0.5 * loud
    series = clean + deviation * torch.randn(3000, 16, generator=generator)
    targets = torch.stack([series[:, -1], clean[:, -1], deviation[:, -1]], 1)
    data = split(torch.stack([series, loud - 0.5], 2)[:, :15], targets, 400, trial.seed)
    model = Forecast()
    optimizer = Adam(model.parameters(), lr=8e-3)

    def criterion(told: Tensor, known: Tensor) -> Tensor:
        return surprise(told, known[:, 0])

    draw = data.train.batches(64, trial.seed)
    schedule, held_out = CosineAnnealingLR(optimizer, 240), data.held_out
    history = fit(trial, model, draw, optimizer, criterion, schedule=schedule, validation=held_out, clip=2.0, every=2)
    held = data.held_out.targets
    best = float(surprise(torch.stack([held[:, 1], 2 * held[:, 2].log()], 1), held[:, 0]))
    flat = float(surprise(torch.stack([held[:, 0].mean(), held[:, 0].var().log()]).expand(400, 2), held[:, 0]))
    found = evaluate(model, criterion, data.held_out)
    require((flat - found) / (flat - best) > 0.6, f"the loss is {found:.3f}, from {flat:.3f}, and could be {best:.3f}")
    generalises(history)


SCENARIOS = (
    Scenario("dune-healthy-wines-mlp", "mlp", TUNING, wines),
    Scenario("dune-healthy-discs-cnn", "cnn", TUNING, segmented),
    Scenario("dune-healthy-friends-gnn", "gnn", TUNING, friends),
    Scenario("dune-healthy-offers-mlp", "mlp", TUNING, offers),
    Scenario("dune-healthy-gates-transformer", "transformer", TUNING, gates),
    Scenario("dune-healthy-eye-cnn", "cnn", TUNING, frozen_eye),
    Scenario("dune-healthy-unsure-gru", "rnn", TUNING, unsure),
)
