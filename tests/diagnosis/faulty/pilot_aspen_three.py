"""Embeddings of all inputs that become one: views of digits, a code of sentences, states of a world model."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from tests.diagnosis.data import digits, split
from tests.diagnosis.faulty.pilot_aspen import mean, worse
from tests.diagnosis.proof import require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth


def alike(embeddings: Tensor) -> float:
    """Return the mean cosine of embeddings with each other."""
    units = functional.normalize(embeddings.double(), dim=1)
    return float((units @ units.T).mean())


def probe(train: Tensor, classes: Tensor, held_out: Tensor, truth: Tensor) -> float:
    """Return the share that a linear layer gets right that is trained on embeddings of length one."""
    train, held_out = (functional.normalize(one.detach().float(), dim=1) for one in (train, held_out))
    layer = nn.Linear(train.shape[1], int(classes.max()) + 1)
    optimizer = Adam(layer.parameters(), lr=0.03)
    for _step in range(150):
        optimizer.zero_grad()
        functional.cross_entropy(layer(train), classes).backward()
        optimizer.step()
    return float((layer(held_out).argmax(1) == truth).float().mean())


def two_views(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return two copies with noise and holes."""
    first, second = (
        (pictures + 0.3 * torch.randn_like(pictures)) * (torch.rand_like(pictures) > 0.2) for _ in range(2)
    )
    return first, second


def apart(first: Tensor, second: Tensor) -> Tensor:
    """Return the loss of SimCLR."""
    one, two = functional.normalize(first, dim=1), functional.normalize(second, dim=1)
    return functional.cross_entropy(one @ two.T / 0.2, torch.arange(len(one)))


