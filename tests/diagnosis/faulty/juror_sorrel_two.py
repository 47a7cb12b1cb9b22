"""Stations, pictures and words: columns as they were read, and gradients that are kept."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, AdamW

from tests.diagnosis.data import Part, digits, language
from tests.diagnosis.faulty.juror_sorrel import behind
from tests.diagnosis.proof import loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate


class Stations(nn.Module):
    """Two layers, each of which hears of a station and of the mean of its neighbours, [n, 4] to [n, 1]."""

    def __init__(self, near: Tensor) -> None:
        super().__init__()
        self.register_buffer("near", near, persistent=False)
        self.own1, self.near1 = nn.Linear(4, 24), nn.Linear(4, 24)
        self.own2, self.near2 = nn.Linear(24, 24), nn.Linear(24, 24)
        self.head = nn.Linear(24, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, 1]."""
        near: Tensor = self.get_buffer("near")
        nodes = functional.relu(self.own1(nodes) + self.near1(near @ nodes))
        nodes = functional.relu(self.own2(nodes) + self.near2(near @ nodes))
        told: Tensor = self.head(nodes)
        return told


def network_of_stations(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return means over the six nearest of 300 stations, their four columns as they stand, and how warm it is."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(300, 2, generator=generator)
    apart = torch.cdist(places, places) + 9 * torch.eye(300)
    near = torch.zeros(300, 300).scatter_(1, apart.topk(6, largest=False).indices, 1 / 6)
    bumps = torch.randn(3, 4, generator=generator)
    high = sum(
        float(a) * torch.sin(4 * places[:, 0] + float(b)) * torch.cos(5 * places[:, 1] * float(c))
        for a, b, c, _ in bumps
    )
    assert isinstance(high, Tensor)
    high = (high - high.mean()) / high.std()
    wet, forest, windy = (torch.randn(300, generator=generator) for _ in range(3))
    warm = -high + 0.7 * (wet * forest).tanh() + 0.8 * (near @ windy[:, None])[:, 0] * 2 + 0.4 * windy
    warm = warm + 0.1 * torch.randn(300, generator=generator)
    metres, pascals = 900 + 500 * high, 101325 + 800 * windy
    columns = torch.stack([metres, pascals, 0.02 + 0.005 * wet, 0.4 + 0.1 * forest], 1)
    return near, columns, ((warm - warm.mean()) / warm.std())[:, None]


def raw_stations(trial: Trial) -> Truth:
    """A graph network over weather stations: metres, pascals and two shares stand side by side as they were read."""
    torch.manual_seed(trial.seed)
    near, columns, warm = network_of_stations(trial.seed)
    scaled = (columns - columns.mean(0)) / columns.std(0)
    model, criterion = Stations(near), nn.MSELoss()
    other = copy.deepcopy(model)
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=1e-4)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(200):
            model.train()
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(columns), warm)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss", loss.item(), epoch)
    optimizer = AdamW(other.parameters(), lr=3e-3, weight_decay=1e-4)
    control(other, lambda _step: (scaled, warm), optimizer, criterion, steps=200)
    does, could = loss_of(model, Part(columns, warm), criterion), loss_of(other, Part(scaled, warm), criterion)
    behind(does, could, 3)
    return Truth()


