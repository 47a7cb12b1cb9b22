"""Networks that learn by heart, too little, nothing, or one answer for all, as their users meet them."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from tests.diagnosis.data import Part, communities, digits, first_tokens, majorities
from tests.diagnosis.faulty.losses import flat, noisy, rising
from tests.diagnosis.faulty.outputs import mislabelled
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.faulty.representations import alike
from tests.diagnosis.networks import Gcn, Recurrent, cnn, mlp
from tests.diagnosis.proof import accuracy, double, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import History, control, evaluate, fit


def ones_for_features(trial: Trial) -> Truth:
    """Nodes without features got ones, and the mean over neighbours of ones is 1: no node differs from another."""
    graph = communities(trial.seed)
    graph = replace(
        graph, features=torch.ones_like(graph.features), edges=graph.edges / graph.edges.sum(1, keepdim=True)
    )
    model = Gcn(graph)
    history = fit(
        trial, model, graph.batches(noise=0.0), Adam(model.parameters(), lr=5e-3), validation=graph.validation
    )
    told = double(model).eval()(graph.features.double())
    require(float(told.std(0).max()) < 1e-6, "nodes differ")
    shares = torch.bincount(graph.communities[graph.train]).double() / len(graph.train)
    return flat(history, float(-(shares * shares.log()).sum()))


class Recommender(nn.Module):
    """Guesses from a vector for each user and one for each film how well one likes the other."""

    def __init__(self, users: int, films: int) -> None:
        super().__init__()
        self.users, self.films = nn.Embedding(users, 24), nn.Embedding(films, 24)
        self.body = mlp((48, 96, 1))

    def forward(self, pairs: Tensor) -> Tensor:
        """Return ratings [n, 1] of pairs [n, 2]."""
        told: Tensor = self.body(torch.cat([self.users(pairs[:, 0]), self.films(pairs[:, 1])], 1))
        return told


def ratings(seed: int, count: int) -> Part:
    """Return pairs of 150 users and 90 films, and ratings, three quarters of whose variance are mood."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.stack([torch.randint(most, (count,), generator=generator) for most in (150, 90)], 1)
    tastes, qualities = torch.randn(150, generator=generator), torch.randn(90, generator=generator)
    moods = torch.randn(count, generator=generator)
    return Part(pairs, (0.4 * tastes[pairs[:, 0]] + 0.4 * qualities[pairs[:, 1]] + moods)[:, None])


