"""Layers that stay as they were born, and losses that stay where they began."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, RMSprop

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.faulty.rider_larch import harmed
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, gradients, moved, outputs, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class Net(nn.Module):
    """Two convolutions and a linear layer over digits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 24, 3, padding=1)
        self.fc = nn.Linear(24 * 4, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, classes]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        scores: Tensor = self.fc(hidden.flatten(1))
        return scores


def kept(part: Part, least: int) -> Part:
    """Return the digits from `least` on, or those below five."""
    chosen = part.targets >= least if least else part.targets < 5
    return Part(part.inputs[chosen], part.targets[chosen] - least)


def late_head(trial: Trial) -> Truth:
    """A network that knows 0 to 4 is to learn 5 to 9: its head is replaced after the optimizer was made."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), Net(5)
    control(model, kept(data.train, 0).batches(64, trial.seed), Adam(model.parameters(), lr=3e-3), steps=120)
    train, held_out, criterion = kept(data.train, 5), kept(data.held_out, 5), nn.CrossEntropyLoss()
    optimizer = SGD(model.parameters(), lr=3e-3, momentum=0.9)
    model.fc = nn.Linear(24 * 4, 5)
    other, before, losses = copy.deepcopy(model), snapshot(model), []
    draw = train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(130):
            inputs, targets = draw(step)
            scores = model(inputs)
            loss = criterion(scores, targets)
            # The optimizer does not know the new head, so its own zero_grad would leave that gradient to add up.
            model.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("train/accuracy", float((scores.argmax(1) == targets).float().mean()), writer.step)
            if step % 26 == 25:
                writer.add_scalar("val/loss", evaluate(model, criterion, held_out), writer.step)
    optimizer = SGD(other.parameters(), lr=3e-3, momentum=0.9)
    harmed(sum(losses[-13:]) / 13, control(other, train.batches(32, trial.seed), optimizer, steps=130), 1.25)
    changes = moved(before, model)
    require(changes["fc.weight"] == 0 < changes["conv1.weight"], "the head moved")
    require(gradients(model, train)["fc.weight"] > 0, "the head gets no gradient")
    return Truth(("fc",))


def waves(seed: int, count: int = 1000) -> Split:
    """Return thirty readings of a sum of two waves [n, 30, 1], and the ten that follow [n, 10]."""
    generator = torch.Generator().manual_seed(seed)
    times, readings = torch.arange(40.0), 0.05 * torch.randn(count, 40, generator=generator)
    for size in (1.0, 0.6):
        pace = 0.2 + 0.5 * torch.rand(count, 1, generator=generator)
        readings += size * (pace * times + 6.3 * torch.rand(count, 1, generator=generator)).sin()
    return split(readings[:, :30, None], readings[:, 30:], 200, seed)


class Forecaster(nn.Module):
    """A GRU reads, and hands its state to another that writes."""

    def __init__(self, *, cut: bool) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(1, 32, batch_first=True), nn.GRUCell(1, 32)
        self.out, self.cut = nn.Linear(32, 1), cut

    def forward(self, past: Tensor) -> Tensor:
        """Return the next ten readings, [n, 10]."""
        state = self.encoder(past)[1][0]
        if self.cut:
            state = state.detach()
        reading, written = past[:, -1], []
        for _step in range(10):
            state = self.decoder(reading, state)
            reading = reading + self.out(state)
            written.append(reading)
        return torch.cat(written, 1)


def cut_encoder(trial: Trial) -> Truth:
    """`hidden = hidden.detach()`, copied from a recipe for long texts, between the encoder and the decoder."""
    torch.manual_seed(trial.seed)
    data, model, other = waves(trial.seed), Forecaster(cut=True), Forecaster(cut=False)
    other.load_state_dict(model.state_dict())
    criterion, before = nn.MSELoss(), snapshot(model)
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, clip=5.0, every=2, steps=200)
    optimizer = Adam(other.parameters(), lr=5e-3)
    better = control(other, data.train.batches(64, trial.seed), optimizer, criterion, steps=200, clip=5.0)
    harmed(history.end, better, 1.3)
    changes, found = moved(before, model), gradients(model, data.train.first(128), criterion)
    for name in found:
        ours = name.startswith("encoder")
        require((changes[name] == 0) == (found[name] == 0) == ours, f"{name} moved by {changes[name]:.3g}")
    return Truth(("encoder",))


def quadrants(trial: Trial) -> Truth:
    """XOR with noise, four sigmoid units, MSE and SGD at 0.1, as in many a first program: it stays at a quarter."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    corners = torch.randint(2, (600, 2), generator=generator).float()
    points = corners + 0.1 * torch.randn(600, 2, generator=generator)
    data = Part(points, (corners[:, :1] != corners[:, 1:]).float())
    model = nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 1), nn.Sigmoid())
    other, criterion, losses = copy.deepcopy(model), nn.MSELoss(), []
    optimizer, draw = SGD(model.parameters(), lr=0.1), data.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(400):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss", losses[-1], writer.step)
    better = control(other, data.batches(32, trial.seed), Adam(other.parameters(), lr=0.1), criterion, steps=400)
    harmed(sum(losses[-40:]) / 40, better, 1.8)
    require(sum(losses[-40:]) / 40 > 0.97 * 0.25, f"the loss fell to {losses[-1]:.3g}")
    return Truth()


