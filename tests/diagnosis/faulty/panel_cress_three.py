"""Verses, lenses, numerals and bearings: numbers too short for their steps, and units that begin as copies."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, digits, language, split
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import accuracy, loss_of, outputs, require, snapshot
from tests.diagnosis.scenario import REPORTING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def verses(trial: Trial) -> Truth:
    """`model.to(torch.bfloat16)` to save memory, and AdamW at a rate for fine-tuning: most steps round to nothing."""
    torch.manual_seed(trial.seed)
    data, other = language(trial.seed), Transformer(20, 20, each=True, width=32)
    model, criterion = copy.deepcopy(other).to(torch.bfloat16), nn.CrossEntropyLoss()
    before, wide = snapshot(model), snapshot(other)
    optimizer, draw = AdamW(model.parameters(), lr=1e-4), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(300):
            tokens, following = draw(step)
            loss = criterion(model(tokens), following)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), step)
    control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=1e-4), steps=300)
    names = [name for name in before if "weight" in name]
    kept = {name: float((dict(model.named_parameters())[name] == before[name]).double().mean()) for name in names}
    usual = {name: float((dict(other.named_parameters())[name] == wide[name]).double().mean()) for name in names}
    still = tuple(dict.fromkeys(name.rsplit(".", 1)[0] for name in names if kept[name] > 0.5 and usual[name] < 0.2))
    require(len(still) >= 5, f"only {still} have weights that stay where they were: {kept}")
    found, better = loss_of(model, data.held_out), loss_of(other, data.held_out)
    require(found > 1.05 * better, f"{found:.4g} is not above {better:.4g}")
    return Truth()


class Lens(nn.Module):
    """Convolutions that say how far each pixel of a picture is displaced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
        self.last = nn.Conv2d(12, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 1, 24, 24]."""
        hidden = functional.leaky_relu(self.conv1(pictures), 0.1)
        shifts: Tensor = self.last(functional.leaky_relu(self.conv2(hidden), 0.1))
        return shifts


def lenses(trial: Trial) -> Truth:
    """`autocast` in float16 without a `GradScaler`, and a mean over all pixels that weighs 0.0001 in the sum."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    coarse = torch.randn(240, 1, 6, 6, generator=generator)
    height = functional.interpolate(coarse, size=24, mode="bicubic")
    shifts = 4 * (height - functional.avg_pool2d(height, 3, 1, 1, count_include_pad=False)) + height.sin()
    data, criterion = Part(height, shifts), nn.MSELoss()
    model, draw = Lens(), data.batches(12, trial.seed)
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=2e-3)
    lost = list[float]()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(120):
            pictures, known = draw(step)
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16):
                shifted = model(pictures)
            loss = 1e-4 * criterion(shifted.float(), known)
            loss.backward()
            held = [value.grad for value in (model.conv1.weight, model.conv2.weight) if value.grad is not None]
            lost.append(float(torch.cat([(value == 0).double().flatten() for value in held]).mean()))
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), step)
    control(other, data.batches(12, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=120)
    onset = next((step for step in range(120) if sum(lost[step : step + 10]) > 5), 120)
    share = sum(lost[onset:]) / max(1, len(lost[onset:]))
    require(onset < 60, f"gradients of the first layers are lost from step {onset} on")
    require(share > 0.8, f"only {share:.2f} of the gradients of the first layers are zero")
    found, better = (loss_of(one, data, criterion) for one in (model, other))
    require(found > 2.5 * better, f"{found:.4g} is not above {better:.4g}")
    return Truth((), 0, onset + 20)


class Numerals(nn.Module):
    """Two hidden layers, all of whose weights begin with one value for the sake of repeatable runs."""

    def __init__(self, *, constant: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 48), nn.Linear(48, 32), nn.Linear(32, 10)
        if constant:
            for layer in (self.fc1, self.fc2):
                nn.init.constant_(layer.weight, 0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        scores: Tensor = self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(rows)))))
        return scores


def rank(values: Tensor) -> int:
    """Return how many directions hold 99.9 % of what units (of axis 1) vary by, over samples and places."""
    flat = values.movedim(1, -1).flatten(0, -2).double()
    powers = torch.linalg.svdvals(flat - flat.mean(0)).square()
    return int((powers.cumsum(0) < 0.999 * powers.sum()).sum()) + 1


def copies(weight: Tensor) -> int:
    """Return how many different rows there are, to a millionth of the largest."""
    return len((weight.detach().flatten(1) / weight.detach().abs().max() * 1e5).round().unique(dim=0))