def ratings_by_heart(trial: Trial) -> Truth:
    """A recommender with a large vector for each user, and few ratings of each; losses are logged each epoch."""
    known = ratings(trial.seed, 1000)
    train, held_out = known.first(600), Part(known.inputs[600:], known.targets[600:])
    model, criterion = Recommender(150, 90), nn.MSELoss()
    optimizer = Adam(model.parameters(), lr=1e-2)
    history = History([], {})
    generator = torch.Generator().manual_seed(trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(30):
            losses = []
            for chosen in torch.randperm(600, generator=generator).split(75):
                loss = criterion(model(train.inputs[chosen]), train.targets[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
            history.train.extend(losses)
            history.validation[len(history.train) - 1] = evaluate(model, criterion, held_out)
            writer.add_scalar("train/loss", sum(losses) / len(losses), writer.step)
            writer.add_scalar("eval/loss", history.validation[len(history.train) - 1], writer.step)
    return rising(history)


def two_channels(trial: Trial) -> Truth:
    """One convolution of two channels, whose mean over the picture is all that the head sees of ten digits."""
    data = digits(trial.seed, flat=False)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 10))
    other = cnn((8, 16), norm=False)
    optimizer = Adam(model.parameters(), lr=1e-2)
    history = fit(trial, model, data.train.batches(48), optimizer, validation=data.held_out, steps=300)
    worse(history.end, control(other, data.train.batches(48), Adam(other.parameters(), lr=5e-3), steps=300), 4.0)
    require(accuracy(model, data.train) < 0.6, "it has learned")
    return Truth()


class Variational(nn.Module):
    """A variational autoencoder of digits; returns what it draws, means, and logarithms of variances, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.mean, self.log_variance = mlp((64, 48, 32)), nn.Linear(32, 8), nn.Linear(32, 8)
        self.decoder = mlp((8, 48, 64))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, 64 + 8 + 8]."""
        hidden = self.encoder(inputs).relu()
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        codes = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        return torch.cat([self.decoder(codes), mean, log_variance], 1)


def divergence(made: Tensor) -> Tensor:
    """Return by how much the codes differ from a normal distribution, in nats a picture."""
    mean, log_variance = made[:, 64:72], made[:, 72:]
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()


def heavy_divergence(trial: Trial) -> Truth:
    """The divergence of a variational autoencoder weighs 20 times as much as the error of a pixel: codes are noise."""
    data = digits(trial.seed)
    model, draw, losses = Variational(), data.train.batches(64), []
    other = copy.deepcopy(model)

    def loss_of(made: Tensor, inputs: Tensor, weight: float = 20.0) -> Tensor:
        return (made[:, :64] - inputs).square().mean() + weight * divergence(made)

    optimizer = Adam(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(260):
            inputs = draw(step)[0]
            made = model(inputs)
            loss = loss_of(made, inputs)
            writer.observe(outputs=made[:, :64], targets=inputs, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("train_loss", losses[-1], writer.step)
            writer.add_scalar("kl", divergence(made.detach()), writer.step)
    twice = data.train.batches(64)
    control(
        other,
        lambda step: (twice(step)[0],) * 2,
        Adam(other.parameters(), lr=3e-3),
        lambda made, inputs: loss_of(made, inputs, 2e-3),
        steps=260,
    )
    wide = data.train.inputs.double()
    errors, told = [], []
    for one in (model, other):
        made = double(one)(wide)
        errors.append(float((made[:, :64] - wide).square().mean()))
        told.append(float(divergence(made)))
    variance = float(wide.var(0).mean())
    require(told[0] < 0.05 and told[1] > 1, f"the codes carry {told} nats")
    require(errors[0] > 0.95 * variance and errors[1] < 0.8 * variance, f"errors are {errors} of {variance:.3g}")
    return Truth()


def weights_decay_in_adam(trial: Trial) -> Truth:
    """AdamW was replaced by Adam, and its decay of 0.5 stayed, which there is part of the gradient."""
    data = majorities(trial.seed)
    model = Recurrent(nn.GRU, 3, inputs=12, tokens=12)
    other = copy.deepcopy(model)
    optimizer = Adam(model.parameters(), lr=5e-3, weight_decay=0.5)
    history = fit(trial, model, data.train.batches(32), optimizer, validation=data.held_out, steps=220)
    worse(history.end, control(other, data.train.batches(32), Adam(other.parameters(), lr=5e-3), steps=220))
    return Truth()


def guessing_annotator(trial: Trial) -> Truth:
    """One of two annotators guesses, so that every second sequence has a label that says nothing."""
    data = first_tokens(trial.seed, length=6)
    dirty = noisy(data, 0.55, 4, trial.seed).train
    model = Recurrent(nn.GRU, 4)
    optimizer = Adam(model.parameters(), lr=3e-3)
    fit(trial, model, dirty.batches(48), optimizer, validation=data.held_out, steps=260)
    return mislabelled(model, data.train, dirty, 0.35)


def all_joined(trial: Trial) -> Truth:
    """Nodes are joined where they correlate at all, which all do: each becomes the mean of all."""
    graph = communities(trial.seed)
    count = len(graph.features)
    model = Gcn(replace(graph, edges=torch.full((count, count), 1 / count)), activation=nn.ELU)
    other = Gcn(graph, activation=nn.ELU)
    history = fit(trial, model, graph.batches(noise=0.3), Adam(model.parameters(), lr=5e-3), steps=200)
    worse(history.end, control(other, graph.batches(noise=0.3), Adam(other.parameters(), lr=5e-3), steps=200))
    made = outputs(model, "acts.0", graph.features)
    require(float((made - made.mean(0)).norm() / made.norm()) < 1e-6, "nodes differ")
    return alike(made, ("convs.0.linear", "convs.0", "convs.1.linear"))


def hardest(made: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of triplets: of each sample the farthest of its class and the nearest of another."""
    distances = (made[:, None] - made).square().sum(2).add(1e-12).sqrt()
    same = targets[:, None] == targets
    farthest = distances.masked_fill(~same, -torch.inf).amax(1)
    nearest = distances.masked_fill(same, torch.inf).amin(1)
    return (farthest - nearest + 0.2).relu().mean()


def hardest_triplets(trial: Trial) -> Truth:
    """Triplets of the hardest kind from the first step on: all are drawn into one point, and the loss is the margin."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16), nn.Tanh, norm=False, classes=16)
    history = fit(trial, model, data.train.batches(64), Adam(model.parameters(), lr=3e-2), hardest, steps=160)
    require(abs(history.end - 0.2) < 0.02, f"the loss is {history.end:.3g}")
    made = double(model)(data.train.inputs[:500].double()).detach()
    spread = float((made - made.mean(0)).square().sum(1).mean().sqrt())
    require(spread < 0.05, f"they are {spread:.3g} apart")
    layers = alike(functional.normalize(made, dim=1), ("head", "conv2", "conv1"), 0.9).layers
    return Truth(layers, 0, 40)


SCENARIOS = (
    Scenario(
        "flat-ones-gcn",
        "gnn",
        TUNING,
        ones_for_features,
        ("loss_plateau", "oversmoothing", "representation_collapse", "underfitting"),
    ),
    Scenario("by-heart-ratings-mlp", "mlp", TUNING, ratings_by_heart, ("overfitting",)),
    Scenario("poor-two-channels-cnn", "cnn", TUNING, two_channels, ("underfitting",), ("loss_plateau",)),
    Scenario("held-divergence-mlp", "mlp", TUNING, heavy_divergence, ("over_regularised", "representation_collapse")),
    Scenario("held-adam-gru", "rnn", TUNING, weights_decay_in_adam, ("over_regularised",)),
    Scenario("wrong-labels-gru", "rnn", TUNING, guessing_annotator, ("label_noise",)),
    Scenario(
        "smoothed-joined-gcn",
        "gnn",
        TUNING,
        all_joined,
        ("oversmoothing", "representation_collapse"),
        ("loss_plateau",),
    ),
    Scenario(
        "collapsed-triplets-cnn", "cnn", TUNING, hardest_triplets, ("representation_collapse",), ("loss_plateau",)
    ),
)
