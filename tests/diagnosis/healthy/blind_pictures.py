"""Healthy networks over pictures as notebooks have them: classes, labels, boxes, joints and regions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR
from torch.utils.data import DataLoader, TensorDataset

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.healthy.stranger_pictures import layer
from tests.diagnosis.proof import accuracy, alive, calm, generalises, loss_of, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, fit


def shuffled(part: Part, size: int, seed: int) -> DataLoader[tuple[Tensor, ...]]:
    """Return what gives batches of all samples, in another order each epoch."""
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(TensorDataset(part.inputs, part.targets), size, shuffle=True, generator=generator)


def notebook(trial: Trial) -> None:
    """A competition's first notebook: biases before batch norm, much dropout, and means of epochs by their number."""
    data, criterion, history = digits(trial.seed, flat=False), nn.CrossEntropyLoss(), History([], {})
    parts: list[nn.Module] = []
    for inputs, made in ((1, 8), (8, 16)):
        for first in (inputs, made):
            parts += [nn.Conv2d(first, made, 3, padding=1), nn.BatchNorm2d(made), nn.ReLU()]
        parts += [nn.MaxPool2d(2), nn.Dropout(0.1)]
    model = nn.Sequential(*parts, nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.4), nn.Linear(64, 10))
    optimizer, loader = Adam(model.parameters(), lr=2e-3), shuffled(data.train, 48, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=3, on_finding="ignore")
        for epoch in range(7):
            for inputs_, targets in loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs_), targets)
                loss.backward()
                optimizer.step()
                history.train.append(float(loss.detach()))
            history.validation[epoch] = loss_of(model, data.held_out)
            writer.add_scalar("Loss/train", sum(history.train[-len(loader) :]) / len(loader), epoch)
            writer.add_scalar("Loss/val", history.validation[epoch], epoch)
            writer.add_scalar("Accuracy/val", accuracy(model, data.held_out), epoch)
    sound(model, data.held_out, 0.95, history)


class Stage(nn.Module):
    """Two convolutions, and a way around them that is as wide and as coarse."""

    def __init__(self, inputs: int, made: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            layer(inputs, made, stride), nn.Conv2d(made, made, 3, padding=1, bias=False), nn.BatchNorm2d(made)
        )
        self.around = nn.Sequential(nn.Conv2d(inputs, made, 1, stride, bias=False), nn.BatchNorm2d(made))
        self.act = nn.ReLU(inplace=True)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, made, height / stride, width / stride]."""
        made: Tensor = self.act(self.body(pictures) + self.around(pictures))
        return made


def stages(trial: Trial) -> None:
    """A small ResNet as it is in textbooks: Nesterov's momentum, weight decay, and a tenth of the rate twice."""
    data = digits(trial.seed, flat=False)
    model = nn.Sequential(
        layer(1, 8), Stage(8, 16, 1), Stage(16, 24, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)
    )
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = MultiStepLR(optimizer, [90, 135], 0.1)
    draw = data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, schedule=schedule, steps=160, every=3)
    sound(model, data.held_out, 0.95, history)


def pairs(trial: Trial) -> None:
    """Labels of pictures: which digits are in it. Most of ten are absent, so that the first fall is a cheap one."""
    data, generator = digits(trial.seed, flat=False), torch.Generator().manual_seed(trial.seed)

    def both(part: Part, count: int) -> Part:
        one, other = torch.randint(len(part.targets), (2, count), generator=generator)
        told = functional.one_hot(part.targets[one], 10) | functional.one_hot(part.targets[other], 10)
        return Part(torch.cat([part.inputs[one], part.inputs[other]], 3), told.float())

    train, held_out, criterion = both(data.train, 2400), both(data.held_out, 400), nn.BCEWithLogitsLoss()
    model = nn.Sequential(layer(1, 12), layer(12, 32, 2), layer(32, 40), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    model.append(nn.Linear(40, 10))
    optimizer, draw = AdamW(model.parameters(), lr=4e-3, weight_decay=0.01), train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=held_out, steps=220, every=4)
    with torch.no_grad():
        said = model.eval()(held_out.inputs) > 0
    right = float((said == held_out.targets.bool()).all(1).float().mean())
    require(right > 0.6, f"of {right:.2f} of the pictures both digits are told")
    alive(model, held_out.inputs)
    calm(history)
    generalises(history)


