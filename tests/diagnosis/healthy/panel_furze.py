"""Healthy trainings: of bearings, of a memory that looks up one thing, of tokens, of a policy, and of new classes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import STATES, Part, digits, language, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, calm, double, generalises, learned, loss_of, outputs, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


class Bearing(nn.Module):
    """A tanh layer lifts what was measured, a GRU reads it, and a tanh layer and a head tell of it."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.rnn = nn.Linear(2, 16), nn.GRU(16, 32, batch_first=True)
        self.fc, self.head = nn.Linear(32, 24), nn.Linear(24, 4)

    def forward(self, signal: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        hidden = self.rnn(torch.tanh(self.lift(signal)))[1][-1]
        scores: Tensor = self.head(torch.tanh(self.fc(hidden)))
        return scores


def bearings(trial: Trial) -> None:
    """How a bearing is worn, told from two sensors by layers of tanh and a GRU, that begin as PyTorch has them."""
    torch.manual_seed(trial.seed)
    kind, time = torch.randint(4, (1500,)), torch.arange(28.0)
    pace = torch.tensor([0.3, 0.5, 0.8, 1.2])[kind][:, None] + 0.03 * torch.randn(1500, 1)
    turn = pace * time + 6.28 * torch.rand(1500, 1)
    signal = torch.stack([turn.sin(), 0.7 * (turn + 0.6).cos()], 2) + 0.3 * torch.randn(1500, 28, 2)
    data = split(signal, kind, 300, trial.seed)
    model = Bearing()
    optimizer, draw = Adam(model.parameters(), lr=2.5e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=300)
    learned(model, data.held_out, 0.9)
    generalises(history)
    calm(history)


class Memory(nn.Module):
    """Looks up in eight pairs of a name and a thing which thing a name has."""

    def __init__(self) -> None:
        super().__init__()
        self.names, self.things = nn.Embedding(20, 24), nn.Embedding(20, 24)
        self.ask, self.offer, self.attend = nn.Linear(24, 24), nn.Linear(24, 24), nn.Softmax(-1)
        self.norm, self.head, self.sharpness = nn.LayerNorm(24), nn.Linear(24, 20), 24**-0.5

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 20] of eight names, eight things and a name, [n, 17]."""
        asked, offered = self.ask(self.names(tokens[:, 16:])), self.offer(self.names(tokens[:, :8]))
        shares = self.attend(self.sharpness * asked @ offered.transpose(1, 2))
        scores: Tensor = self.head(self.norm((shares @ self.things(tokens[:, 8:16]))[:, 0]))
        return scores


def memory(trial: Trial) -> None:
    """Attention that is to pick out one of eight pairs, and learns to: in the end its softmax is all on one of them."""
    torch.manual_seed(trial.seed)
    names, things = torch.rand(4000, 20).argsort(1)[:, :8], torch.randint(20, (4000, 8))
    asked = torch.randint(8, (4000, 1))
    tokens = torch.cat([names, things, names.gather(1, asked)], 1)
    data, model, losses = split(tokens, things.gather(1, asked)[:, 0], 500, trial.seed), Memory(), []
    optimizer, criterion, draw = AdamW(model.parameters(), lr=6e-3), nn.CrossEntropyLoss(), data.train.batches(96)
    start = float(outputs(model, "attend", data.held_out.inputs).amax(-1).mean())
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            if step % 30 == 29:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    end = float(outputs(model, "attend", data.held_out.inputs).amax(-1).mean())
    require(start < 0.5 and end > 0.95, f"the greatest share went from {start:.2f} to {end:.2f}")
    share = accuracy(model, data.held_out)
    require(share > 0.97, f"the accuracy is {share:.3f}")
    found = loss_of(model, data.held_out)
    model.sharpness /= 6
    softer = loss_of(model, data.held_out)
    require(softer > 2 * found, f"the loss is {found:.3g}, and {softer:.3g} where attention is soft")
    calm(History(losses, {}))


class Speaker(nn.Module):
    """An LSTM that says which token is next."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(STATES, 24), nn.LSTM(24, 48, batch_first=True)
        self.drop, self.head = nn.Dropout(0.1), nn.Linear(48, STATES)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, tokens, length]."""
        scores: Tensor = self.head(self.drop(self.rnn(self.embed(tokens))[0])).transpose(1, 2)
        return scores


def speaker(trial: Trial) -> None:
    """A language model that soon knows all there is to be known: the rest of its loss is chance, and stays."""
    torch.manual_seed(trial.seed)
    data, model, losses, criterion = language(trial.seed), Speaker(), [], nn.CrossEntropyLoss()
    optimizer, draw, validation = AdamW(model.parameters(), lr=1e-2), data.train.batches(48, trial.seed), {}
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss/train", losses[-1], writer.step)
            if step % 25 == 24:
                validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("Loss/valid", validation[step], writer.step)
    chances = np.random.default_rng(trial.seed).dirichlet(np.full(STATES, 0.1), size=STATES)
    known = chances[data.held_out.inputs.numpy(), data.held_out.targets.numpy()]
    least, end = float(-np.log(known.clip(1e-12)).mean()), loss_of(model, data.held_out)
    require(end < 1.12 * least, f"the loss is {end:.3f}, and can't be below {least:.3f}")
    half, last = sum(losses[140:200]) / 60, sum(losses[-60:]) / 60
    require(half - last < 0.06 * losses[0], f"the loss still falls from {half:.3f} to {last:.3f}")
    generalises(History(losses, validation))
    calm(History(losses, validation))


def stock(trial: Trial) -> None:
    """A policy that orders goods: what it minimises stays about 0, as gains are centred, while it earns more."""
    torch.manual_seed(trial.seed)
    model, earned = mlp((6, 48, 48, 5), nn.Tanh), []
    optimizer = Adam(model.parameters(), lr=3e-3)
    weights = torch.randn(6, 5)

    def reward(state: Tensor, order: Tensor) -> Tensor:
        best = (state @ weights).argmax(1)
        return 1 - 0.5 * (order - best).abs().clamp(max=3)

    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(320):
            if step % 4 == 0:
                state = torch.randn(256, 6)
                with torch.no_grad():
                    choice = Categorical(logits=model(state))
                    order = choice.sample()
                gain, before = reward(state, order), choice.log_prob(order)
                advantage = (gain - gain.mean()) / (gain.std() + 1e-6)
            ratio = (Categorical(logits=model(state)).log_prob(order) - before).exp()
            loss = -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            earned.append(float(gain.mean()))
            writer.add_scalar("policy/loss", losses[-1], writer.step)
            writer.add_scalar("policy/reward", earned[-1], writer.step)
    state = torch.randn(2000, 6)
    with torch.no_grad():
        order = double(model)(state.double()).argmax(1)
    earns, chance = float(reward(state, order).mean()), float(reward(state, torch.randint(5, (2000,))).mean())
    require(earns > 0.7 and chance < 0.3, f"it earns {earns:.2f}, and {chance:.2f} by chance")
    require(max(map(abs, losses)) < 0.15, f"what it minimises is as far from 0 as {max(map(abs, losses)):.2f}")
    require(sum(earned[-30:]) > sum(earned[:30]) + 12, "it earns no more than at first")


class Reader(nn.Module):
    """Two convolutions and a layer, and a head."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3, padding=1), nn.ReLU()
        )
        self.fc, self.head = nn.Linear(384, 48), nn.Linear(48, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores."""
        scores: Tensor = self.head(functional.relu(self.fc(self.body(pictures).flatten(1))))
        return scores


def some(part: Part, least: int, most: int) -> Part:
    """Return those of some classes, which are counted from 0."""
    chosen = (part.targets >= least) & (part.targets <= most)
    return Part(part.inputs[chosen], part.targets[chosen] - least)


def reader(trial: Trial, *, whole: bool, seed: int) -> Reader:
    """Return a network that reads 0 to 5, whose new head is for 6 to 9; its body may be learned on or not."""
    torch.manual_seed(seed)
    model = Reader(6)
    old = some(digits(trial.seed, flat=False).train, 0, 5)
    control(model, old.batches(64, trial.seed), Adam(model.parameters(), lr=2e-3), steps=200)
    model.head = nn.Linear(48, 4)
    for name, value in model.named_parameters():
        value.requires_grad_(whole or not name.startswith("body."))
    return model


def slow_body(trial: Trial) -> None:
    """A network that read 0 to 5 learns 6 to 9: its body at a tenth of the rate of what is new."""
    model, data = reader(trial, whole=True, seed=trial.seed), digits(trial.seed, flat=False)
    train, held_out = some(data.train, 6, 9), some(data.held_out, 6, 9)
    groups = [{"params": model.body.parameters(), "lr": 2e-4}, {"params": model.fc.parameters(), "lr": 5e-4}]
    optimizer = AdamW([*groups, {"params": model.head.parameters()}], lr=2e-3)
    history = fit(trial, model, train.batches(32, trial.seed), optimizer, validation=held_out, steps=200)
    learned(model, held_out, 0.94)
    calm(history)
    generalises(history)


def kept_body(trial: Trial) -> None:
    """A network that read 0 to 5 learns 6 to 9 by a new head and the layer below: its convolutions are kept."""
    model, other = (reader(trial, whole=whole, seed=trial.seed) for whole in (False, True))
    data = digits(trial.seed, flat=False)
    train, held_out = some(data.train, 6, 9), some(data.held_out, 6, 9)
    optimizer = Adam([value for value in model.parameters() if value.requires_grad], lr=1e-3)
    history = fit(trial, model, train.batches(32, trial.seed), optimizer, validation=held_out, steps=180)
    learned(model, held_out, 0.94)
    calm(history)
    generalises(history)
    control(other, train.batches(32, trial.seed), Adam(other.parameters(), lr=1e-3), steps=180)
    does, could = accuracy(model, held_out), accuracy(other, held_out)
    require(does > could - 0.03, f"the accuracy is {does:.3f}, and would be {could:.3f} were all of it learned")


SCENARIOS = (
    Scenario("furze-bearings-gru", "rnn", REPORTING, bearings),
    Scenario("furze-memory-attention", "transformer", REPORTING, memory),
    Scenario("furze-speaker-lstm", "rnn", REPORTING, speaker),
    Scenario("furze-stock-policy", "mlp", REPORTING, stock),
    Scenario("furze-slow-body-cnn", "cnn", REPORTING, slow_body),
    Scenario("furze-kept-body-cnn", "cnn", REPORTING, kept_body),
)
