"""Waves, poles, labels and weights: gradients that explode, labels that are wrong, networks that are held down."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Graph, Part, Split, communities, digits, majorities, patients, split
from tests.diagnosis.faulty.caller_cedar import behind, epochs
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, double, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def waves(seed: int) -> Split:
    """Return sums of two sine waves with noise, [n, 60, 1], and the value that follows, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    phases = 6.28 * torch.rand(1200, 2, 1, generator=generator)
    pace = 0.2 + 0.5 * torch.rand(1200, 2, 1, generator=generator)
    series = torch.sin(pace * torch.arange(61.0) + phases).sum(1) + 0.1 * torch.randn(1200, 61, generator=generator)
    return split(series[:, :60, None], series[:, 60:], 240, seed)


class Forecaster(nn.Module):
    """A plain recurrent network with tanh that says the next value."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc = nn.RNN(1, 48, batch_first=True), nn.Linear(48, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, 1]."""
        out: Tensor = self.fc(self.rnn(inputs)[0][:, -1])
        return out


def through_time(model: Forecaster, part: Part) -> float:
    """Return how many times larger the gradient for the first state is than that for the last, in float64."""
    precise = double(model)
    assert isinstance(precise, Forecaster)
    rnn, inputs = precise.rnn, part.inputs.double()
    states = [torch.zeros(len(inputs), 48, dtype=torch.float64, requires_grad=True)]
    for at in range(inputs.shape[1]):
        driven = inputs[:, at] @ rnn.weight_ih_l0.T + rnn.bias_ih_l0 + rnn.bias_hh_l0
        states.append((driven + states[-1] @ rnn.weight_hh_l0.T).tanh())
    loss = functional.mse_loss(precise.fc(states[-1]), part.targets.double())
    first, last = torch.autograd.grad(loss, [states[0], states[-1]])
    return float(first.norm() / last.norm())


def forecasts(trial: Trial) -> Truth:
    """Next value of a wave by `nn.RNN` over 60 places, its weights drawn with deviation 0.35, and nothing clipped."""
    torch.manual_seed(trial.seed)
    data, model, other, criterion = waves(trial.seed), Forecaster(), Forecaster(), nn.MSELoss()
    for weight in model.rnn.parameters():
        nn.init.normal_(weight, std=0.35)
    grown = []

    def look(step: int) -> None:
        if step % 50 == 49:
            grown.append(through_time(model, data.train.first(64)))

    grown.append(through_time(model, data.train.first(64)))
    draw, optimizer = data.train.batches(32, trial.seed), Adam(model.parameters(), lr=2e-3)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, after=look, steps=200)
    draw, optimizer = data.train.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3)
    behind(history.end, control(other, draw, optimizer, criterion, steps=200), 2.5)
    require(min(grown) > 500, f"back through time the gradient grows by {grown}")
    return Truth(("rnn",))


