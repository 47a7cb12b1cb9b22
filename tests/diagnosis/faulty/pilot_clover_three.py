"""Evaluations that are not of what was trained, and labels of which a third or more are wrong."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, communities, digits, split
from tests.diagnosis.faulty.pilot_clover import clearly
from tests.diagnosis.networks import Gcn
from tests.diagnosis.proof import accuracy, double, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class Dropped(nn.Module):
    """Two hidden layers over digits with heavy dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 128), nn.Linear(128, 64), nn.Linear(64, 10)
        self.drop1, self.drop2 = nn.Dropout(0.5), nn.Dropout(0.6)

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = self.drop1(functional.relu(self.fc1(rows)))
        scores: Tensor = self.fc3(self.drop2(functional.relu(self.fc2(hidden))))
        return scores


def never_eval(trial: Trial) -> Truth:
    """`model.eval()` is forgotten: half of the units are dropped while the held-out digits are looked at, too."""
    data, model, criterion = digits(trial.seed), Dropped(), nn.CrossEntropyLoss()
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), step)
            if step % 20 == 19:
                with torch.no_grad():
                    scores = model(data.held_out.inputs)
                writer.add_scalar("val/loss", criterion(scores, data.held_out.targets).item(), step)
                right = (scores.argmax(1) == data.held_out.targets).float().mean().item()
                writer.add_scalar("val/accuracy", right, step)
    with torch.no_grad():
        precise = double(model).train()
        said = torch.stack([criterion(precise(data.held_out.inputs.double()), data.held_out.targets) for _ in range(5)])
    clearly(float(said.mean()), loss_of(model, data.held_out), 1.8)
    require(right < accuracy(model, data.held_out) - 0.02, f"{right:.3f} is told to be right")
    return Truth((), 0, 59)


class Textures(nn.Module):
    """Three convolutions with BatchNorm of a given momentum."""

    def __init__(self, momentum: float) -> None:
        super().__init__()
        self.features = nn.Sequential()
        for inputs, made in ((1, 12), (12, 24), (24, 24)):
            norm = nn.BatchNorm2d(made, momentum=momentum)
            self.features.append(nn.Sequential(nn.Conv2d(inputs, made, 3, 2, 1, bias=False), norm, nn.ReLU()))
        self.classifier = nn.Linear(24, 4)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        scores: Tensor = self.classifier(self.features(pictures).mean((2, 3)))
        return scores


def textures(seed: int, count: int = 900) -> Part:
    """Return pictures of stripes in four directions, [n, 1, 16, 16], and which it is."""
    generator = torch.Generator().manual_seed(seed)
    sort = torch.randint(4, (count,), generator=generator)
    across, down = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="xy")
    angle = (sort * torch.pi / 4)[:, None, None]
    phase = 6.3 * torch.rand(count, 1, 1, generator=generator)
    wave = (1.1 * (across * angle.cos() + down * angle.sin()) + phase).sin()
    pictures = 0.25 * (wave + torch.randn(count, 16, 16, generator=generator)) + 1.5
    return Part(pictures[:, None], sort)


def decay_for_momentum(trial: Trial) -> Truth:
    """TensorFlow's decay of 0.9997 is ported as `momentum=0.0003`: the averages that evaluation uses never arrive."""
    data, held_out, model = textures(trial.seed), textures(trial.seed + 100, 250), Textures(0.0003)
    other, draw = Textures(0.1), data.batches(32, trial.seed)
    optimizer = RMSprop(model.parameters(), lr=1e-3, momentum=0.5)
    history = fit(trial, model, draw, optimizer, validation=held_out, every=2, steps=200)
    slow = RMSprop(other.parameters(), lr=1e-3, momentum=0.5)
    control(other, data.batches(32, trial.seed), slow, steps=200)
    with torch.no_grad():
        trained = float(functional.cross_entropy(double(model).train()(held_out.inputs.double()), held_out.targets))
    clearly(loss_of(model, held_out), trained, 3)
    clearly(loss_of(model, held_out), loss_of(other, held_out), 3)
    require(history.end < 0.5, f"the loss in training is {history.end:.3f}")
    return Truth(tuple(f"features.{at}.1" for at in range(3)), 0, 99)