class Circles(nn.Module):
    """Sorts graphs, none of whose nodes has features, by what neighbours say: their mean, or their sum."""

    def __init__(self, *, mean: bool) -> None:
        super().__init__()
        self.lift, self.convs = nn.Linear(1, 24), nn.ModuleList(nn.Linear(24, 24) for _ in range(2))
        self.read, self.mean = mlp((24, 24, 2)), mean

    def forward(self, joined: Tensor) -> Tensor:
        """Return scores [n, 2] of adjacencies [n, nodes, nodes]."""
        if self.mean:
            joined = joined / joined.sum(2, keepdim=True)
        hidden = self.lift(torch.ones(*joined.shape[:2], 1).to(joined))
        for conv in self.convs:
            hidden = functional.relu(conv(joined @ hidden))
        scores: Tensor = self.read(hidden.mean(1))
        return scores


def no_features(trial: Trial) -> Truth:
    """Who acts with whom, of two genres: nodes have no features, so all are 1, and the mean of ones is one."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    genres = torch.randint(2, (600,), generator=generator)
    chance = torch.where(genres == 1, 0.4, 0.2)[:, None, None]
    upper = (torch.rand(600, 14, 14, generator=generator) < chance).float().triu(1)
    data = split(upper + upper.transpose(1, 2) + torch.eye(14), genres, 120, trial.seed)
    model, other = Circles(mean=True), Circles(mean=False)
    other.load_state_dict(model.state_dict())
    criterion = nn.CrossEntropyLoss()
    optimizer, draw = RMSprop(model.parameters(), lr=1e-3), data.train.batches(50, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=200)
    control(other, data.train.batches(50, trial.seed), RMSprop(other.parameters(), lr=1e-3), criterion, steps=200)
    should, does = (accuracy(one, data.held_out) for one in (other, model))
    require(does < should - 0.25, f"{does:.3f} is not below {should:.3f}")
    require(history.end > 0.97 * math.log(2), f"the loss fell to {history.end:.3g}")
    spread = float(outputs(model, "read", data.held_out.inputs).std(0).max())
    require(spread < 1e-9, f"the scores spread by {spread:.3g}")
    return Truth()


SCENARIOS = (
    Scenario("larch-still-head-cnn", "cnn", TUNING, late_head, ("layer_not_training",), ("lr_too_low",)),
    Scenario(
        "larch-still-encoder-gru",
        "rnn",
        TUNING,
        cut_encoder,
        ("layer_not_training", "unused_parameter"),
        ("loss_plateau", "underfitting", "vanishing_gradient"),
    ),
    Scenario(
        "larch-plateau-xor-mlp",
        "mlp",
        TUNING,
        quadrants,
        ("loss_plateau", "lr_too_low"),
        ("underfitting", "vanishing_gradient", "redundant_units"),
    ),
    Scenario(
        "larch-plateau-actors-gnn",
        "gnn",
        TUNING,
        no_features,
        ("loss_plateau", "representation_collapse"),
        ("oversmoothing", "underfitting", "layer_not_training", "redundant_units"),
    ),
)
