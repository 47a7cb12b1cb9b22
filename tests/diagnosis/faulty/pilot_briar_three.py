"""Embeddings that become alike: of nodes, of sentences and of digits."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from tests.diagnosis.data import Graph, Part, communities, digits
from tests.diagnosis.faulty.pilot_briar import beaten
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control


class Encoder(nn.Module):
    """Two graph convolutions and a projection, which embed each node of a graph."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("edges", edges, persistent=False)
        self.conv1, self.conv2, self.project = nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 16)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, 16]."""
        hidden = functional.relu(self.edges @ self.conv1(nodes))
        embedded: Tensor = self.project(functional.relu(self.edges @ self.conv2(hidden)))
        return embedded


def pulled(one: Tensor, two: Tensor) -> Tensor:
    """Return how far two views of the same nodes are apart."""
    return (one - two).square().mean()


def pulled_and_spread(one: Tensor, two: Tensor) -> Tensor:
    """Return how far two views are apart, and how much too alike the nodes of each are."""
    return pulled(one, two) + sum((1 - view.std(0)).clamp_min(0).mean() for view in (one, two))


def views(features: Tensor, generator: torch.Generator) -> Tensor:
    """Return a view of nodes: a fifth of their features is hidden, and the rest is noisy."""
    kept = (torch.rand(features.shape, generator=generator) > 0.2).float()
    return kept * (features + 0.2 * torch.randn(features.shape, generator=generator))


def probed(embedded: Tensor, graph: Graph) -> float:
    """Return the accuracy on nodes held out of what is learned in 150 steps over fixed embeddings."""
    probe, embedded = nn.Linear(embedded.shape[1], 4), embedded.detach()
    control(
        probe, lambda _step: (embedded[graph.train], graph.communities[graph.train]), Adam(probe.parameters(), 0.01)
    )
    return accuracy(probe, Part(embedded[graph.held_out], graph.communities[graph.held_out]))


def spread(embedded: Tensor) -> float:
    """Return how large deviations between items are, as a share of the size of embeddings."""
    return float(embedded.std(0).norm() / embedded.square().mean(0).sum().sqrt())


def lasting(alike: list[bool]) -> int:
    """Return the step from which on all are alike."""
    return max((step + 1 for step, one in enumerate(alike) if not one), default=0)


def only_pulled(trial: Trial) -> Truth:
    """Pulls two views of each node together and pushes nothing apart: all nodes become the same."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed)
    model = Encoder(graph.edges)
    other, generator, alike = copy.deepcopy(model), torch.Generator().manual_seed(trial.seed), []
    optimizer = Adam(model.parameters(), lr=5e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _epoch in range(200):
            one, two = (model(views(graph.features, generator)) for _view in range(2))
            loss = pulled(one, two)
            writer.observe(outputs=one, targets=two, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/ssl_loss", loss.item(), writer.step)
            alike.append(spread(one.detach()) < 0.1)
    optimizer = Adam(other.parameters(), lr=5e-3)
    for _epoch in range(200):
        optimizer.zero_grad()
        pulled_and_spread(*(other(views(graph.features, generator)) for _view in range(2))).backward()
        optimizer.step()
    does, should = (probed(one(graph.features), graph) for one in (model, other))
    require(does < should - 0.15, f"the accuracy is {does:.3f}, and {should:.3f} where nodes are kept apart")
    apart = spread(outputs(model, "project", graph.features))
    require(apart < 0.1, f"the spread is {apart:.3g}")
    return Truth(("project", "conv2"), 0, lasting(alike) + 30)


class Diary(nn.Module):
    """A variational autoencoder of sentences: a GRU reads one, and another writes it again from what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(25, 16)
        self.encoder = nn.GRU(16, 32, batch_first=True)
        self.mu, self.logvar = nn.Linear(32, 8), nn.Linear(32, 8)
        self.decoder, self.head = nn.GRU(24, 32, batch_first=True), nn.Linear(32, 24)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores [n, 24, length], and the means and logarithms of variances of codes [n, 8]."""
        state = self.encoder(self.embed(tokens))[1][0]
        mu, logvar = self.mu(state), self.logvar(state)
        code = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
        given = self.embed(functional.pad(tokens[:, :-1], (1, 0), value=24))
        states = self.decoder(torch.cat([given, code[:, None].expand(-1, tokens.shape[1], -1)], 2))[0]
        return self.head(states).transpose(1, 2), mu, logvar


def elbo(made: tuple[Tensor, Tensor, Tensor], tokens: Tensor, weight: float) -> Tensor:
    """Return the mean cross-entropy of tokens and the sum of the divergence over the code."""
    scores, mu, logvar = made
    divergence = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()
    return functional.cross_entropy(scores, tokens) + weight * divergence


def diary(trial: Trial) -> Truth:
    """A text VAE whose reconstruction is a mean over tokens while its KL is a sum: the code is given up."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    topics = torch.rand(16, 24, generator=generator).pow(10)
    chosen = torch.randint(16, (1200,), generator=generator)
    sentences = torch.multinomial(topics[chosen], 8, replacement=True, generator=generator)
    model = Diary()
    other, held = copy.deepcopy(model), sentences[:200]
    draw, optimizer, alike = (
        Part(sentences[200:], chosen[200:]).batches(48, trial.seed),
        Adam(model.parameters(), lr=5e-3),
        [],
    )
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(240):
            tokens = draw(step)[0]
            made = model(tokens)
            loss = elbo(made, tokens, 1.0)
            writer.observe(outputs=made[0], targets=tokens, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            alike.append(float(made[1].detach().std(0).mean()) < 0.1)
    optimizer = Adam(other.parameters(), lr=5e-3)
    for step in range(240):
        optimizer.zero_grad()
        tokens = draw(step)[0]
        elbo(other(tokens), tokens, 0.04 * min(1.0, step / 200)).backward()
        optimizer.step()
    with torch.no_grad():
        does, should = (float(elbo(one(held), held, 0.0)) for one in (model, other))
        deviation = float(model(held)[1].std(0).max())
    beaten(does, should, 0.92)
    require(deviation < 0.05, f"the code differs by {deviation:.3g} between sentences")
    return Truth(("mu", "logvar", "encoder"), 0, lasting(alike) + 30)


def hardest(embedded: Tensor, labels: Tensor) -> Tensor:
    """Return the mean triplet loss of squared distances: the furthest of its class, and the nearest of the others."""
    apart = (embedded[:, None] - embedded[None]).square().sum(2)
    same = labels[:, None] == labels[None]
    return (1.0 + apart.masked_fill(~same, 0).amax(1) - apart.masked_fill(same, torch.inf).amin(1)).clamp_min(0).mean()


def average(embedded: Tensor, labels: Tensor) -> Tensor:
    """Return the triplet loss over all triplets that are still wrong."""
    apart = (embedded[:, None] - embedded[None]).square().sum(2)
    same = labels[:, None] == labels[None]
    wrong = (1.0 + apart[:, :, None] - apart[:, None]).clamp_min(0)[same[:, :, None] & ~same[:, None]]
    return wrong.sum() / (wrong > 0).sum().clamp_min(1)


def nearest(model: nn.Module, known: Part, asked: Part) -> float:
    """Return how many of those asked for have a nearest neighbour of their class, embedded as float16."""
    with torch.no_grad():
        distances = torch.cdist(*(model.eval()(part.inputs).half().float() for part in (asked, known)))
    return float((known.targets[distances.argmin(1)] == asked.targets).float().mean())


def triplets(trial: Trial) -> Truth:
    """Metric learning by the hardest triplets from the start: all digits come to one point, the loss to its margin."""
    torch.manual_seed(trial.seed)
    data = digits(trial.seed)
    model = mlp((64, 64, 64, 16), nn.ReLU)
    other, alike = copy.deepcopy(model), []
    draw, optimizer = data.train.batches(64, trial.seed), Adam(model.parameters(), lr=0.02)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            inputs, labels = draw(step)
            embedded = model(inputs)
            loss = hardest(embedded, labels)
            writer.observe(outputs=embedded, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("triplet_loss", loss.item(), writer.step)
            alike.append(float(embedded.detach().std(0).norm()) < 0.1)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=0.02), average, steps=200)
    apart = float(outputs(model, "head", data.held_out.inputs).std(0).norm())
    require(apart < 0.01, f"embeddings are {apart:.3g} apart")
    does, should = (nearest(one, data.train, data.held_out) for one in (model, other))
    require(does < should - 0.2, f"the accuracy is {does:.3f}, and {should:.3f} with all triplets")
    return Truth(("head",), 0, lasting(alike) + 30)


SCENARIOS = (
    Scenario(
        "briar-collapse-pulled-gnn",
        "gnn",
        TUNING,
        only_pulled,
        ("representation_collapse",),
        ("loss_plateau", "vanishing_gradient", "redundant_units", "oversmoothing"),
    ),
    Scenario(
        "briar-collapse-diary-gru",
        "rnn",
        TUNING,
        diary,
        ("representation_collapse",),
        ("over_regularised", "vanishing_gradient", "loss_plateau", "layer_not_training", "underfitting"),
    ),
    Scenario(
        "briar-collapse-triplets-mlp",
        "mlp",
        TUNING,
        triplets,
        ("representation_collapse",),
        ("loss_plateau", "lr_too_high", "vanishing_gradient", "dead_units", "loss_spike", "redundant_units"),
    ),
)