class Boxes(nn.Module):
    """Says what is in a picture, and where: a body, and two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(layer(1, 16, 2), layer(16, 32), layer(32, 32))
        self.classes = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 10))
        self.box = nn.Sequential(layer(32, 8, 2), nn.Flatten(), nn.Linear(128, 4), nn.Sigmoid())

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores [n, 10] and boxes [n, 4], in shares of the picture, of [n, 1, 16, 16]."""
        hidden = self.body(pictures)
        return self.classes(hidden), self.box(hidden)


def placed(inputs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return pictures [n, 1, 16, 16] of digits of some size; their middles, and widths and heights [n, 4]."""
    sizes = 0.5 + 0.25 * torch.rand(len(inputs), 2, generator=generator)
    middles = sizes / 2 + (1 - sizes) * torch.rand(len(inputs), 2, generator=generator)
    turns = torch.cat([torch.diag_embed(1 / sizes), ((1 - 2 * middles) / sizes)[..., None]], 2)
    grid = functional.affine_grid(turns, [len(inputs), 1, 16, 16], align_corners=False)
    pictures = functional.grid_sample(inputs + 1, grid, align_corners=False) - 1
    return pictures + 0.1 * torch.randn(pictures.shape, generator=generator), torch.cat([middles, sizes], 1)


def boxes(trial: Trial) -> None:
    """One object to a picture: its class by entropy, its box by a smooth absolute error; three losses are logged."""
    data, model, generator = digits(trial.seed, flat=False), Boxes(), torch.Generator().manual_seed(trial.seed)
    optimizer, draw = Adam(model.parameters(), lr=6e-3), data.train.batches(32, trial.seed)
    schedule = CosineAnnealingLR(optimizer, 200)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=4, on_finding="ignore")
        for step in range(200):
            inputs, classes = draw(step)
            pictures, told = placed(inputs, generator)
            scores, box = model(pictures)
            what = functional.cross_entropy(scores, classes)
            where = functional.smooth_l1_loss(box, told, beta=0.1)
            optimizer.zero_grad()
            (what + 5 * where).backward()
            optimizer.step()
            schedule.step()
            writer.add_scalar("train/cls_loss", what.detach(), writer.step)
            writer.add_scalar("train/box_loss", where.detach(), writer.step)
            writer.add_scalar("train/loss", (what + 5 * where).detach(), writer.step)
    pictures, told = placed(data.held_out.inputs, generator)
    with torch.no_grad():
        scores, box = model.eval()(pictures)
    right, off = (
        float((scores.argmax(1) == data.held_out.targets).float().mean()),
        16 * float((box - told).abs().mean()),
    )
    require(right > 0.88 and off < 1, f"{right:.2f} of the classes are right, and boxes are off by {off:.2f} pixels")
    alive(model, pictures)


def joints(trial: Trial) -> None:
    """Heat maps of three joints: nearly all of the targets are zero, and a loss of a hundredth is one to learn from."""
    generator, count = torch.Generator().manual_seed(trial.seed), 640
    rows, columns = torch.randint(2, 14, (2, count, 3), generator=generator)
    points = functional.one_hot(16 * rows + columns, 256).view(count, 3, 16, 16).float()
    cells = torch.arange(-2.0, 3.0)
    away = cells[:, None].square() + cells.square()
    looks = torch.stack([(away < 3).float(), (away > 3).float(), (cells[:, None] * cells == 0).float()])
    pictures = functional.conv2d(points, looks[None], padding=2)
    heat = functional.conv2d(points, (-away / 2).exp().expand(3, 1, 5, 5), padding=2, groups=3)
    data = split(pictures + 0.2 * torch.randn(pictures.shape, generator=generator), heat, 120, trial.seed)
    model = nn.Sequential(layer(1, 12), layer(12, 16), layer(16, 12), nn.Conv2d(12, 3, 1))
    optimizer, draw = Adam(model.parameters(), lr=4e-3), data.train.batches(12, trial.seed)
    history = fit(trial, model, draw, optimizer, nn.MSELoss(), validation=data.held_out, steps=200, every=2)
    with torch.no_grad():
        said = model.eval()(data.held_out.inputs).flatten(2).argmax(2)
    told = data.held_out.targets.flatten(2).argmax(2)
    apart = ((said // 16 - told // 16).abs() + (said % 16 - told % 16).abs()).float()
    require((apart <= 1).float().mean() > 0.8, f"{float((apart <= 1).float().mean()):.2f} of the joints are found")
    alive(model, data.held_out.inputs)
    calm(history)
    generalises(history)


class Regions(nn.Module):
    """A class for each pixel, and in training another opinion from half way, which is thrown away afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Sequential(layer(1, 16), layer(16, 16)), nn.Sequential(layer(16, 32, 2))
        self.third = nn.Sequential(layer(32, 32), nn.Upsample(scale_factor=2, mode="bilinear"))
        self.head, self.aux = nn.Conv2d(48, 4, 1), nn.Conv2d(16, 4, 1)

    def forward(self, pictures: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return scores [n, 4, 16, 16], two of them in training."""
        fine = self.first(pictures)
        scores: Tensor = self.head(torch.cat([fine, self.third(self.second(fine))], 1))
        return (scores, self.aux(fine)) if self.training else scores


def regions(trial: Trial) -> None:
    """Streets in small: rims of things belong to no class and do not count, one class is rare and weighs more."""
    generator = torch.Generator().manual_seed(trial.seed)
    pictures, classes = 0.3 * torch.randn(400, 1, 16, 16, generator=generator), torch.zeros(400, 16, 16).long()
    for number in range(400):
        kinds = [1, 2] if torch.rand((), generator=generator) < 0.7 else [1, 3]
        for kind in kinds:
            high, wide = torch.randint(5, 9, (2,), generator=generator).tolist() if kind < 3 else (4, 4)
            top, left = torch.randint(0, 16 - max(high, wide), (2,), generator=generator).tolist()
            texture = torch.tensor([[1.5, 1.5], [1.8, -1.8], [-1.5, -1.5]])[kind - 1]
            pictures[number, 0, top : top + high, left : left + wide] += (
                texture.repeat(4)[:wide] if kind == 2 else texture[0]
            )
            classes[number, top : top + high, left : left + wide] = 255
            classes[number, top + 1 : top + high - 1, left + 1 : left + wide - 1] = kind
    data = split(pictures, classes, 80, trial.seed)
    model, weights = Regions(), torch.tensor([0.5, 1, 1, 5])
    optimizer, draw = AdamW(model.parameters(), lr=3e-3), data.train.batches(12, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(150):
            inputs, targets = draw(step)
            losses = [functional.cross_entropy(made, targets, weights, ignore_index=255) for made in model(inputs)]
            optimizer.zero_grad()
            (losses[0] + 0.4 * losses[1]).backward()
            optimizer.step()
            writer.add_scalar("loss/main", losses[0].detach(), writer.step)
            writer.add_scalar("loss/aux", losses[1].detach(), writer.step)
    model.eval()
    with torch.no_grad():
        said, told = model(data.held_out.inputs).argmax(1), data.held_out.targets
    shares = [float((said[told == one] == one).float().mean()) for one in range(4)]
    require(min(shares) > 0.8, f"of the pixels of the classes {shares} are told")
    alive(model, data.held_out.inputs)


SCENARIOS = (
    Scenario("healthy-notebook-cnn", "cnn", TUNING, notebook),
    Scenario("healthy-stages-cnn", "cnn", TUNING, stages),
    Scenario("healthy-pairs-cnn", "cnn", TUNING, pairs),
    Scenario("healthy-boxes-cnn", "cnn", TUNING, boxes),
    Scenario("healthy-joints-cnn", "cnn", TUNING, joints),
    Scenario("healthy-regions-cnn", "cnn", TUNING, regions),
)