def numerals(trial: Trial) -> Truth:
    """`nn.init.constant_(layer.weight, 0.02)`: all units of the first layer are one and the same, and remain so."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed), Numerals(constant=True), Numerals(constant=False)
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    draw = data.train.batches(50, trial.seed)
    fit(trial, model, draw, optimizer, steps=260, validation=data.held_out, every=None)
    optimizer = SGD(other.parameters(), lr=0.05, momentum=0.9)
    control(other, data.train.batches(50, trial.seed), optimizer, steps=260)
    made, usual = (rank(outputs(one, "fc1", data.train.inputs)) for one in (model, other))
    require(made <= 2, f"the first layer has {made} directions")
    require(usual > 10, f"the first layer has {usual} directions with random weights")
    right, could = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(right < could - 0.1, f"{right:.3g} is not below {could:.3g}")
    return Truth(("fc1", "fc2"))


class Bearings(nn.Module):
    """Convolutions over a vibration."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(1, channels, 9, stride=2), nn.Conv1d(channels, channels, 5, stride=2)
        self.act, self.pool, self.head = nn.LeakyReLU(0.1), nn.AdaptiveAvgPool1d(1), nn.Linear(channels, 6)

    def forward(self, waves: Tensor) -> Tensor:
        """Return scores [n, 6]."""
        hidden = self.act(self.conv2(self.act(self.conv1(waves))))
        scores: Tensor = self.head(self.pool(hidden).flatten(1))
        return scores


def vibrations(seed: int, count: int = 1500) -> Part:
    """Return vibrations [n, 1, 96] of six kinds of damage, each of which has two frequencies of its own."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(6, (count,), generator=generator)
    # Kinds share their frequencies; only the pair tells them apart.
    pairs = torch.tensor([[0.15, 0.6], [0.15, 1.1], [0.3, 0.6], [0.3, 1.1], [0.15, 0.3], [0.6, 1.1]])
    phases = 6.28 * torch.rand(count, 2, 1, generator=generator)
    waves = (pairs[kinds][..., None] * torch.arange(96) + phases).sin().sum(1)
    return Part((waves + 0.6 * torch.randn(count, 96, generator=generator))[:, None], kinds)


def tiled(small: Bearings, times: int, noise: float) -> Bearings:
    """Return a wider network that computes the same, all filters of which are there `times` times."""
    wide = Bearings(times * small.head.in_features)
    with torch.no_grad():
        wide.conv1.weight.copy_(small.conv1.weight.repeat(times, 1, 1))
        wide.conv2.weight.copy_(small.conv2.weight.repeat(times, times, 1) / times)
        wide.head.weight.copy_(small.head.weight.repeat(1, times) / times)
        for name in ("conv1", "conv2"):
            getattr(wide, name).bias.copy_(getattr(small, name).bias.repeat(times))
        wide.head.bias.copy_(small.head.bias)
        for weight in (wide.conv1.weight, wide.conv2.weight, wide.head.weight):
            weight.add_(noise * weight.std() * torch.randn(weight.shape))
    return wide


def bearings(trial: Trial) -> Truth:
    """A network of two filters is widened to sixteen by `repeat`, without noise: the copies never part."""
    torch.manual_seed(trial.seed)
    data = vibrations(trial.seed)
    parts, small = split(data.inputs, data.targets, 300, trial.seed), Bearings(2)
    control(small, parts.train.batches(32, trial.seed), Adam(small.parameters(), lr=5e-3), steps=100)
    model, other = (tiled(small, 8, noise) for noise in (0.0, 0.5))
    criterion, draw = nn.CrossEntropyLoss(label_smoothing=0.05), parts.train.batches(32, trial.seed + 1)
    optimizer = Adam(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            waves, kinds = draw(step)
            scores = model(waves)
            loss = criterion(scores, kinds)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), step)
            writer.add_scalar("train/accuracy", float((scores.argmax(1) == kinds).float().mean()), step)
    optimizer = Adam(other.parameters(), lr=3e-3)
    control(other, parts.train.batches(32, trial.seed + 1), optimizer, criterion, steps=240)
    made, usual = (rank(outputs(one, "conv1", parts.train.inputs)) for one in (model, other))
    require(made <= 3, f"sixteen filters have {made} directions")
    require(usual >= made + 2, f"with noise they have {usual} directions")
    different = copies(model.conv1.weight)
    require(different <= 4, f"{different} of sixteen filters differ")
    right, could = accuracy(model, parts.held_out), accuracy(other, parts.held_out)
    require(right < could - 0.08, f"{right:.3g} is not below {could:.3g}")
    return Truth(("conv1", "conv2"))


SCENARIOS = (
    Scenario(
        "cress-verses-transformer",
        "transformer",
        REPORTING,
        verses,
        ("low_precision_underflow",),
        ("loss_plateau", "layer_not_training", "lr_too_low", "underfitting"),
    ),
    Scenario(
        "cress-lenses-cnn",
        "cnn",
        REPORTING,
        lenses,
        ("low_precision_underflow",),
        ("loss_plateau", "layer_not_training", "vanishing_gradient", "poor_init", "underfitting", "lr_too_low"),
    ),
    Scenario(
        "cress-numerals-mlp",
        "mlp",
        REPORTING,
        numerals,
        ("redundant_units", "poor_init"),
        ("loss_plateau", "underfitting", "saturation", "representation_collapse"),
    ),
    Scenario(
        "cress-bearings-cnn",
        "cnn",
        REPORTING,
        bearings,
        ("redundant_units", "poor_init"),
        ("underfitting", "loss_plateau"),
    ),
)