class Load(nn.Module):
    """An LSTM over two days of a network's load, and the load of the next hour."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(2, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, hours: Tensor) -> Tensor:
        """Return [n, 1] of [n, 30, 2]."""
        told: Tensor = self.out(self.lstm(hours)[0][:, -1])
        return told


def loads(seed: int, count: int) -> Part:
    """Return loads in megawatts and temperatures of thirty hours, [n, 30, 2], and the load of the next, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    hour = torch.randint(24, (count, 1), generator=generator) + torch.arange(31)
    warm = 12 + 8 * torch.randn(count, 1, generator=generator) + torch.randn(count, 31, generator=generator)
    load = 400 + 90 * (hour * 6.283 / 24).sin() - 4 * warm + 12 * torch.randn(count, 31, generator=generator)
    return Part(torch.stack([load, warm], 2)[:, :30], (load[:, 30:] - 352) / 80)


def raw_evaluation(trial: Trial) -> Truth:
    """What is trained on goes through a scaler, and what is evaluated does not: megawatts for deviations."""
    raw, held_out, criterion = loads(trial.seed, 1500), loads(trial.seed + 100, 300), nn.MSELoss()
    mean, deviation = raw.inputs.mean((0, 1)), raw.inputs.std((0, 1))
    scaled = replace(held_out, inputs=(held_out.inputs - mean) / deviation)
    data, model = replace(raw, inputs=(raw.inputs - mean) / deviation), Load()
    optimizer, draw = AdamW(model.parameters(), lr=5e-3, weight_decay=0.01), data.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            hours, load = draw(step)
            loss = criterion(model(hours), load)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("loss/val", evaluate(model, criterion, held_out), writer.step)
    clearly(loss_of(model, held_out, criterion), loss_of(model, scaled, criterion), 5)
    clearly(1.0, loss_of(model, scaled, criterion), 3)
    return Truth((), 0, 59)


def crowd(trial: Trial) -> Truth:
    """Digits that hurried strangers named: for two in five the label is any of the ten."""
    data = digits(trial.seed, flat=False)
    generator = torch.Generator().manual_seed(trial.seed)
    told = torch.randint(10, data.train.targets.shape, generator=generator)
    told = torch.where(torch.rand(told.shape, generator=generator) < 0.45, told, data.train.targets)
    wrong = float((told != data.train.targets).double().mean())
    require(wrong > 0.33, f"{wrong:.2f} of the labels are wrong")
    named = split(data.train.inputs, told, 250, trial.seed)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten()),
        nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10)),
    )
    other, draw = copy.deepcopy(model), named.train.batches(64, trial.seed)
    optimizer = Adam(model.parameters(), lr=1e-3)
    fit(trial, model, draw, optimizer, validation=named.held_out, every=2, steps=300)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=1e-3), steps=300)
    clearly(loss_of(model, data.held_out), loss_of(other, data.held_out), 3)
    does, should = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(does < should - 0.03, f"{does:.3f} is not below {should:.3f}")
    return Truth()


