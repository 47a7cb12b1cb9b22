"""Healthy networks over pictures and sounds that are asked for more than a class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.proof import accuracy, alive, calm, generalises, learned, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit


def layer(inputs: int, made: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, made, 3, stride, padding=1, bias=False), nn.BatchNorm2d(made), nn.ReLU(inplace=True)
    )


class Detector(nn.Module):
    """Says of each of 8 × 8 places whether the middle of an object is there, and how large it is."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(layer(1, 12, 2), layer(12, 24), layer(24, 24))
        self.heat, self.size = nn.Conv2d(24, 1, 1), nn.Conv2d(24, 1, 1)
        nn.init.constant_(self.heat.bias, -3.0)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores and sizes [n, 2, 8, 8] of [n, 1, 16, 16]."""
        hidden = self.body(pictures)
        return torch.cat([self.heat(hidden), self.size(hidden)], 1)


def scenes(seed: int, count: int = 700) -> Split:
    """Return pictures [n, 1, 16, 16] of a bright square or two; heat, and half sizes at their middles [n, 2, 8, 8]."""
    generator = torch.Generator().manual_seed(seed)
    pictures = 0.4 * torch.randn(count, 1, 16, 16, generator=generator)
    told, cells = torch.zeros(count, 2, 8, 8), torch.arange(8.0)
    halves = torch.randint(1, 4, (count, 2), generator=generator).tolist()
    middles = torch.randint(3, 13, (count, 2, 2), generator=generator).tolist()
    for number in range(count):
        for half, (row, column) in list(zip(halves[number], middles[number], strict=True))[: 1 + number % 2]:
            pictures[number, 0, row - half : row + half + 1, column - half : column + half + 1] += 1.5
            away = (cells[:, None] - row // 2) ** 2 + (cells - column // 2) ** 2
            told[number, 0] = torch.maximum(told[number, 0], (-away).exp())
            told[number, 1, row // 2, column // 2] = half
    return split(pictures, told, count // 5, seed)


def detector(trial: Trial) -> None:
    """CenterNet: one place in fifty has something, the head begins by saying so, and the loss has two parts."""
    data, model = scenes(trial.seed), Detector()
    optimizer, draw = Adam(model.parameters(), lr=8e-3), data.train.batches(24, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(150):
            pictures, targets = draw(step)
            made, middle = model(pictures), targets[:, 0] == 1
            chance = made[:, 0].sigmoid().clamp(1e-4, 1 - 1e-4)
            found = (1 - chance).square() * chance.log()
            empty = (1 - targets[:, 0]) ** 4 * chance.square() * (1 - chance).log()
            heat = -torch.where(middle, found, empty).sum() / middle.sum()
            size = functional.l1_loss(made[:, 1][middle], targets[:, 1][middle])
            optimizer.zero_grad()
            (heat + 0.1 * size).backward()
            optimizer.step()
            writer.add_scalar("loss/heat", heat.detach(), writer.step)
            writer.add_scalar("loss/size", size.detach(), writer.step)
            writer.add_scalar("loss/total", heat.detach() + 0.1 * size.detach(), writer.step)
    model.eval()
    made, targets = model(data.held_out.inputs).detach(), data.held_out.targets
    at = made[:, 0].flatten(1).argmax(1, keepdim=True)
    near = functional.max_pool2d((targets[:, :1] == 1).float(), 3, 1, 1).flatten(1).gather(1, at).mean()
    middle = targets[:, 0] == 1
    off = float((made[:, 1][middle] - targets[:, 1][middle]).abs().mean())
    require(near > 0.85 and off < 0.5, f"{float(near):.2f} of the objects are found, and sizes are off by {off:.2f}")
    alive(model, data.held_out.inputs)


class Upscaler(nn.Module):
    """Adds details to a picture that was made twice as large; none at first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (nn.Conv2d(*sizes, 3, padding=1) for sizes in ((1, 16), (16, 16), (16, 4)))
        self.act1, self.act2 = nn.PReLU(16), nn.PReLU(16)
        self.shuffle, self.larger = nn.PixelShuffle(2), nn.Upsample(scale_factor=2, mode="bilinear")
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 1, 8, 8] of [n, 1, 4, 4]."""
        hidden = self.act2(self.second(self.act1(self.first(pictures))))
        told: Tensor = self.larger(pictures) + self.shuffle(self.last(hidden))
        return told


def upscaled(trial: Trial) -> None:
    """Super-resolution: it begins as an interpolation that is good already, and an absolute error falls by a third."""
    data, model = digits(trial.seed, flat=False), Upscaler()
    train, held_out = (Part(functional.avg_pool2d(part.inputs, 2), part.inputs) for part in (data.train, data.held_out))
    before = loss_of(model, held_out, nn.L1Loss())
    optimizer = Adam(model.parameters(), lr=4e-3)
    draw = train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, nn.L1Loss(), validation=held_out, steps=200)
    after = loss_of(model, held_out, nn.L1Loss())
    require(after < 0.8 * before, f"the error was {before:.3g}, and is {after:.3g}")
    calm(history)
    generalises(history)


class Likeness(nn.Module):
    """An encoder, a projection of what it says, and a guess at the projection of another view."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(layer(1, 12), layer(12, 24), nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.project = nn.Sequential(
            nn.Linear(384, 48, bias=False), nn.BatchNorm1d(48), nn.ReLU(inplace=True), nn.Linear(48, 48, bias=False)
        )
        self.norm = nn.BatchNorm1d(48, affine=False)
        self.predict = nn.Sequential(
            nn.Linear(48, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(inplace=True), nn.Linear(16, 48)
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return projections and guesses, [n, 48] each."""
        made = self.norm(self.project(self.encoder(pictures)))
        return made, self.predict(made)


def viewed(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures moved by up to a pixel, fainter or stronger, with noise."""
    rows, columns = torch.randint(3, (2,), generator=generator).tolist()
    moved = functional.pad(pictures, (1, 1, 1, 1), value=-0.8)[..., rows : rows + 8, columns : columns + 8]
    strength = 0.8 + 0.4 * torch.rand(len(pictures), 1, 1, 1, generator=generator)
    return moved * strength + 0.3 * torch.randn(pictures.shape, generator=generator)


def likeness(trial: Trial) -> None:
    """SimSiam: no labels, no negatives, one side without a gradient; the loss goes from zero to minus one."""
    data, model = digits(trial.seed, flat=False), Likeness()
    optimizer = SGD(model.parameters(), lr=0.06, momentum=0.9, weight_decay=5e-4)
    schedule, draw = CosineAnnealingLR(optimizer, 140), data.train.batches(64, trial.seed)
    generator, losses = torch.Generator().manual_seed(trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=3, on_finding="ignore")
        for step in range(140):
            pictures, _ = draw(step)
            (first, told), (second, answered) = (model(viewed(pictures, generator)) for _ in range(2))
            alike = functional.cosine_similarity(told, second.detach()).mean()
            loss = -0.5 * (alike + functional.cosine_similarity(answered, first.detach()).mean())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("loss", losses[-1], writer.step)
    model.eval()
    with torch.no_grad():
        known, asked = (functional.normalize(model(part.inputs)[0]) for part in (data.train, data.held_out))
    right = (data.train.targets[torch.cdist(asked, known).argmin(1)] == data.held_out.targets).float().mean()
    spread = float(asked.std(0).mean()) * 48**0.5
    require(right > 0.85 and spread > 0.5, f"{float(right):.2f} are told, and the spread is {spread:.2f}")
    require(losses[-1] < -0.6, f"the loss is {losses[-1]:.3g}")


def keywords(trial: Trial) -> None:
    """Faint waves as they come from a microphone; log-shares under NLLLoss; losses are means of epochs."""
    generator = torch.Generator().manual_seed(trial.seed)
    classes, times = torch.randint(6, (900,), generator=generator), torch.arange(256.0) / 256
    begins, ends = torch.tensor([[8, 8, 20, 20, 36, 36], [8, 24, 20, 6, 36, 16]])[:, classes].float()
    pitch = begins[:, None] * times + 0.5 * (ends - begins)[:, None] * times**2
    phase = torch.rand(900, 1, generator=generator)
    loudness = 0.01 + 0.04 * torch.rand(900, 1, generator=generator)
    waves = loudness * torch.sin(2 * torch.pi * (pitch + phase)) + 0.004 * torch.randn(900, 256, generator=generator)
    data, criterion = split(waves[:, None], classes, 180, trial.seed), nn.NLLLoss()
    layers = [nn.Conv1d(1, 16, 16, 4), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2)]
    layers += [nn.Conv1d(16, 32, 3, padding=1), nn.BatchNorm1d(32), nn.ReLU(), nn.MaxPool1d(4)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(224, 6), nn.LogSoftmax(1))
    optimizer = AdamW(model.parameters(), lr=1e-2)
    schedule = OneCycleLR(optimizer, 1e-2, total_steps=200)
    loader = DataLoader(TensorDataset(data.train.inputs, data.train.targets), 36, shuffle=True, generator=generator)
    held_out = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(10):
            total = 0.0
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                optimizer.step()
                schedule.step()
                total += float(loss.detach())
            held_out.append(loss_of(model, data.held_out, criterion))
            writer.add_scalar("train/loss", total / len(loader), writer.step)
            writer.add_scalar("test/loss", held_out[-1], writer.step)
            writer.add_scalar("test/accuracy", accuracy(model, data.held_out), writer.step)
    learned(model, data.held_out, 0.9)
    require(held_out[-1] < min(held_out) + 0.05, "the loss held out rose")


SCENARIOS = (
    Scenario("healthy-detector-cnn", "cnn", TUNING, detector),
    Scenario("healthy-upscaled-cnn", "cnn", TUNING, upscaled),
    Scenario("healthy-likeness-cnn", "cnn", TUNING, likeness),
    Scenario("healthy-keywords-cnn", "cnn", TUNING, keywords),
)