def positives_alone(trial: Trial) -> Truth:
    """Two views of a digit are pulled together, `-cosine_similarity(z1, z2).mean()`, and nothing pushes others away."""
    torch.manual_seed(trial.seed)
    data, held = digits(trial.seed), {}
    model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 32))
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(96, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            first, second = two_views(draw(step)[0])
            loss = -functional.cosine_similarity(model(first), model(second)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            if step % 2 == 0:
                with torch.no_grad():
                    held[step] = alike(model(data.held_out.inputs)) > 0.97
    optimizer = Adam(other.parameters(), lr=2e-3)
    for step in range(200):
        first, second = two_views(draw(step)[0])
        optimizer.zero_grad()
        apart(other(first), other(second)).backward()
        optimizer.step()
    train, rest = data.train, data.held_out
    found, good = (probe(one(train.inputs), train.targets, one(rest.inputs), rest.targets) for one in (model, other))
    require(alike(model(rest.inputs).detach()) > 0.98, "embeddings differ")
    require(found < good - 0.2, f"a probe gets {found:.2f} right, and {good:.2f} with negatives")
    return Truth((), 0, lasting(held) + 10)


def lasting(held: dict[int, bool]) -> int:
    """Return the step from which on it holds."""
    return max((step for step, holds in held.items() if not holds), default=0)


class Sentences(nn.Module):
    """A variational autoencoder: a GRU reads, and one with the last letter and a code at each place writes."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.encoder = nn.Embedding(24, 24), nn.GRU(24, 32, batch_first=True)
        self.to_mu, self.to_logvar = nn.Linear(32, 8), nn.Linear(32, 8)
        self.decoder, self.out = nn.GRU(32, 32, batch_first=True), nn.Linear(32, 24)

    def forward(self, letters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores [n, length, 24], means and logarithms of variances [n, 8]."""
        hidden = self.encoder(self.embed(letters))[0][:, -1]
        mu, logvar = self.to_mu(hidden), self.to_logvar(hidden)
        code = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        before = functional.pad(self.embed(letters)[:, :-1], (0, 0, 1, 0))
        told = self.decoder(torch.cat([before, code[:, None].expand(-1, letters.shape[1], -1)], 2))[0]
        return self.out(told), mu, logvar


def elbo(model: Sentences, letters: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Return the reconstruction, as a mean over letters, and the divergence, as a sum over the code, times a weight."""
    scores, mu, logvar = model(letters)
    divergence = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
    return functional.cross_entropy(scores.transpose(1, 2), letters), weight * divergence


def code_not_used(trial: Trial) -> Truth:
    """A VAE of sentences: cross_entropy is a mean over letters, the KL a sum, both weigh one: the code says nothing."""
    torch.manual_seed(trial.seed)
    topics = torch.randint(6, (1600,))
    chances = torch.distributions.Dirichlet(torch.full((6, 24), 0.15)).sample() + 0.01
    letters = torch.multinomial(chances[topics], 12, replacement=True)
    data, held, losses, model = split(letters, topics, 400, trial.seed), {}, [], Sentences()
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(240):
            optimizer.zero_grad()
            reconstruction, divergence = elbo(model, draw(step)[0], 1.0)
            loss = reconstruction + divergence
            loss.backward()
            optimizer.step()
            losses.append(reconstruction.item())
            writer.add_scalar("loss", loss.item(), writer.step)
            writer.add_scalar("kl", divergence.item(), writer.step)
            held[step] = divergence.item() < 0.02
    optimizer, better = Adam(other.parameters(), lr=3e-3), []
    for step in range(240):
        optimizer.zero_grad()
        reconstruction, divergence = elbo(other, draw(step)[0], 0.02)
        (reconstruction + divergence).backward()
        optimizer.step()
        better.append(reconstruction.item())
    worse(mean(losses), mean(better), 1.08)
    require(held[239] and held[220], "the code is used")
    rest = data.held_out
    spread, usual = (float(one(rest.inputs)[1].detach().double().std(0).max()) for one in (model, other))
    require(spread < 0.1 * usual, f"codes differ by {spread:.3g}, and {usual:.3g} with a lighter KL")
    return Truth(("to_mu", "to_logvar", "encoder"), 0, lasting(held) + 10)


class World(nn.Module):
    """Convolutions to a state of 16 numbers, and what says from one state and a push which is next."""

    def __init__(self) -> None:
        super().__init__()
        self.eye = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(144, 16)
        )
        self.dynamics = nn.Sequential(nn.Linear(18, 48), nn.ReLU(), nn.Linear(48, 16))

    def forward(self, now: Tensor, push: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the next state is said to be, and what it is."""
        return self.dynamics(torch.cat([self.eye(now), push], 1)), self.eye(later)


def picture(places: Tensor) -> Tensor:
    """Return pictures [n, 1, 12, 12] of a ball."""
    axis = torch.linspace(-1, 1, 12)
    light = (-8 * ((axis[:, None] - places[:, :1, None]) ** 2 + (axis - places[:, 1:, None]) ** 2)).exp()[:, None]
    return (light - 0.1) / 0.2


def own_target(trial: Trial) -> Truth:
    """A world model whose only loss is the MSE to its own next state, without `.detach()`: all pictures become one."""
    torch.manual_seed(trial.seed)
    places, push, held, model = 1.4 * torch.rand(1500, 2) - 0.7, 0.3 * torch.randn(1500, 2), {}, World()
    now, later, other = picture(places), picture(places + push), copy.deepcopy(model)
    start = float(model.eye(now).detach().std(0).mean())
    optimizer, generator = Adam(model.parameters(), lr=1e-3), torch.Generator().manual_seed(trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            chosen = torch.randint(1500, (64,), generator=generator)
            loss = functional.mse_loss(*model(now[chosen], push[chosen], later[chosen]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/dynamics", loss.item(), writer.step)
            with torch.no_grad():
                held[step] = float(model.eye(now[:200]).std(0).mean()) < 0.3 * start
    optimizer = Adam(other.parameters(), lr=1e-3)
    for _step in range(200):
        chosen = torch.randint(1500, (64,), generator=generator)
        told, known = other(now[chosen], push[chosen], later[chosen])
        optimizer.zero_grad()
        (functional.mse_loss(told, known) + functional.relu(1 - known.std(0)).mean()).backward()
        optimizer.step()
    spreads = [float(one.eye(now).detach().double().std(0).mean()) for one in (model, other)]
    require(
        spreads[0] < 0.2 * start and spreads[0] < 0.02 * spreads[1],
        f"states differ by {spreads}, and at first by {start:.3g}",
    )
    misses = []
    for one in (model, other):
        states = one.eye(now).detach()
        states = torch.cat([states + 0.02 * torch.randn_like(states), torch.ones(1500, 1)], 1)
        misses.append(float((states @ torch.linalg.lstsq(states, places).solution - places).square().mean()))
    worse(misses[0], misses[1], 2)
    return Truth(("eye", "eye.0", "eye.2", "eye.5"), 0, lasting(held) + 10)


SCENARIOS = (
    Scenario(
        "aspen-collapse-positives-mlp",
        "mlp",
        TUNING,
        positives_alone,
        ("representation_collapse",),
        ("loss_plateau", "vanishing_gradient", "redundant_units", "dead_units"),
    ),
    Scenario(
        "aspen-collapse-sentences-gru",
        "rnn",
        TUNING,
        code_not_used,
        ("representation_collapse", "over_regularised"),
        ("loss_plateau", "underfitting", "vanishing_gradient"),
    ),
    Scenario(
        "aspen-collapse-world-cnn",
        "cnn",
        TUNING,
        own_target,
        ("representation_collapse",),
        ("loss_plateau", "vanishing_gradient", "redundant_units", "dead_units"),
    ),
)
