"""Embeddings that become alike: triplets mined hard, a prior that weighs too much, edges with no others beside."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW, RMSprop

from tests.diagnosis.data import communities, digits
from tests.diagnosis.proof import require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth


class Embedder(nn.Module):
    """Convolutions over a digit, and a point in a space of sixteen."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.fc, self.embed = nn.Linear(32 * 4, 64), nn.Linear(64, 16)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 16]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2).flatten(1)
        point: Tensor = self.embed(functional.relu(self.fc(hidden)))
        return point


def triplets(points: Tensor, classes: Tensor, margin: float, *, hardest: bool) -> Tensor:
    """Return the triplet loss over the hardest pairs of each, or the mean over all triplets."""
    away = (points[:, None] - points).square().sum(2)
    same = classes[:, None] == classes
    if hardest:
        far = away.masked_fill(~same, -1.0).max(1).values
        near = away.masked_fill(same, torch.inf).min(1).values
        return (far - near + margin).relu().mean()
    triple = (away[:, :, None] - away[:, None] + margin).relu()
    return triple[(same[:, :, None] & ~same[:, None])].mean()


def neighbour(model: nn.Module, known: tuple[Tensor, Tensor], asked: tuple[Tensor, Tensor]) -> float:
    """Return how often the nearest known point is of the same class."""
    precise = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        nearest = torch.cdist(precise(asked[0].double()), precise(known[0].double())).argmin(1)
    return float((known[1][nearest] == asked[1]).double().mean())


