"""Healthy networks over pictures: one that sees a single one, depths, patches as convolutions, and what moves."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.healthy.stranger_pictures import layer
from tests.diagnosis.networks import Residual
from tests.diagnosis.proof import alive, calm, double, generalises, learned, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, evaluate, fit


def painting(seed: int) -> Tensor:
    """Return a smooth picture [1, 1, 24, 24] from 0 to 1: waves that go several ways, and two discs."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    picture = torch.zeros(24, 24)
    for _ in range(3):
        down, right, phase = torch.rand(3, generator=generator).tolist()
        picture += 0.5 * torch.sin(0.5 * down * rows + 0.5 * right * columns + 6 * phase)
    for row, column in (6 + 12 * torch.rand(2, 2, generator=generator)).tolist():
        picture += torch.sigmoid(5 - ((rows - row).square() + (columns - column).square()).sqrt() * 1.2)
    return ((picture - picture.min()) / (picture.max() - picture.min()))[None, None]


def single_picture(trial: Trial) -> None:
    """Deep image prior: one picture, half of whose pixels are gone, is drawn from the same noise at every step."""
    generator = torch.Generator().manual_seed(trial.seed)
    picture, known = painting(trial.seed), torch.rand(1, 1, 24, 24, generator=generator) < 0.5
    noise = 0.1 * torch.rand(1, 8, 12, 12, generator=generator)
    model = nn.Sequential(
        *(layer(8, 16), layer(16, 16), nn.Upsample(scale_factor=2, mode="bilinear"), layer(16, 16)),
        *(nn.Conv2d(16, 1, 1), nn.Sigmoid()),
    )
    optimizer, losses = Adam(model.parameters(), lr=1e-2), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=4, on_finding="ignore")
        for _ in range(260):
            made = model(noise)
            loss = (made - picture)[known].square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("mse", losses[-1], writer.step)
    gone = float((model(noise) - picture)[~known].square().mean() / picture.var())
    require(gone < 0.15, f"of what is gone {gone:.2f} of the variance is not drawn")
    alive(model, noise)
    calm(History(losses, {}))


def logarithmic(made: Tensor, depths: Tensor) -> Tensor:
    """Return the root of the scale-invariant error of logarithms of depths, where there is a depth."""
    seen = depths > 0
    apart = made[seen] - depths[seen].log()
    return (apart.square().mean() - 0.85 * apart.mean().square() + 1e-6).sqrt()


class Depths(nn.Module):
    """An encoder with a way around, and a decoder that says the logarithm of how far each pixel is away."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = layer(1, 16), nn.Sequential(layer(16, 24, 2), layer(24, 24))
        self.up, self.join = nn.Upsample(scale_factor=2, mode="bilinear"), layer(40, 16)
        self.depth = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 1, 16, 16]."""
        fine = self.fine(pictures)
        told: Tensor = self.depth(self.join(torch.cat([fine, self.up(self.coarse(fine))], 1)))
        return told


def depths(trial: Trial) -> None:
    """Depths of a street in fog, in metres, where the laser gave any: of a third of the pixels there is none."""
    generator, count = torch.Generator().manual_seed(trial.seed), 400
    far = 30 * torch.rand(count, 1, 1, generator=generator) + 10
    away = (far * torch.linspace(1, 0.2, 16)[:, None]).expand(count, 16, 16).clone()
    for number, (row, column) in enumerate(torch.randint(0, 11, (count, 2), generator=generator).tolist()):
        away[number, row : row + 5, column : column + 5] = away[number, row + 4, column].clone() * 0.6
    colour = 1 + 0.15 * torch.randn(count, 16, 16, generator=generator)
    seen = colour * (1 - (-away / 20).exp())
    measured = torch.where(torch.rand(count, 16, 16, generator=generator) < 0.33, 0.0, away)
    pictures = (seen - seen.mean()) / seen.std()
    data, model = split(pictures[:, None], measured[:, None], 80, trial.seed), Depths()
    optimizer, draw = AdamW(model.parameters(), lr=3e-3), data.train.batches(12, trial.seed)
    schedule = CosineAnnealingLR(optimizer, 150)
    history = fit(
        trial,
        model,
        draw,
        optimizer,
        logarithmic,
        validation=data.held_out,
        schedule=schedule,
        steps=150,
        every=3,
    )
    with torch.no_grad():
        made = double(model).eval()(data.held_out.inputs.double()).exp()
    known = data.held_out.targets > 0
    off = float(((made - data.held_out.targets).abs() / data.held_out.targets.clamp_min(1))[known].mean())
    require(off < 0.15, f"depths are off by {off:.3f} of what they are")
    alive(model, data.held_out.inputs)
    generalises(history)


def patches_as_convolutions(trial: Trial) -> None:
    """ConvMixer: depthwise convolutions with a way around, labels smoothed, pictures with noise; epochs are logged."""
    data, criterion = digits(trial.seed, flat=False), nn.CrossEntropyLoss(label_smoothing=0.1)
    parts: list[nn.Module] = [nn.Conv2d(1, 32, 2, stride=2), nn.GELU(), nn.BatchNorm2d(32)]
    for _ in range(3):
        mixing = nn.Sequential(nn.Conv2d(32, 32, 3, groups=32, padding="same"), nn.GELU(), nn.BatchNorm2d(32))
        parts += [Residual(mixing), nn.Conv2d(32, 32, 1), nn.GELU(), nn.BatchNorm2d(32)]
    model = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    optimizer, draw = AdamW(model.parameters(), lr=5e-3, weight_decay=0.02), data.train.batches(48, trial.seed)
    schedule, history = CosineAnnealingLR(optimizer, 150), History([], {})
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=4, on_finding="ignore")
        for epoch in range(6):
            for step in range(25):
                pictures, classes = draw(step)
                loss = criterion(model(pictures + 0.3 * torch.randn_like(pictures)), classes)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                history.train.append(float(loss.detach()))
            history.validation[25 * epoch] = evaluate(model, criterion, data.held_out)
            writer.add_scalars(
                "loss", {"train": sum(history.train[-25:]) / 25, "val": history.validation[25 * epoch]}, epoch
            )
            writer.add_scalar("lr", optimizer.param_groups[0]["lr"], epoch)
    learned(model, data.held_out, 0.93)
    calm(history)
    generalises(history)