class Policy(nn.Module):
    """Says from an angle and its rate with what force to push."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, state: Tensor) -> Tensor:
        """Return the force [n, 1]."""
        force: Tensor = self.net(state)
        return force


def swing(policy: nn.Module, state: Tensor, steps: int) -> Tensor:
    """Return the mean cost of so many steps of a pole that falls ever faster."""
    costs = []
    for _step in range(steps):
        force = policy(state)
        rate = state[:, 1:] + 0.4 * (state[:, :1] + force)
        state = torch.cat([state[:, :1] + 0.1 * rate, rate], 1)
        costs.append(state[:, 0].square() + 0.01 * force[:, 0].square())
    return torch.stack(costs).mean()


def pole(trial: Trial) -> Truth:
    """A policy learns to hold up a pole, differentiated through a simulator of forty steps and not clipped."""
    torch.manual_seed(trial.seed)
    policy, states = Policy(), 0.2 * torch.randn(200, 2)
    first, other = copy.deepcopy(policy), copy.deepcopy(policy)
    optimizer = SGD(policy.parameters(), lr=1e-3, momentum=0.9)
    with trial.writer() as writer:
        writer.watch(policy, optimizer, every=1, on_finding="ignore")
        for _step in range(120):
            loss = swing(policy, 0.2 * torch.randn(32, 2), 40)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss", loss.item(), writer.step)
    optimizer = SGD(other.parameters(), lr=1e-3, momentum=0.9)
    for _step in range(120):
        optimizer.zero_grad()
        swing(other, 0.2 * torch.randn(32, 2), 40).backward()
        nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        given, better = (float(swing(one, states, 40)) for one in (policy, other))
    require(better < 1 and not given < 1e3 * better, f"{given:.3g} is not far above {better:.3g}")
    norms, precise = {}, double(first)
    for horizon in (10, 40):
        found = torch.autograd.grad(swing(precise, states.double(), horizon), list(precise.parameters()))
        norms[horizon] = sum(float(one.square().sum()) for one in found) ** 0.5
    require(norms[40] > 1e4 * norms[10], f"with the horizon the gradient does not explode: {norms}")
    return Truth()


def clicked(trial: Trial) -> Truth:
    """Digits labelled by people of whom some click at random: half of the labels are any of the ten."""
    torch.manual_seed(trial.seed)
    data, criterion = digits(trial.seed), nn.CrossEntropyLoss()
    wrong = torch.rand(len(data.train.targets)) < 0.5
    labels = torch.where(wrong, torch.randint(10, wrong.shape), data.train.targets)
    model = mlp((64, 256, 128, 10))
    other, losses = copy.deepcopy(model), []
    optimizer, batches = Adam(model.parameters(), lr=1e-3), epochs(Part(data.train.inputs, labels), 32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(400):
            pictures, classes = next(batches)
            optimizer.zero_grad()
            scores = model(pictures)
            loss = criterion(scores, classes)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("train/accuracy", float((scores.argmax(1) == classes).float().mean()), writer.step)
            if step % 40 == 39:
                writer.add_scalar("test/loss", evaluate(model, criterion, data.held_out), writer.step)
                writer.add_scalar("test/accuracy", accuracy(model, data.held_out), writer.step)
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=1e-3), steps=400)
    right, given = (accuracy(one, data.held_out) for one in (other, model))
    share = float((labels != data.train.targets).double().mean())
    require(share > 0.35, f"{share:.2f} of the labels are wrong")
    require(given < right - 0.03, f"{given:.3f} is not below {right:.3f}")
    behind(loss_of(model, data.held_out), loss_of(other, data.held_out), 2)
    return Truth((), 0, 80)


class Reader(nn.Module):
    """One of torch's own transformer layers over tokens, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.position = nn.Embedding(12, 32), nn.Parameter(0.02 * torch.randn(16, 32))
        self.encoder = nn.TransformerEncoderLayer(32, 4, 64, 0.1, "gelu", batch_first=True)
        self.classifier = nn.Linear(32, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        scores: Tensor = self.classifier(self.encoder(self.embedding(tokens) + self.position).mean(1))
        return scores


def shifted_key(trial: Trial) -> Truth:
    """Texts of twenty raters, nine of whom had the key off by one: they name the next class, held out as well."""
    torch.manual_seed(trial.seed)
    data, model = majorities(trial.seed, count=3000), Reader()
    other, parts = copy.deepcopy(model), []
    for part in (data.train, data.held_out):
        rater = torch.randint(20, part.targets.shape)
        parts.append(Part(part.inputs, torch.where(rater < 9, (part.targets + 1) % 3, part.targets)))
    noisy, held_out = parts
    optimizer, draw = AdamW(model.parameters(), lr=3e-3), noisy.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, validation=held_out, every=2, steps=300)
    control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=3e-3), steps=300)
    right, given = (accuracy(one, data.held_out) for one in (other, model))
    require(given < right - 0.05, f"{given:.3f} is not below {right:.3f}")
    behind(loss_of(model, data.held_out), loss_of(other, data.held_out), 2)
    share = float((noisy.targets != data.train.targets).double().mean())
    require(share > 0.4, f"{share:.2f} of the labels are wrong")
    return Truth((), 0, 80)


def norms(model: nn.Module) -> float:
    """Return the root mean square of all weights of matrices."""
    weights = torch.cat([value.detach().flatten() for value in model.parameters() if value.dim() > 1])
    return float(weights.double().square().mean().sqrt())