class Heartbeats(nn.Module):
    """A GRU over a beat, the mean of its states, and which of four sorts it is."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(1, 32, batch_first=True), nn.Linear(32, 4)

    def forward(self, beats: Tensor) -> Tensor:
        """Return scores [n, 4] of [n, 28, 1]."""
        scores: Tensor = self.head(self.gru(beats)[0].mean(1))
        return scores


def beats(seed: int, count: int = 1200) -> Part:
    """Return beats [n, 28, 1] whose sorts come in runs of forty, as they were recorded, and the sorts."""
    generator = torch.Generator().manual_seed(seed)
    sort = torch.randint(4, (count // 40,), generator=generator).repeat_interleave(40)
    when = torch.arange(28.0) - 12 - torch.randn(count, 1, generator=generator)
    width, second = (1 + 1.2 * (sort % 2))[:, None], (sort // 2)[:, None]
    shape = (-((when / width) ** 2)).exp() + 0.8 * second * (-(((when - 8) / 2) ** 2)).exp()
    return Part((2 * shape + 0.2 * torch.randn(count, 28, generator=generator))[..., None], sort)


def sorted_names(trial: Trial) -> Truth:
    """The later files are read by `sorted(names)`, where 1000 comes before 600, and their labels by number."""
    clean, held_out = beats(trial.seed), beats(trial.seed + 100, 400)
    names = sorted(str(number) for number in range(600, 1200))
    mixed = torch.cat([torch.arange(600), torch.tensor([int(name) for name in names])])
    data, model, criterion = Part(clean.inputs[mixed], clean.targets), Heartbeats(), nn.CrossEntropyLoss()
    wrong = float((clean.targets[mixed] != clean.targets).double().mean())
    require(0.25 < wrong < 0.6, f"{wrong:.2f} of the labels are wrong")
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.2, momentum=0.9)
    draw = data.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=None, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            scores = model(inputs)
            loss = criterion(scores, targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            writer.add_scalar("train_loss", loss.item(), step)
            writer.add_scalar("train_acc", (scores.argmax(1) == targets).float().mean().item(), step)
    plain = SGD(other.parameters(), lr=0.2, momentum=0.9)
    control(other, clean.batches(64, trial.seed), plain, steps=300, clip=5.0)
    clearly(loss_of(model, held_out), loss_of(other, held_out), 2)
    return Truth()


def members(trial: Trial) -> Truth:
    """A network of people, who say themselves which team they are in: a third of them names any other."""
    graph = communities(trial.seed, size=80, inside=0.12, between=0.01)
    generator = torch.Generator().manual_seed(trial.seed)
    lie = torch.rand(len(graph.communities), generator=generator) < 0.36
    other_team = (graph.communities + torch.randint(1, 4, lie.shape, generator=generator)) % 4
    told = replace(graph, communities=torch.where(lie, other_team, graph.communities))
    model = Gcn(told, width=48)
    other, draw = copy.deepcopy(model), told.batches(trial.seed)
    optimizer = Adam(model.parameters(), lr=0.02)
    fit(trial, model, draw, optimizer, validation=told.validation, every=1, steps=200)
    control(other, graph.batches(trial.seed), Adam(other.parameters(), lr=0.02), steps=200)
    wrong = float((told.communities[graph.train] != graph.communities[graph.train]).double().mean())
    require(wrong > 0.28, f"{wrong:.2f} of the labels are wrong")
    clearly(loss_of(model, graph.validation), loss_of(other, graph.validation), 2)
    does, should = accuracy(model, graph.validation), accuracy(other, graph.validation)
    require(does < should - 0.05, f"{does:.3f} is not below {should:.3f}")
    return Truth()


MEMORISED = ("overfitting", "loss_plateau")
SCENARIOS = (
    Scenario("clover-modes-never-eval-mlp", "mlp", TUNING, never_eval, ("train_eval_mismatch",), ("over_regularised",)),
    Scenario("clover-modes-momentum-cnn", "cnn", TUNING, decay_for_momentum, ("train_eval_mismatch",)),
    Scenario("clover-modes-raw-lstm", "rnn", TUNING, raw_evaluation, ("train_eval_mismatch",), ("input_unnormalised",)),
    Scenario("clover-labels-crowd-cnn", "cnn", TUNING, crowd, ("label_noise",), MEMORISED),
    Scenario("clover-labels-sorted-gru", "rnn", TUNING, sorted_names, ("label_noise",), (*MEMORISED, "underfitting")),
    Scenario("clover-labels-members-gnn", "gnn", TUNING, members, ("label_noise",), MEMORISED),
)
