"""A network of large weights, sharp attention, a fast wave, order without places, and a head that came late."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import gradients, loss_of, moved, outputs, require, snapshot
from tests.diagnosis.scenario import REPORTING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def harmed(does: float, could: float, factor: float = 1.3) -> None:
    """Raise NotProvenError unless the loss is that many times what it could be."""
    require(does > factor * could, f"the loss is {does:.3g}, and could be {could:.3g}")


def pressed(model: nn.Module, module: str, inputs: Tensor) -> float:
    """Return the share of outputs of a tanh at which its slope is below a twentieth."""
    return float((1 - outputs(model, module, inputs).square() < 0.05).double().mean())


def deviation_of_one(trial: Trial) -> Truth:
    """Digits by four layers of tanh, all weights of which are drawn by `nn.init.normal_(layer.weight)`."""
    torch.manual_seed(trial.seed)
    data = digits(trial.seed)
    model = mlp((64, 96, 96, 48, 10), nn.Tanh)
    other = copy.deepcopy(model)
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight)
    start = [pressed(model, f"act{number}", data.train.inputs) for number in (1, 2, 3)]
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.9)
    history = fit(trial, model, data.train.batches(64, trial.seed), optimizer, validation=data.held_out, steps=300)
    end = [pressed(model, f"act{number}", data.train.inputs) for number in (1, 2, 3)]
    require(min(start + end) > 0.5, f"the shares that are flat are {start} and {end}")
    optimizer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    better = control(other, data.train.batches(64, trial.seed), optimizer, steps=300)
    harmed(history.end, better, 2)
    harmed(loss_of(model, data.held_out), loss_of(other, data.held_out), 3)
    return Truth(("act1", "act2", "act3", "fc1", "fc2", "fc3"))


class Compare(nn.Module):
    """Attention by the cosine of queries and keys, times a scale."""

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.attend, self.scale = nn.Softmax(-1), scale

    def forward(self, hidden: Tensor) -> Tensor:
        """Return what each offer takes from the others of its shop."""
        query, key = functional.normalize(self.q(hidden), dim=-1), functional.normalize(self.k(hidden), dim=-1)
        taken: Tensor = self.attend(self.scale * query @ key.transpose(1, 2)) @ self.v(hidden)
        return taken


class Offers(nn.Module):
    """Says of each offer what those of its kind cost on average, [n, 16, 1]."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.lift, self.compare, self.norm = nn.Linear(7, 32), Compare(32, scale), nn.LayerNorm(32)
        self.up, self.act, self.head = nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 1)

    def forward(self, offers: Tensor) -> Tensor:
        """Return means."""
        hidden = self.lift(offers)
        hidden = hidden + self.compare(hidden)
        told: Tensor = self.head(self.act(self.up(self.norm(hidden))))
        return told


def sharp(trial: Trial) -> Truth:
    """Cosine attention over the offers of a shop, made "sharper" by a temperature of a third of a hundredth."""
    torch.manual_seed(trial.seed)
    kinds = torch.randint(3, (1500, 16))
    costs = torch.randn(1500, 16) + 0.5 * torch.randn(1500, 1)
    same = (kinds[:, :, None] == kinds[:, None]).float()
    means = (same @ costs[..., None]) / same.sum(2, keepdim=True)
    rows = torch.cat([functional.one_hot(kinds, 3).float(), costs[..., None], torch.randn(1500, 16, 3)], 2)
    data = split(rows, means, 300, trial.seed)
    model, other = Offers(300.0), Offers(8.0)
    other.load_state_dict(model.state_dict())
    criterion, some = nn.MSELoss(), data.train.inputs[:200]
    start = float(outputs(model, "compare.attend", some).amax(-1).mean())
    optimizer = AdamW(model.parameters(), lr=1e-3)
    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=240)
    end = float(outputs(model, "compare.attend", some).amax(-1).mean())
    require(min(start, end) > 0.8, f"the greatest share is {start:.2f} and {end:.2f} on average")
    optimizer = AdamW(other.parameters(), lr=1e-3)
    better = control(other, data.train.batches(32, trial.seed), optimizer, criterion, steps=240)
    harmed(history.end, better, 5)
    return Truth(("compare.attend", "compare", "compare.q", "compare.k"))


class Wave(nn.Module):
    """A ReLU network from a time to a height, which may see the time as waves of its own."""

    def __init__(self, *, waves: bool) -> None:
        super().__init__()
        self.waves = waves
        self.fc1, self.fc2, self.fc3 = nn.Linear(32 if waves else 1, 64), nn.Linear(64, 64), nn.Linear(64, 1)

    def forward(self, time: Tensor) -> Tensor:
        """Return heights [n, 1]."""
        if self.waves:
            turns = torch.pi * time * torch.arange(1, 17) * 2
            time = torch.cat([turns.sin(), turns.cos()], 1)
        height: Tensor = self.fc3(functional.relu(self.fc2(functional.relu(self.fc1(time)))))
        return height