class Frames(nn.Module):
    """A convolutional LSTM that says after each frame what the next one will be, beginning with the same."""

    def __init__(self, width: int = 10) -> None:
        super().__init__()
        self.gates, self.head, self.width = (
            nn.Conv2d(1 + width, 4 * width, 3, padding=1, padding_mode="circular"),
            nn.Conv2d(width, 1, 1),
            width,
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Return scores [n, frames, 8, 8] of frames [n, frames, 8, 8]."""
        hidden = cell = frames.new_zeros(len(frames), self.width, 8, 8)
        told = []
        for frame in frames.unbind(1):
            enter, forget, leave, new = self.gates(torch.cat([frame[:, None], hidden], 1)).chunk(4, 1)
            cell = (forget + 1).sigmoid() * cell + enter.sigmoid() * new.tanh()
            hidden = leave.sigmoid() * cell.tanh()
            told.append(4 * frame - 3 + self.head(hidden)[:, 0])
        return torch.stack(told, 1)


def frames(trial: Trial) -> None:
    """Squares that fly straight on: where one will be is not to be known after a single frame, and is after two."""
    generator, count, spots = torch.Generator().manual_seed(trial.seed), 800, torch.arange(8)
    places = torch.randint(8, (count, 1, 2), generator=generator)
    speeds = torch.randint(-1, 2, (count, 1, 2), generator=generator)
    corners = (places + speeds * torch.arange(7)[:, None]) % 8
    inside = ((spots - corners[..., None]) % 8 < 3).float()
    films = inside[:, :, 0, :, None] * inside[:, :, 1, None]
    data, model, criterion = split(films[:, :4], films[:, 1:5], 160, trial.seed), Frames(), nn.BCEWithLogitsLoss()
    optimizer, draw = Adam(model.parameters(), lr=2e-2), data.train.batches(10, trial.seed)
    history = fit(
        trial, model, draw, optimizer, criterion, validation=data.held_out.first(60), clip=1.0, every=6, steps=150
    )
    with torch.no_grad():
        said = double(model).eval()(data.held_out.inputs.double())[:, 1:] > 0
    ink = data.held_out.targets[:, 1:] > 0
    share = float((said & ink).sum() / (said | ink).sum())
    require(share > 0.7, f"the intersection is {share:.2f} of the union")
    calm(history)
    generalises(history)


class Bags(nn.Module):
    """Looks at all pictures of a bag, lets them look at one another, and asks them by one query that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32))
        self.among, self.norm1 = nn.MultiheadAttention(32, 4, batch_first=True), nn.LayerNorm(32)
        self.seed, self.pool = (
            nn.Parameter(torch.randn(1, 1, 32) / math.sqrt(32)),
            nn.MultiheadAttention(32, 4, batch_first=True),
        )
        self.norm2, self.drop, self.head = nn.LayerNorm(32), nn.Dropout(0.3), nn.Linear(32, 1)

    def forward(self, bags: Tensor) -> Tensor:
        """Return scores [n, 1] of bags [n, pictures, 64]."""
        hidden = self.drop(self.enter(bags))
        hidden = self.norm1(hidden + self.among(hidden, hidden, hidden, need_weights=False)[0])
        asked = self.pool(self.seed.expand(len(bags), -1, -1), hidden, hidden, need_weights=False)[0][:, 0]
        scores: Tensor = self.head(self.drop(self.norm2(asked)))
        return scores


def bags(trial: Trial) -> None:
    """Which bags have a 7 among six pictures: nobody says which one it is, and for long it seems that nothing helps."""
    data, generator = digits(trial.seed), torch.Generator().manual_seed(trial.seed)

    def packed(part: Part, count: int) -> Part:
        chosen = torch.randint(len(part.targets), (count, 6), generator=generator)
        return Part(part.inputs[chosen], (part.targets[chosen] == 7).any(1, keepdim=True).float())

    train, held_out = packed(data.train, 4000), packed(data.held_out, 400)
    model, criterion, drawn = Bags(), nn.BCEWithLogitsLoss(), train.batches(48, trial.seed)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        packs, told = drawn(step)
        return packs + 0.5 * torch.randn(packs.shape, generator=generator), told

    optimizer = AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    history = fit(trial, model, draw, optimizer, criterion, validation=held_out, every=4, steps=200)
    with torch.no_grad():
        right = float(((model.eval()(held_out.inputs) > 0) == (held_out.targets > 0)).float().mean())
    require(right > 0.88, f"of the bags {right:.2f} are right")
    alive(model, held_out.inputs)
    calm(history, 0.5)
    generalises(history)


SCENARIOS = (
    Scenario("healthy-single-picture-cnn", "cnn", TUNING, single_picture),
    Scenario("healthy-depths-cnn", "cnn", TUNING, depths),
    Scenario("healthy-conv-mixer-cnn", "cnn", TUNING, patches_as_convolutions),
    Scenario("healthy-frames-lstm", "rnn", TUNING, frames),
    Scenario("healthy-bags-transformer", "transformer", TUNING, bags),
)