def decayed(trial: Trial) -> Truth:
    """`Adam(weight_decay=0.3)` on breast cancer: the penalty goes into Adam's step, and all weights wither."""
    torch.manual_seed(trial.seed)
    data, criterion, model = patients(trial.seed), nn.BCEWithLogitsLoss(), mlp((30, 64, 32, 1))
    other, held = copy.deepcopy(model), [norms(model)]

    def look(_step: int) -> None:
        held.append(norms(model))

    optimizer, draw = Adam(model.parameters(), lr=3e-3, weight_decay=0.3), data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, after=look, steps=240)
    optimizer, draw = Adam(other.parameters(), lr=3e-3, weight_decay=1e-4), data.train.batches(32, trial.seed)
    control(other, draw, optimizer, criterion, steps=240)
    given, better = (loss_of(one, data.held_out, criterion) for one in (model, other))
    behind(given, better, 2)
    require(held[-1] < 0.3 * held[0], f"the weights are {held[-1]:.3g} and were {held[0]:.3g}")
    return Truth((), 0, next(step for step, size in enumerate(held) if size < 0.5 * held[0]) + 20)


class Friends(nn.Module):
    """A node beside the mean of its neighbours, twice, with dropout before each layer."""

    def __init__(self, graph: Graph, p: float) -> None:
        super().__init__()
        joined = (graph.edges > 0).float()
        self.register_buffer("mean", joined / joined.sum(1, keepdim=True), persistent=False)
        self.layer1, self.layer2, self.out = nn.Linear(32, 32), nn.Linear(64, 32), nn.Linear(32, 4)
        self.p, self.nodes = p, (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, 4] of those trained on, or in evaluation of those held out."""
        for layer in (self.layer1, self.layer2):
            nodes = functional.dropout(nodes, self.p, self.training)
            nodes = functional.relu(layer(torch.cat([nodes, self.mean @ nodes], 1)))
        scores: Tensor = self.out(functional.dropout(nodes, self.p, self.training))
        return scores[self.nodes[self.training]]


def dropped(trial: Trial) -> Truth:
    """`F.dropout(x, 0.9)` before each layer of a graph network, by one who took it for the share that is kept."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=50)
    model, other, criterion, losses = Friends(graph, 0.9), Friends(graph, 0.1), nn.CrossEntropyLoss(), []
    other.load_state_dict(model.state_dict())
    optimizer, targets = RMSprop(model.parameters(), lr=2e-3), graph.communities[graph.train]
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            optimizer.zero_grad()
            loss = criterion(model(graph.features), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], writer.step)
            if step % 10 == 9:
                writer.add_scalar("loss/val", evaluate(model, criterion, graph.validation), writer.step)
    optimizer = RMSprop(other.parameters(), lr=2e-3)
    better = control(other, graph.batches(trial.seed, noise=0), optimizer, steps=200)
    behind(sum(losses[-20:]) / 20, better, 2)
    behind(loss_of(model, graph.validation), loss_of(other, graph.validation), 1.5)
    return Truth()


SCENARIOS = (
    Scenario(
        "cedar-exploding-waves-rnn",
        "rnn",
        TUNING,
        forecasts,
        ("exploding_gradient", "poor_init"),
        ("saturation", "loss_plateau", "loss_oscillation", "underfitting", "loss_spike"),
    ),
    Scenario(
        "cedar-exploding-pole-mlp",
        "mlp",
        TUNING,
        pole,
        ("exploding_gradient",),
        (
            "nonfinite",
            "lr_too_high",
            "loss_spike",
            "saturation",
            "loss_oscillation",
            "loss_plateau",
            "vanishing_gradient",
            "input_unnormalised",
        ),
    ),
    Scenario(
        "cedar-labels-clicked-mlp",
        "mlp",
        TUNING,
        clicked,
        ("label_noise",),
        ("overfitting", "loss_plateau", "underfitting"),
    ),
    Scenario(
        "cedar-labels-key-transformer",
        "transformer",
        TUNING,
        shifted_key,
        ("label_noise",),
        ("loss_plateau", "underfitting", "overfitting", "loss_oscillation"),
    ),
    Scenario(
        "cedar-decayed-cancer-mlp",
        "mlp",
        TUNING,
        decayed,
        ("over_regularised",),
        ("loss_plateau", "underfitting", "vanishing_gradient", "redundant_units", "dead_units"),
    ),
    Scenario(
        "cedar-dropped-friends-gnn",
        "gnn",
        TUNING,
        dropped,
        ("over_regularised",),
        ("underfitting", "loss_plateau", "train_eval_mismatch", "loss_oscillation", "dead_units"),
    ),
)
