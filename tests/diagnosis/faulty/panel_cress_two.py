"""Droplets, codes, pumps and fields: units that fall silent, and evaluations that are not of what was trained."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, split
from tests.diagnosis.proof import double, loss_of, require, silent, widened
from tests.diagnosis.scenario import REPORTING, Scenario, Trial, Truth
from tests.diagnosis.training import Criterion, control, evaluate, fit


def droplets(seed: int, count: int = 900) -> Part:
    """Return pictures of droplets, [n, 1, 16, 16], and how wide they are in micrometres, some 120, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    radius = 2 + 4 * torch.rand(count, generator=generator)
    centre = 5 + 6 * torch.rand(count, 2, generator=generator)
    place = torch.arange(16.0)
    far = (place - centre[:, :1]).square()[:, :, None] + (place - centre[:, 1:]).square()[:, None]
    pictures = torch.sigmoid(2 * (radius[:, None, None] - far.sqrt()))
    pictures = pictures + 0.1 * torch.randn(count, 16, 16, generator=generator)
    return Part(pictures[:, None], 30 * radius[:, None])


class Ruler(nn.Module):
    """Two convolutions and two linear layers, each with a ReLU, and one number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.fc, self.out = nn.Linear(256, 64), nn.Linear(64, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 1]."""
        hidden = functional.max_pool2d(self.relu1(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(self.relu2(self.conv2(hidden)), 2)
        told: Tensor = self.out(self.relu3(self.fc(hidden.flatten(1))))
        return told


def micrometres(trial: Trial) -> Truth:
    """A regression of raw micrometres by SGD with momentum: the first steps throw all units below zero for good."""
    torch.manual_seed(trial.seed)
    data, model, criterion = droplets(trial.seed), Ruler(), nn.MSELoss()
    other, parts = copy.deepcopy(model), split(data.inputs, data.targets, 200, trial.seed)
    held = dict[int, bool]()

    def look(step: int) -> None:
        if step < 40:
            held[step] = float(silent(model, "relu3", parts.train.inputs[:300]).double().mean()) > 0.8

    optimizer = SGD(model.parameters(), lr=5e-4, momentum=0.9)
    draw = parts.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, criterion, steps=200, after=look, validation=parts.held_out)
    control(other, parts.train.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=200)
    share = float(silent(model, "relu3", parts.train.inputs).double().mean())
    require(share > 0.8, f"only {share:.2f} of the units are dead")
    found, better = (loss_of(one, parts.held_out, criterion) for one in (model, other))
    require(found > 3 * better, f"{found:.4g} is not above {better:.4g}")
    onset = max((step for step, dead in held.items() if not dead), default=-1) + 1
    require(onset < 30, "they die late")
    return Truth(("fc", "conv1", "conv2", "relu1", "relu2", "relu3"), 0, onset + 5)


class Dictionary(nn.Module):
    """A sparse autoencoder; returns what it makes of its inputs and the code side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.relu, self.decoder = nn.Linear(24, 96), nn.ReLU(), nn.Linear(96, 24)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, 24 + 96]."""
        code = self.relu(self.encoder(inputs))
        return torch.cat([self.decoder(code), code], 1)


def activations(seed: int) -> Part:
    """Return vectors [n, 24] that are each made of a few out of sixty directions, twice."""
    generator = torch.Generator().manual_seed(seed)
    directions = functional.normalize(torch.randn(60, 24, generator=generator), dim=1)
    chosen = (torch.rand(3000, 60, generator=generator) < 0.05).float()
    vectors = (chosen * (0.5 + torch.rand(3000, 60, generator=generator))) @ directions
    return Part(vectors, vectors)


def remade(weight: float) -> Criterion:
    """Return the squared error of what is remade, with so large a weight on the code."""

    def criterion(made: Tensor, known: Tensor) -> Tensor:
        return (made[:, :24] - known).square().sum(1).mean() + weight * made[:, 24:].sum(1).mean()

    return criterion


def codes(trial: Trial) -> Truth:
    """A sparse autoencoder whose penalty is far too large: nearly all of its code never fires again."""
    torch.manual_seed(trial.seed)
    data, model, criterion = activations(trial.seed), Dictionary(), remade(2.5)
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=1e-2)
    draw, held = data.batches(128, trial.seed), dict[int, bool]()
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("sae/loss", loss.item(), step)
            if step % 5 == 0:
                held[step] = float(silent(model, "relu", data.inputs).double().mean()) > 0.6
    control(other, data.batches(128, trial.seed), Adam(other.parameters(), lr=1e-2), remade(0.1), steps=240)
    share, less = (float(silent(one, "relu", data.inputs).double().mean()) for one in (model, other))
    require(share > 0.75, f"only {share:.2f} of the code is dead")
    require(less < 0.2, f"{less:.2f} of the code is dead with a mild penalty")
    found, better = (loss_of(one, data, remade(0.0)) for one in (model, other))
    require(found > 3 * better, f"{found:.4g} is not above {better:.4g}")
    onset = max(step for step, dead in held.items() if not dead)
    return Truth(("encoder", "relu"), 0, onset + 20)


