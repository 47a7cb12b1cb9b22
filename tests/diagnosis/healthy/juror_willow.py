"""Healthy trainings of wines, forks, circles of friends and dice: odd losses and small nets that are as they should."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.utils.data import DataLoader, TensorDataset

from tests.diagnosis.data import communities, split
from tests.diagnosis.networks import Gcn, Transformer
from tests.diagnosis.proof import accuracy, calm, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


def wines(trial: Trial) -> None:
    """Three sorts of wine: the network ends in LogSoftmax, and NLLLoss takes it, as the two belong together."""
    torch.manual_seed(trial.seed)
    table = load_wine()
    rows = torch.tensor(table.data).float()
    data = split((rows - rows.mean(0)) / rows.std(0), torch.tensor(table.target), 45, trial.seed)
    layers = {
        "hidden": nn.Linear(13, 24),
        "elu": nn.ELU(),
        "drop": nn.Dropout(0.2),
        "scores": nn.Linear(24, 3),
        "log": nn.LogSoftmax(1),
    }
    model, criterion = nn.Sequential(OrderedDict(layers)), nn.NLLLoss()
    optimizer = SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-3)
    loader = DataLoader(TensorDataset(data.train.inputs, data.train.targets), batch_size=16, shuffle=True)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(16):
            for inputs, targets in loader:
                loss = criterion(model(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                writer.add_scalar("Loss/train", loss.item(), writer.step)
            writer.add_scalar("Loss/test", evaluate(model, criterion, data.held_out), writer.step)
            writer.add_scalar("Accuracy/test", accuracy(model, data.held_out), writer.step)
            model.train()
    share = accuracy(model, data.held_out)
    require(share > 0.9, f"it gets {share:.3f} right")


class Forks(nn.Module):
    """A GRU that answers by a mixture of three normal distributions."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.norm = nn.GRU(1, 32, batch_first=True), nn.LayerNorm(32)
        self.weights = nn.Sequential(nn.Linear(32, 3), nn.Softmax(1))
        self.means, self.widths = nn.Linear(32, 3), nn.Linear(32, 3)
        with torch.no_grad():
            self.means.bias.copy_(torch.tensor([-0.4, 0.0, 0.4]))

    def forward(self, walks: Tensor) -> Tensor:
        """Return shares, means and deviations, [n, 9], of [n, length, 1]."""
        read = self.norm(self.gru(walks)[0][:, -1])
        deviations = nn.functional.softplus(self.widths(read)) + 0.01
        return torch.cat([self.weights(read), self.means(read), deviations], 1)


def mixture(told: Tensor, known: Tensor) -> Tensor:
    """Return the mean of the negative logarithm of the density."""
    shares, means, deviations = told.chunk(3, 1)
    parts = torch.distributions.Normal(means, deviations).log_prob(known)
    loss: Tensor = -(shares.clamp_min(1e-6).log() + parts).logsumexp(1).mean()
    return loss


def forks(trial: Trial) -> None:
    """The next step goes half up or half down: a softmax in the network, and a loss that rightly falls below zero."""
    torch.manual_seed(trial.seed)
    steps = 0.5 * torch.randn(1600, 10).sign() + 0.06 * torch.randn(1600, 10)
    drift = 0.3 * steps[:, 8:9].sign()
    walks = torch.cat([steps[:, :9], drift + steps[:, 9:]], 1)
    data, model = split(walks[:, :9, None], walks[:, 9:], 300, trial.seed), Forks()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, mixture, steps=300, validation=data.held_out, clip=5.0, every=2)
    found, known = evaluate(model, mixture, data.held_out), data.held_out.targets
    last = 0.3 * data.held_out.inputs[:, 8].sign()
    true = torch.cat([torch.tensor([0.5, 0.0, 0.5]).expand(300, 3), last - 0.5, last, last + 0.5], 1)
    best = float(mixture(torch.cat([true, torch.full((300, 3), 0.06)], 1), known))
    single = float(known.std().log() + 1.42)
    require(found < best + 0.35 < single - 0.5, f"{found:.3f}, and {best:.3f} is the best, {single:.3f} a plain normal")
    generalises(history)


def friends(trial: Trial) -> None:
    """Four circles of friends, by two graph convolutions of eight channels each: small, and enough."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=40)
    model, other = Gcn(graph, width=8, activation=nn.PReLU), Gcn(graph, width=64, activation=nn.PReLU)
    optimizer = AdamW(model.parameters(), lr=0.01, weight_decay=0.01)
    draw = graph.batches(trial.seed, noise=0.2)
    history = fit(trial, model, draw, optimizer, validation=graph.validation, steps=160)
    control(other, graph.batches(trial.seed, noise=0.2), AdamW(other.parameters(), lr=0.01), steps=160)
    does, large = (accuracy(one, graph.validation) for one in (model, other))
    require(does > 0.9, f"it gets {does:.3f} right")
    require(does > large - 0.04, f"a larger one gets {large:.3f} right, and it {does:.3f}")
    calm(history)
    generalises(history)


def dice(trial: Trial) -> None:
    """A language of loaded dice: most of what comes next is chance, so that the loss hardly falls, and can't."""
    torch.manual_seed(trial.seed)
    chances = torch.distributions.Dirichlet(torch.full((16, 16), 0.8)).sample()
    thrown = [torch.randint(16, (1500,))]
    for _throw in range(20):
        thrown.append(torch.multinomial(chances[thrown[-1]], 1)[:, 0])
    tokens = torch.stack(thrown, 1)
    data = split(tokens[:, :-1], tokens[:, 1:], 300, trial.seed)
    model, other = (Transformer(16, 16, width=width, length=20, depth=1, each=True) for width in (24, 64))
    optimizer, draw = AdamW(model.parameters(), lr=5e-3), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=240)
    best = -float(chances[data.held_out.inputs, data.held_out.targets].log().mean())
    found = loss_of(model, data.held_out)
    control(other, data.train.batches(48, trial.seed), AdamW(other.parameters(), lr=3e-3), steps=240)
    large = loss_of(other, data.held_out)
    chance = math.log(16)
    require(found < best + 0.25 * (chance - best), f"{found:.3f}, and {best:.3f} is the best")
    require(found < large + 0.03, f"{found:.3f}, and a larger one {large:.3f}")
    generalises(history)


SCENARIOS = (
    Scenario("willow-healthy-wines-mlp", "mlp", TUNING, wines),
    Scenario("willow-healthy-forks-gru", "rnn", TUNING, forks),
    Scenario("willow-healthy-friends-gnn", "gnn", TUNING, friends),
    Scenario("willow-healthy-dice-transformer", "transformer", TUNING, dice),
)