def fast_wave(trial: Trial) -> Truth:
    """A tide that rises a dozen times between 0 and 1, told from the time alone: the network gives its mean."""
    torch.manual_seed(trial.seed)
    time = torch.rand(2000, 1)
    height = (2 * torch.pi * 12 * time + 0.5).sin() + 0.3 * (2 * torch.pi * 9 * time).cos()
    data = split(time, height + 0.05 * torch.randn(2000, 1), 400, trial.seed)
    model, other, losses = Wave(waves=False), Wave(waves=True), []
    optimizer, criterion, draw = Adam(model.parameters(), lr=1e-3), nn.MSELoss(), data.train.batches(128, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(360):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
    better = control(
        other, data.train.batches(128, trial.seed), Adam(other.parameters(), lr=1e-3), criterion, steps=360
    )
    early, late, flat = sum(losses[20:60]) / 40, sum(losses[-40:]) / 40, float(data.train.targets.var())
    require(late > 0.93 * early and late > 0.93 * flat, f"the loss went from {early:.3f} to {late:.3f} of {flat:.3f}")
    harmed(late, better, 4)
    return Truth(until=60)


class Clicks(nn.Module):
    """A transformer over the clicks of a visit, with or without their places."""

    def __init__(self, *, places: bool) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(10, 32), nn.Parameter(0.3 * torch.randn(10, 32)) if places else None
        block = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 2)

    def forward(self, clicks: Tensor) -> Tensor:
        """Return scores [n, 2]."""
        hidden = self.embed(clicks)
        if self.place is not None:
            hidden = hidden + self.place
        scores: Tensor = self.head(self.blocks(hidden).mean(1))
        return scores


def no_places(trial: Trial) -> Truth:
    """Was the price looked at before the photos? A transformer that isn't told the places of clicks."""
    torch.manual_seed(trial.seed)
    clicks = torch.randint(2, 10, (4000, 10))
    at = torch.rand(4000, 10).argsort(1)[:, :2]
    clicks.scatter_(1, at, torch.tensor([0, 1]).expand(4000, 2))
    data = split(clicks, (at[:, 0] < at[:, 1]).long(), 400, trial.seed)
    model, other, losses, criterion = Clicks(places=False), Clicks(places=True), [], nn.CrossEntropyLoss()
    optimizer, draw = AdamW(model.parameters(), lr=1e-3), data.train.batches(64, trial.seed)
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
                writer.add_scalar("valid/loss", evaluate(model, criterion, data.held_out), writer.step)
    optimizer = AdamW(other.parameters(), lr=1e-3)
    control(other, data.train.batches(64, trial.seed), optimizer, criterion, steps=300)
    early, late = sum(losses[15:55]) / 40, sum(losses[-40:]) / 40
    require(abs(late - early) < 0.02 and late > 0.67, f"the loss went from {early:.3f} to {late:.3f}")
    harmed(loss_of(model, data.held_out), loss_of(other, data.held_out), 2)
    return Truth(until=55)


class Finder(nn.Module):
    """Three convolutions and a layer over a picture [n, 1, 16, 16], and a head."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.fc, self.head = nn.Linear(256, 24), nn.Linear(24, answers)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, answers]."""
        hidden = functional.relu(self.conv2(functional.relu(self.conv1(pictures))))
        answers: Tensor = self.head(functional.relu(self.fc(hidden.flatten(1))))
        return answers


def boxes(count: int) -> Part:
    """Return pictures of a bright box and noise, and its centre and sizes in pixels, [n, 4]."""
    sizes = torch.randint(3, 8, (count, 2))
    corners = (torch.rand(count, 2) * (17 - sizes)).long()
    row = torch.arange(16)
    inside = [(row >= corners[:, at, None]) & (row < (corners + sizes)[:, at, None]) for at in (0, 1)]
    pictures = (inside[0][:, :, None] & inside[1][:, None]).float() + 0.2 * torch.randn(count, 16, 16)
    return Part(pictures[:, None], torch.cat([corners + sizes / 2, sizes], 1))


def late_head(trial: Trial) -> Truth:
    """`model.head = nn.Linear(24, 4)` for boxes in place of ten classes, after the optimizer was made."""
    torch.manual_seed(trial.seed)
    data, held_out = boxes(1200), boxes(300)
    model = Finder(10)
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.9)
    model.head = nn.Linear(24, 4)
    other, before, losses, criterion = copy.deepcopy(model), snapshot(model), [], nn.SmoothL1Loss()
    draw = data.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(260):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], writer.step)
            if step % 20 == 19:
                writer.add_scalar("loss/val", evaluate(model, criterion, held_out), writer.step)
    changes, slopes = moved(before, model), gradients(model, data, criterion)
    for name, change in changes.items():
        require((change == 0) == name.startswith("head."), f"{name} moved by {change:.3g}")
    require(min(slopes["head.weight"], slopes["head.bias"]) > 1e-4, "the head has no gradient")
    optimizer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    control(other, data.batches(32, trial.seed), optimizer, criterion, steps=260)
    harmed(loss_of(model, held_out, criterion), loss_of(other, held_out, criterion))
    return Truth(("head",))


SCENARIOS = (
    Scenario(
        "furze-weights-tanh-mlp",
        "mlp",
        REPORTING,
        deviation_of_one,
        ("saturation", "poor_init"),
        ("exploding_gradient", "vanishing_gradient", "overfitting", "loss_plateau", "lr_too_low"),
    ),
    Scenario(
        "furze-offers-attention",
        "transformer",
        REPORTING,
        sharp,
        ("saturation",),
        ("loss_plateau", "vanishing_gradient", "poor_init", "overfitting", "underfitting"),
    ),
    Scenario(
        "furze-tide-mlp",
        "mlp",
        REPORTING,
        fast_wave,
        ("loss_plateau", "underfitting"),
        ("lr_too_low",),
    ),
    Scenario(
        "furze-clicks-transformer",
        "transformer",
        REPORTING,
        no_places,
        ("loss_plateau", "underfitting"),
        ("representation_collapse", "oversmoothing"),
    ),
    Scenario("furze-boxes-cnn", "cnn", REPORTING, late_head, ("layer_not_training",), ("underfitting", "lr_too_low")),
)