class Seen(nn.Module):
    """Two convolutions and two linear layers with functional ReLUs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2).flatten(1)
        scores: Tensor = self.fc2(functional.relu(self.fc1(hidden)))
        return scores


class Kept:
    """How large gradients are that a step found in place, as a multiple of those that its own batch gave."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.ratios, self.found = model, list[float](), torch.zeros(1)

    def together(self) -> Tensor:
        """Return all gradients in one row."""
        return torch.cat(
            [torch.zeros(1), *(one.grad.flatten() for one in self.model.parameters() if one.grad is not None)]
        )

    def before(self) -> None:
        """Look ahead of a backward pass."""
        self.found = self.together().clone()

    def after(self) -> None:
        """Look behind it."""
        if len(self.found) > 1:
            own = (self.together() - self.found).double().norm()
            self.ratios.append(float(self.found.double().norm() / own.clamp_min(1e-12)))

    def require(self, ratio: float) -> None:
        """Raise NotProvenError unless they were so large in half of the steps."""
        middle = sorted(self.ratios)[len(self.ratios) // 2]
        require(middle > ratio, f"what is left is {middle:.3g} of what is due")


def never_zeroed(trial: Trial) -> Truth:
    """A tutorial's loop over digits typed by hand: forward, loss, backward and step, but no `zero_grad`."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed, flat=False), Seen(), nn.CrossEntropyLoss()
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.1)
    draw, kept = data.train.batches(32, trial.seed), Kept(model)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            pictures, classes = draw(step)
            scores = model(pictures)
            loss = criterion(scores, classes)
            kept.before()
            loss.backward()
            kept.after()
            optimizer.step()
            writer.add_scalar("Loss/train", loss.item(), step)
            writer.add_scalar("Accuracy/train", float((scores.argmax(1) == classes).float().mean()), step)
    control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.1), steps=200)
    does, could = loss_of(model, data.held_out), loss_of(other, data.held_out)
    kept.require(1)
    require(not does < 1.5 * could, f"the loss is {does:.3f}, and could be {could:.3f}")
    return Truth((), 0, 10)


class Speech(nn.Module):
    """An LSTM over words that tells the word after each."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Embedding(20, 16), nn.LSTM(16, 32, batch_first=True)
        self.decoder = nn.Linear(32, 20)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 20, length]."""
        scores: Tensor = self.decoder(self.lstm(self.embed(words))[0]).transpose(1, 2)
        return scores


def once_an_epoch(trial: Trial) -> Truth:
    """A language model whose `optimizer.zero_grad()` stands above the loop over batches: once in thirty steps."""
    torch.manual_seed(trial.seed)
    data, model, criterion = language(trial.seed), Speech(), nn.CrossEntropyLoss()
    other = copy.deepcopy(model)
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    draw, held, kept = data.train.batches(32, trial.seed), list[float](), Kept(model)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(8):
            model.train()
            optimizer.zero_grad()
            for batch in range(30):
                words, following = draw(batch)
                loss = criterion(model(words), following)
                kept.before()
                loss.backward()
                kept.after()
                optimizer.step()
                writer.add_scalar("train/loss", loss.item(), writer.step)
            held.append(evaluate(model, criterion, data.held_out))
            writer.add_scalar("val/loss", held[-1], writer.step)
    better = SGD(other.parameters(), lr=0.05, momentum=0.9)
    control(other, data.train.batches(32, trial.seed), better, steps=240)
    kept.require(1)
    behind(held[-1], loss_of(other, data.held_out), 1.25)
    return Truth((), 0, 10)


SCENARIOS = (
    Scenario(
        "sorrel-raw-stations-gnn",
        "gnn",
        TUNING,
        raw_stations,
        ("input_unnormalised",),
        (
            "loss_plateau",
            "underfitting",
            "dead_units",
            "loss_oscillation",
            "loss_spike",
            "poor_init",
            "oversmoothing",
            "representation_collapse",
            "exploding_gradient",
            "redundant_units",
        ),
    ),
    Scenario(
        "sorrel-never-zeroed-cnn",
        "cnn",
        TUNING,
        never_zeroed,
        ("missing_zero_grad",),
        (
            "loss_oscillation",
            "loss_spike",
            "exploding_gradient",
            "lr_too_high",
            "loss_plateau",
            "dead_units",
            "nonfinite",
            "representation_collapse",
        ),
    ),
    Scenario(
        "sorrel-once-an-epoch-lstm",
        "rnn",
        TUNING,
        once_an_epoch,
        ("missing_zero_grad",),
        ("loss_oscillation", "loss_spike", "exploding_gradient", "lr_too_high", "loss_plateau", "saturation"),
    ),
)