def hard_triplets(trial: Trial) -> Truth:
    """Triplets of digits, always the hardest of a batch from the first step on: all points fall into one."""
    data, margin, losses, spreads = digits(trial.seed, flat=False), 1.0, [], []
    torch.manual_seed(trial.seed)
    model = Embedder()
    other, draw = copy.deepcopy(model), data.train.batches(64, trial.seed)
    optimizer = Adam(model.parameters(), lr=5e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(240):
            pictures, classes = draw(step)
            optimizer.zero_grad()
            points = model(pictures)
            loss = triplets(points, classes, margin, hardest=True)
            writer.observe(outputs=points, loss=loss)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            spreads.append(float(points.detach().var(0).sum()))
            writer.add_scalar("triplet_loss", losses[-1], writer.step)
    draw, optimizer = data.train.batches(64, trial.seed), Adam(other.parameters(), lr=5e-3)
    for step in range(240):
        pictures, classes = draw(step)
        optimizer.zero_grad()
        triplets(other(pictures), classes, margin, hardest=False).backward()
        optimizer.step()
    precise = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        points = precise(data.held_out.inputs.double())
    spread = float(points.var(0).sum())
    require(spread < 0.01 * margin, f"the points spread by {spread:.3g}")
    end = sum(losses[-20:]) / 20
    require(0.97 < end / margin < 1.1, f"the loss ends at {end:.3g}")
    sides = [(part.inputs, part.targets) for part in (data.train, data.held_out)]
    found, could = neighbour(model, sides[0], sides[1]), neighbour(other, sides[0], sides[1])
    require(found < could - 0.1, f"{found:.3g} of the neighbours are right, and could be {could:.3g}")
    fallen = next(at for at, wide in enumerate(spreads) if wide < 0.01 * spreads[0])
    return Truth(("embed", "fc", "conv2", "conv1"), 0, fallen + 20)


class Vae(nn.Module):
    """Says of a digit how the eight hidden numbers of it are spread, and paints it again from a draw of them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 48), nn.ReLU())
        self.mu, self.logvar = nn.Linear(48, 8), nn.Linear(48, 8)
        self.decoder = nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 96), nn.ReLU(), nn.Linear(96, 64))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is painted, means and logarithms of variances."""
        hidden = self.encoder(pixels)
        mu, logvar = self.mu(hidden), self.logvar(hidden)
        drawn = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return self.decoder(drawn), mu, logvar


def parts(made: tuple[Tensor, Tensor, Tensor], pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared error of a pixel, and the divergence of a picture."""
    painted, mu, logvar = made
    divergence = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()
    return functional.mse_loss(painted, pixels), divergence


def heavy_prior(trial: Trial) -> Truth:
    """A VAE whose error is the mean over the pixels and whose divergence is the sum: the code says nothing."""
    data = digits(trial.seed)
    pixels, unseen = data.train.inputs, data.held_out.inputs
    torch.manual_seed(trial.seed)
    model = Vae()
    other, draw, held = copy.deepcopy(model), data.train.batches(64, trial.seed), {}
    optimizer = AdamW(model.parameters(), lr=2e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(280):
            batch, _ = draw(step)
            error, divergence = parts(model(batch), batch)
            loss = error + divergence
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            writer.add_scalar("loss/recon", error.item(), writer.step)
            writer.add_scalar("loss/kl", divergence.item(), writer.step)
            if step % 5 == 4:
                with torch.no_grad():
                    held[step] = float(model(pixels)[1].var(0).mean())
    draw, optimizer = data.train.batches(64, trial.seed), AdamW(other.parameters(), lr=2e-3)
    for step in range(280):
        batch, _ = draw(step)
        error, divergence = parts(other(batch), batch)
        optimizer.zero_grad()
        (64 * error + divergence).backward()
        optimizer.step()
    precise, right = (copy.deepcopy(one).double().eval() for one in (model, other))
    with torch.no_grad():
        made, better = precise(unseen.double()), right(unseen.double())
    told = float(made[1].var(0).max())
    require(told < 0.02, f"a mean of the code varies by {told:.3g}")
    mean = float(unseen.var(0).mean())
    found, could = (float(parts(one, unseen.double())[0]) for one in (made, better))
    require(found > 0.9 * mean and could < 0.75 * mean, f"errors {found:.3g}, {could:.3g}; of the mean {mean:.3g}")
    until = next(at for at in held if all(value < 0.02 for step, value in held.items() if step >= at))
    return Truth(("mu", "logvar", "encoder.2", "encoder.0", "encoder.1", "encoder.3"), 0, until + 20)


class Friends(nn.Module):
    """Two graph convolutions that give every person a place among eight numbers."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("edges", edges, persistent=False)
        self.conv1, self.conv2 = nn.Linear(16, 32), nn.Linear(32, 8)

    def forward(self, people: Tensor) -> Tensor:
        """Return [n, 8]."""
        places: Tensor = self.edges @ self.conv2(functional.relu(self.edges @ self.conv1(people)))
        return places


def ranked(score: Tensor, positive: Tensor) -> float:
    """Return the chance that a pair that is one scores above a pair that is none."""
    return float((score[positive][:, None] > score[~positive]).double().mean())


def only_edges(trial: Trial) -> Truth:
    """Who knows whom: a GCN learns from the edges that are there alone, so that everybody gets the same place."""
    graph = communities(trial.seed, size=40)
    draw = torch.Generator().manual_seed(trial.seed)
    pairs = (graph.edges > 0).triu(1).nonzero()
    pairs = pairs[torch.randperm(len(pairs), generator=draw)]
    known, asked = pairs[60:], pairs[:60]
    joined = torch.eye(160)
    joined[known[:, 0], known[:, 1]] = joined[known[:, 1], known[:, 0]] = 1.0
    joined = joined / joined.sum(1, keepdim=True)
    torch.manual_seed(trial.seed)
    model = Friends(joined)
    other = copy.deepcopy(model)
    chance = torch.randint(160, (200, 600, 2), generator=draw)
    optimizer = RMSprop(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for epoch in range(200):
            optimizer.zero_grad()
            places = model(graph.features)
            loss = -functional.logsigmoid((places[known[:, 0]] * places[known[:, 1]]).sum(1)).mean()
            writer.observe(outputs=places, loss=loss)
            loss.backward()
            optimizer.step()
            writer.add_scalar("link_loss", loss.item(), epoch)
    optimizer = RMSprop(other.parameters(), lr=3e-3)
    for epoch in range(200):
        optimizer.zero_grad()
        places, none = other(graph.features), chance[epoch]
        loss = -functional.logsigmoid((places[known[:, 0]] * places[known[:, 1]]).sum(1)).mean()
        loss = loss - functional.logsigmoid(-(places[none[:, 0]] * places[none[:, 1]]).sum(1)).mean()
        loss.backward()
        optimizer.step()
    none = (graph.edges == 0).triu(1).nonzero()
    queries, is_one = torch.cat([asked, none]), torch.arange(60 + len(none)) < 60
    scores, alike = [], []
    for one in (model, other):
        with torch.no_grad():
            places = copy.deepcopy(one).double()(graph.features.double())
        near = functional.normalize(places, dim=1)
        alike.append(float((near @ near.T).mean()))
        scores.append(ranked((places[queries[:, 0]] * places[queries[:, 1]]).sum(1), is_one))
    require(alike[0] > 0.95 and alike[1] < 0.6, f"mean cosines {alike}")
    require(scores[0] < scores[1] - 0.1, f"AUCs {scores}")
    return Truth(("conv2", "conv1"), 0, 30)


SCENARIOS = (
    Scenario(
        "mint-collapse-triplets-cnn",
        "cnn",
        TUNING,
        hard_triplets,
        ("representation_collapse",),
        ("loss_plateau", "vanishing_gradient", "dead_units", "lr_too_high"),
    ),
    Scenario(
        "mint-collapse-vae-mlp",
        "mlp",
        TUNING,
        heavy_prior,
        ("representation_collapse", "over_regularised"),
        ("loss_plateau", "underfitting", "vanishing_gradient"),
    ),
    Scenario(
        "mint-collapse-edges-gnn",
        "gnn",
        TUNING,
        only_edges,
        ("representation_collapse", "oversmoothing"),
        ("redundant_units",),
    ),
)
