"""Digits, dictionaries and masks: units that die, and losses that stay where they are."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.proof import loss_of, require, silent
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def behind(given: float, better: float, times: float = 1.3) -> None:
    """Raise NotProvenError unless a loss is so many times that of the training without the fault."""
    require(given > times * better, f"{given:.4g} is not {times:g} times {better:.4g}")


def epochs(part: Part, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches without end, each epoch of them in an order of its own."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        for chosen in torch.randperm(len(part.targets), generator=generator).split(size):
            if len(chosen) == size:
                yield part.inputs[chosen], part.targets[chosen]


def steady(losses: list[float], share: float = 0.1) -> int:
    """Return the first step from which on the mean of ten losses stays within a share of the fall, or of the end."""
    means = [sum(losses[at : at + 10]) / 10 for at in range(len(losses) - 9)]
    near = share * max(means[0] - means[-1], means[-1])
    return max((at + 1 for at, mean in enumerate(means) if mean > means[-1] + near), default=0)


class Net(nn.Module):
    """Two convolutions and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.act1, self.act2, self.act3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.pool, self.fc1, self.fc2 = nn.MaxPool2d(2), nn.Linear(32 * 4, 64), nn.Linear(64, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = self.pool(self.act1(self.conv1(pictures)))
        hidden = self.pool(self.act2(self.conv2(hidden))).flatten(1)
        scores: Tensor = self.fc2(self.act3(self.fc1(hidden)))
        return scores


def mute(model: nn.Module, names: tuple[str, ...], inputs: Tensor) -> dict[str, float]:
    """Return by activation the share of units that fire for none of the inputs."""
    return {name: float(silent(model, name, inputs).double().mean()) for name in names}


def reached(held: dict[int, float], share: float) -> int:
    """Return the step from which on so many units are dead to the end."""
    return max((step for step, dead in held.items() if dead < share), default=0)


def stuck_digits(trial: Trial) -> Truth:
    """Digits by a small CNN with Adam at 0.1, a rate taken over from SGD: within a few steps its ReLUs die."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), Net()
    other, held = copy.deepcopy(model), {}

    def look(step: int) -> None:
        if step % 5 == 0 or step == 159:
            held[step] = mute(model, ("act2",), data.train.inputs)["act2"]

    optimizer, draw = Adam(model.parameters(), lr=0.1), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, after=look, every=2, steps=160)
    better = control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=2e-3), steps=160)
    behind(history.end, better, 3)
    require(held[159] > 0.6 and reached(held, 0.5) < 100, f"the shares of dead units are {held}")
    require(mute(other, ("act2",), data.train.inputs)["act2"] < 0.2, "units die without the fault as well")
    return Truth(("conv2", "act2", "fc1", "act3", "conv1"), 0, reached(held, 0.5) + 5)


class Dictionary(nn.Module):
    """A sparse autoencoder over 64 pixels, with 256 units."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.relu, self.decoder = nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return what it makes of them."""
        made: Tensor = self.decoder(self.relu(self.encoder(pixels)))
        return made


def dictionary(trial: Trial) -> Truth:
    """A sparse autoencoder whose L1 penalty on the code is far too large: most of its units never fire again."""
    torch.manual_seed(trial.seed)
    data, model, held = digits(trial.seed), Dictionary(), {}
    other, pictures = copy.deepcopy(model), data.held_out.inputs
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(240):
            pixels, _ = draw(step)
            code = model.relu(model.encoder(pixels))
            mse, l1 = functional.mse_loss(model.decoder(code), pixels), code.abs().sum(1).mean()
            loss = mse + 0.3 * l1
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for name, value in (("loss", loss), ("mse", mse), ("l1", l1)):
                writer.add_scalar(f"train/{name}", value.item(), writer.step)
            if step % 5 == 0 or step == 239:
                held[step] = mute(model, ("relu",), data.train.inputs)["relu"]
    optimizer, draw = Adam(other.parameters(), lr=2e-3), data.train.batches(64, trial.seed)
    for step in range(240):
        optimizer.zero_grad()
        pixels, _ = draw(step)
        code = other.relu(other.encoder(pixels))
        (functional.mse_loss(other.decoder(code), pixels) + 0.003 * code.abs().sum(1).mean()).backward()
        optimizer.step()
    given, better = (loss_of(one, Part(pictures, pictures), nn.MSELoss()) for one in (model, other))
    behind(given, better, 4)
    require(held[239] > 0.8, f"{held[239]:.2f} are dead")
    require(mute(other, ("relu",), data.train.inputs)["relu"] < 0.2, "units die without the fault as well")
    return Truth(("encoder", "relu"), 0, reached(held, 0.6) + 5)


class Rows(nn.Module):
    """Reads a digit row by row, [n, 8, 8], by an LSTM that wants places first."""

    def __init__(self, *, transposed: bool) -> None:
        super().__init__()
        self.lstm, self.fc, self.transposed = nn.LSTM(8, 32), nn.Linear(32, 10), transposed

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        places = pictures.transpose(0, 1) if self.transposed else pictures.reshape(8, len(pictures), 8)
        scores: Tensor = self.fc(self.lstm(places)[0][-1])
        return scores


def view(trial: Trial) -> Truth:
    """`x.view(length, batch, features)` in place of `transpose`: pictures of a batch are mixed, and nothing falls."""
    torch.manual_seed(trial.seed)
    flat, model, other = digits(trial.seed), Rows(transposed=False), Rows(transposed=True)
    other.load_state_dict(model.state_dict())
    train, held_out = (Part(one.inputs.view(-1, 8, 8), one.targets) for one in (flat.train, flat.held_out))
    criterion, losses = nn.CrossEntropyLoss(), []
    optimizer, batches = Adam(model.parameters(), lr=3e-3), epochs(train, 64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            pictures, classes = next(batches)
            optimizer.zero_grad()
            scores = model(pictures)
            loss = criterion(scores, classes)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("train/acc", float((scores.argmax(1) == classes).float().mean()), writer.step)
            if step % 22 == 21:
                writer.add_scalar("val/loss", evaluate(model, criterion, held_out), writer.step)
    draw, optimizer = train.batches(64, trial.seed), Adam(other.parameters(), lr=3e-3)
    behind(sum(losses[-20:]) / 20, control(other, draw, optimizer, steps=220), 3)
    require(min(losses) > 1.9, f"the loss falls to {min(losses):.3g}")
    return Truth((), 0, steady(losses) + 60)


def discs(seed: int) -> Split:
    """Return noisy pictures of a disc and a bar, [n, 1, 16, 16], and where the disc is."""
    generator = torch.Generator().manual_seed(seed)
    across, down = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="xy")
    centre = 3 + 10 * torch.rand(500, 2, 1, 1, generator=generator)
    radius = 2 + 2.5 * torch.rand(500, 1, 1, generator=generator)
    disc = ((across - centre[:, 0]).square() + (down - centre[:, 1]).square() < radius.square()).float()
    bar = ((across + down - 30 * torch.rand(500, 1, 1, generator=generator)).abs() < 1.5).float()
    pictures = torch.maximum(disc, bar) + 0.3 * torch.randn(500, 16, 16, generator=generator)
    return split(pictures[:, None], disc[:, None], 100, seed)


class Twice(nn.Module):
    """Two convolutions with ReLU, normalised before it or not."""

    def __init__(self, inputs: int, made: int, *, norm: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(inputs, made, 3, padding=1), nn.Conv2d(made, made, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(made) for _ in range(2 * norm))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, made, height, width]."""
        for at, layer in enumerate((self.a, self.b)):
            made = layer(pictures)
            pictures = functional.relu(self.norms[at](made) if self.norms else made)
        return pictures


class Masks(nn.Module):
    """Goes down once and up again; says of each pixel whether it is of the disc."""

    def __init__(self, *, norm: bool = False) -> None:
        super().__init__()
        self.down, self.deep, self.up = (Twice(*ends, norm=norm) for ends in ((1, 8), (8, 16), (24, 8)))
        self.out = nn.Conv2d(8, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, 16, 16]."""
        fine = self.down(pictures)
        coarse = functional.interpolate(self.deep(functional.max_pool2d(fine, 2)), scale_factor=2.0)
        scores: Tensor = self.out(self.up(torch.cat([fine, coarse], 1)))
        return scores


def impatient(trial: Trial) -> Truth:
    """`ReduceLROnPlateau` is told the loss of every batch of eight: the rate is soon nothing."""
    torch.manual_seed(trial.seed)
    data, model, criterion, rates = discs(trial.seed), Masks(), nn.BCEWithLogitsLoss(), []
    other, losses, batches = copy.deepcopy(model), [], epochs(data.train, 8, trial.seed)
    optimizer = Adam(model.parameters(), lr=3e-3)
    schedule = ReduceLROnPlateau(optimizer, factor=0.3, patience=3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            pictures, masks = next(batches)
            loss = criterion(model(pictures), masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            schedule.step(losses[-1])
            rates.append(optimizer.param_groups[0]["lr"])
            writer.add_scalar("loss/train", losses[-1], writer.step)
            if step % 40 == 39:
                writer.add_scalar("loss/val", evaluate(model, criterion, data.held_out), writer.step)
    draw, optimizer = data.train.batches(8, trial.seed), Adam(other.parameters(), lr=3e-3)
    control(other, draw, optimizer, criterion, steps=240)
    given, better = (loss_of(one, data.held_out, criterion) for one in (model, other))
    behind(given, better, 2)
    onset = next(step for step, rate in enumerate(rates) if rate < 1e-4)
    require(onset < 150, f"the rate is below 0.0001 from step {onset} only")
    return Truth((), onset, onset + 60)


SCENARIOS = (
    Scenario(
        "cedar-dead-digits-cnn",
        "cnn",
        TUNING,
        stuck_digits,
        ("dead_units", "lr_too_high"),
        ("loss_spike", "loss_plateau", "loss_oscillation", "underfitting", "vanishing_gradient", "exploding_gradient"),
    ),
    Scenario(
        "cedar-dead-dictionary-mlp",
        "mlp",
        TUNING,
        dictionary,
        ("dead_units", "over_regularised"),
        ("underfitting", "loss_plateau"),
    ),
    Scenario(
        "cedar-plateau-view-lstm",
        "rnn",
        TUNING,
        view,
        ("loss_plateau",),
        ("underfitting", "label_noise"),
    ),
    Scenario(
        "cedar-plateau-impatient-cnn",
        "cnn",
        TUNING,
        impatient,
        ("loss_plateau", "lr_too_low"),
        ("underfitting", "class_imbalance", "dead_units"),
    ),
)