class Pumps(nn.Module):
    """An MLP with batch normalisation over what is read of a pump."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(10, 48), nn.Linear(48, 48), nn.Linear(48, 3)
        self.norm1, self.norm2 = nn.BatchNorm1d(48), nn.BatchNorm1d(48)

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        hidden = functional.relu(self.norm1(self.fc1(rows)))
        scores: Tensor = self.out(functional.relu(self.norm2(self.fc2(hidden))))
        return scores


def pumps(trial: Trial) -> Truth:
    """Files are read one by one, so that each batch is of one pump: BatchNorm takes away what tells pumps apart."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    pump = torch.arange(12).repeat_interleave(200)
    level = 3 * torch.randn(12, 10, generator=generator)
    wear = torch.randn(2400, 10, generator=generator)
    scores = wear[:, :3] + 0.7 * wear[:, 3:6] * wear[:, 6:9].sign()
    rows, states = wear + level[pump], scores.argmax(1)
    model, criterion = Pumps(), nn.CrossEntropyLoss()
    optimizer = AdamW(model.parameters(), lr=4e-3)
    held = torch.arange(2400) % 200 >= 160
    files = [((pump == one) & ~held).nonzero()[:, 0] for one in range(12)]
    validation, losses = Part(rows[held], states[held]), list[float]()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(300):
            mine = files[int(torch.randint(12, (1,), generator=generator))]
            mine = mine[torch.randperm(len(mine), generator=generator)[:40]]
            optimizer.zero_grad()
            loss = criterion(model(rows[mine]), states[mine])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], step)
            if step % 20 == 19:
                writer.add_scalar("loss/val", evaluate(model, criterion, validation), step)
    precise = double(model)
    with torch.no_grad():
        batched = [precise.train()(rows[pump == one].double()).argmax(1) == states[pump == one] for one in range(12)]
        by_batch = float(torch.cat(batched).double().mean())
        by_running = float((double(model).eval()(rows[~held].double()).argmax(1) == states[~held]).double().mean())
    require(by_batch > 0.75, f"by a batch's own statistics it gets {by_batch:.3f}")
    require(by_running < by_batch - 0.2, f"by running statistics {by_running:.3f}, and {by_batch:.3f} by a batch's own")
    end = sum(losses[-30:]) / 30
    found = loss_of(model, Part(rows[~held], states[~held]))
    require(found > 2 * end, f"the very rows of the training cost {found:.3g} in evaluation and {end:.3g} in training")
    return Truth(("norm1", "norm2"), 0, 60)


class Fields(nn.Module):
    """A small U-shaped network; returns scores of each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU())
        self.down2 = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(12, 24, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(24, 12, 2, stride=2)
        self.last = nn.Sequential(nn.Conv2d(24, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 3, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 3, 16, 16]."""
        fine = self.down1(pictures)
        scores: Tensor = self.last(torch.cat([fine, self.up(self.down2(fine))], 1))
        return scores


def meadows(seed: int, count: int = 400) -> Part:
    """Return pictures of 0 to 255, [n, 3, 16, 16], of meadow, crop and water, and which is where, [n, 16, 16]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    kinds = functional.interpolate(coarse, size=16, mode="bilinear").argmax(1)
    colours = torch.tensor([[90.0, 140, 60], [140, 150, 70], [70, 100, 110]])
    noise = 22 * torch.randn(count, 16, 16, 3, generator=generator)
    pictures = (colours[kinds] + noise).clamp(0, 255).round()
    return Part(pictures.permute(0, 3, 1, 2), kinds)


def fields(trial: Trial) -> Truth:
    """Pictures to learn from go through `(x / 255 - mean) / std`; the loader of those held out lacks that line."""
    torch.manual_seed(trial.seed)
    raw = meadows(trial.seed)
    middle, spread = (of(raw.inputs / 255, (0, 2, 3))[:, None, None] for of in (torch.mean, torch.std))
    ready = (raw.inputs / 255 - middle) / spread
    train, meant, seen = Part(ready[80:], raw.targets[80:]), Part(ready[:80], raw.targets[:80]), raw.first(80)
    model, criterion = Fields(), nn.CrossEntropyLoss()
    optimizer, draw = AdamW(model.parameters(), lr=3e-3, weight_decay=0.01), train.batches(12, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            pictures, kinds = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(pictures), kinds)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), step)
            if step % 20 == 19:
                writer.add_scalar("val/loss", evaluate(model, criterion, seen), step)
    precise = double(model).eval()
    with torch.no_grad():
        right, wrong = (
            float((precise(widened(part.inputs)).argmax(1) == part.targets).double().mean()) for part in (meant, seen)
        )
    require(right > 0.85, f"it gets {right:.3f} of the pixels right that are prepared as in training")
    require(wrong < right - 0.2, f"it gets {wrong:.3f} of raw pixels right, and {right:.3f} of prepared ones")
    found, ought = (loss_of(model, part) for part in (seen, meant))
    require(found > 5 * ought, f"{found:.3g} is not above {ought:.3g}")
    return Truth((), 0, 60)


SCENARIOS = (
    Scenario(
        "cress-micrometres-cnn",
        "cnn",
        REPORTING,
        micrometres,
        ("dead_units", "lr_too_high"),
        (
            *("poor_init", "loss_spike", "loss_plateau", "exploding_gradient", "underfitting", "wrong_output_or_loss"),
            *("vanishing_gradient", "layer_not_training", "representation_collapse", "loss_oscillation"),
        ),
    ),
    Scenario(
        "cress-codes-mlp",
        "mlp",
        REPORTING,
        codes,
        ("dead_units", "over_regularised"),
        (
            *("loss_plateau", "underfitting", "representation_collapse", "vanishing_gradient", "layer_not_training"),
            "redundant_units",
        ),
    ),
    Scenario(
        "cress-pumps-mlp",
        "mlp",
        REPORTING,
        pumps,
        ("train_eval_mismatch",),
        ("overfitting", "loss_oscillation", "input_unnormalised"),
    ),
    Scenario(
        "cress-fields-cnn",
        "cnn",
        REPORTING,
        fields,
        ("train_eval_mismatch",),
        ("overfitting", "input_unnormalised"),
    ),
)
