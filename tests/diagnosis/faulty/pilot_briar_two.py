"""Sums that saturate, and weights that begin badly: towns, texts, megawatts, digits, depth."""

from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, digits, language, split
from tests.diagnosis.faulty.pilot_briar import beaten
from tests.diagnosis.proof import double, finite, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class Towns(nn.Module):
    """Two rounds of messages between towns, which are added up or averaged, and a tanh after each."""

    def __init__(self, roads: Tensor, *, mean: bool) -> None:
        super().__init__()
        self.register_buffer("roads", roads / roads.sum(1, keepdim=True) if mean else roads, persistent=False)
        self.conv1, self.conv2, self.readout = nn.Linear(6, 32), nn.Linear(32, 32), nn.Linear(32, 1)
        self.tanh1, self.tanh2 = nn.Tanh(), nn.Tanh()

    def forward(self, towns: Tensor) -> Tensor:
        """Return [n, towns, 1]."""
        hidden = self.tanh1(self.roads @ self.conv1(towns))
        told: Tensor = self.readout(self.tanh2(self.roads @ self.conv2(hidden)))
        return told


def added_up(trial: Trial) -> Truth:
    """Sends messages between towns by `adj @ x`, where each has some fifty neighbours, into a tanh."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    place = torch.rand(90, 2, generator=generator)
    roads = (torch.cdist(place, place) < 0.5).float()
    own, common = (torch.randn(400, many, 6, generator=generator) for many in (90, 1))
    wealth = (2 + own + 0.7 * common).clamp_min(0)
    around = roads / roads.sum(1, keepdim=True) @ wealth - 2
    trade = around[..., :1] + 0.7 * around[..., 1:2] - around[..., 2:3] * around[..., 3:4]
    data, criterion = split(wealth, trade, 80, trial.seed), functional.smooth_l1_loss
    model, other = Towns(roads, mean=False), Towns(roads, mean=True)
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=5e-3), data.train.batches(8, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=None, steps=220)
    draw = data.train.batches(8, trial.seed)
    beaten(history.end, control(other, draw, AdamW(other.parameters(), lr=5e-3), criterion, steps=220), 0.6)
    share = float((outputs(model, "tanh2", data.held_out.inputs).abs() > 0.98).double().mean())
    require(share > 0.5, f"only {share:.2f} of the second layer is saturated")
    return Truth(("tanh1", "conv1", "tanh2", "conv2"))


class Writer(nn.Module):
    """A transformer that goes on with a text; what embeds its tokens scores the next ones too."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.tok_emb, self.pos_emb = nn.Embedding(60, 64), nn.Embedding(16, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.ln_f, self.lm_head = nn.LayerNorm(64), nn.Linear(64, 60, bias=False)
        self.lm_head.weight = self.tok_emb.weight
        nn.init.normal_(self.tok_emb.weight, std=std)
        nn.init.normal_(self.pos_emb.weight, std=std)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 60, 16]."""
        length = tokens.shape[1]
        mask = torch.full((length, length), -torch.inf).triu(1)
        hidden = self.tok_emb(tokens) + self.pos_emb(torch.arange(length))
        scores: Tensor = self.lm_head(self.ln_f(self.blocks(hidden, mask=mask)))
        return scores.transpose(1, 2)


def tied(trial: Trial) -> Truth:
    """Ties the head to an embedding that begins at a deviation of 1: scores of ±8, and a first loss far above ln 60."""
    torch.manual_seed(trial.seed)
    data = language(trial.seed, states=60)
    model, other, criterion = Writer(1.0), Writer(0.02), nn.CrossEntropyLoss()
    first = loss_of(model, data.train)
    optimizer, draw = AdamW(model.parameters(), lr=1e-3), data.train.batches(24, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, clip=5.0, every=3, steps=200)
    better = control(other, data.train.batches(24, trial.seed), AdamW(other.parameters(), lr=1e-3), clip=5.0, steps=200)
    beaten(history.end, better, 0.75)
    require(first > 15, f"the first loss is {first:.3g}")
    return Truth(("lm_head", "tok_emb", "ln_f"))


class Demand(nn.Module):
    """A GRU over two days of readings that says how many megawatts will be needed."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(2, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, hours: Tensor) -> Tensor:
        """Return [n]."""
        told: Tensor = self.head(self.gru(hours)[1][0])[:, 0]
        return told


def megawatts(trial: Trial) -> Truth:
    """Forecasts a demand of 340 ± 12 megawatts as it stands: the bias of the output begins at 0, and creeps."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    hours = torch.randn(1200, 1, 2, generator=generator) + 0.3 * torch.randn(1200, 24, 2, generator=generator).cumsum(1)
    needed = 340 + 12 * (0.8 * hours[:, -1, 0] + (1.5 * hours[:, -1, 1]).sin())
    data, model, criterion = split(hours, needed, 200, trial.seed), Demand(), nn.MSELoss()
    other = copy.deepcopy(model)
    optimizer, losses = Adam(model.parameters(), lr=5e-3), []
    draw = data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            seen, known = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(seen), known)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", loss.item(), writer.step)
            if step % 30 == 29:
                writer.add_scalar("val_loss", evaluate(model, criterion, data.held_out), writer.step)
    nn.init.constant_(other.head.bias, float(data.train.targets.mean()))
    draw = data.train.batches(64, trial.seed)
    better = control(other, draw, Adam(other.parameters(), lr=5e-3), criterion, steps=240)
    beaten(sum(losses[-24:]) / 24, better, 0.1)
    return Truth(("head",))


def all_the_same(trial: Trial) -> Truth:
    """`nn.init.constant_(m.weight, 0.05)` for every layer: all filters of a layer stay copies of each other."""
    torch.manual_seed(trial.seed)
    data = digits(trial.seed, flat=False)
    layers: dict[str, nn.Module] = {"conv1": nn.Conv2d(1, 8, 3, padding=1), "relu1": nn.ReLU()}
    layers |= {"conv2": nn.Conv2d(8, 16, 3, padding=1, stride=2), "relu2": nn.ReLU(), "flat": nn.Flatten()}
    model = nn.Sequential(
        OrderedDict(layers | {"fc1": nn.Linear(256, 32), "relu3": nn.ReLU(), "fc2": nn.Linear(32, 10)})
    )
    other = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.constant_(module.weight, 0.05)
            nn.init.zeros_(module.bias)
    optimizer, draw = SGD(model.parameters(), lr=0.02, momentum=0.9), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=1, steps=200)
    draw = data.train.batches(64, trial.seed)
    beaten(history.end, control(other, draw, SGD(other.parameters(), lr=0.02, momentum=0.9), steps=200), 0.4)
    for name in ("conv1", "conv2", "fc1"):
        made = outputs(model, name, data.held_out.inputs)
        apart = float(made.std(1).max() / made.abs().max())
        require(apart < 1e-4, f"units of {name} are {apart:.3g} apart")
    return Truth(("conv1", "conv2", "fc1", "fc2"))


class Unit(nn.Module):
    """Adds two convolutions of its input to it, which are normalised or not."""

    def __init__(self, channels: int, *, norm: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.relu = nn.ReLU()
        self.norm1, self.norm2 = (nn.BatchNorm2d(channels) if norm else nn.Identity() for _ in range(2))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the sum."""
        added: Tensor = inputs + self.norm2(self.conv2(self.relu(self.norm1(self.conv1(inputs)))))
        return added


class Stack(nn.Module):
    """Residual units with weights drawn as He did."""

    def __init__(self, depth: int, *, norm: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, stride=2)
        self.units = nn.Sequential(*(Unit(8, norm=norm) for _ in range(depth)))
        self.fc = nn.Linear(8, 10)
        for module in self.units.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        scores: Tensor = self.fc(self.units(self.stem(pictures)).mean((2, 3)))
        return scores


DEPTH = 24


def growth(model: Stack, part: Part) -> float:
    """Return by how much the gradient of what is passed on is larger at the stem than at the last unit."""
    precise = double(model)
    begin = precise.get_submodule("stem")(part.inputs.double())
    end = precise.get_submodule("units")(begin)
    loss = functional.cross_entropy(precise.get_submodule("fc")(end.mean((2, 3))), part.targets)
    early, late = torch.autograd.grad(loss, (begin, end))
    return float(early.norm() / late.norm())


def without_norm(trial: Trial) -> Truth:
    """Takes BatchNorm out of a residual network of 24 units and keeps He's weights: each unit doubles what comes."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed, flat=False), Stack(DEPTH, norm=False), Stack(DEPTH, norm=True)
    grown = growth(model, data.train.first(64))
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, every=None, steps=140)
    finite(model)
    draw = data.train.batches(32, trial.seed)
    beaten(history.end, control(other, draw, Adam(other.parameters(), lr=2e-3), steps=140), 0.5)
    require(grown > 1e3, f"the gradient grows {grown:.3g}-fold on its way back")
    return Truth()


SCENARIOS = (
    Scenario(
        "briar-saturation-towns-gnn",
        "gnn",
        TUNING,
        added_up,
        ("saturation",),
        ("loss_plateau", "underfitting", "vanishing_gradient", "exploding_gradient", "poor_init"),
    ),
    Scenario(
        "briar-init-tied-transformer",
        "transformer",
        TUNING,
        tied,
        ("poor_init",),
        ("underfitting", "clip_saturated", "saturation", "loss_plateau"),
    ),
    Scenario(
        "briar-init-megawatts-gru",
        "rnn",
        TUNING,
        megawatts,
        ("poor_init",),
        ("lr_too_low", "loss_plateau", "underfitting", "wrong_output_or_loss", "saturation", "exploding_gradient"),
    ),
    Scenario(
        "briar-init-constant-cnn",
        "cnn",
        TUNING,
        all_the_same,
        ("poor_init", "redundant_units"),
        ("loss_plateau", "underfitting", "representation_collapse"),
    ),
    Scenario(
        "briar-exploding-units-cnn",
        "cnn",
        TUNING,
        without_norm,
        ("exploding_gradient", "poor_init"),
        ("loss_spike", "loss_oscillation", "lr_too_low", "lr_too_high", "underfitting", "nonfinite", "dead_units"),
    ),
)
