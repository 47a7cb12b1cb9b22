"""A point forgotten, a batch without an object, and readings that differ once it counts."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.faulty.caller_dune import harmed
from tests.diagnosis.faulty.caller_dune_two import surpassed
from tests.diagnosis.networks import Block, mlp
from tests.diagnosis.proof import accuracy, double, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def typed(trial: Trial) -> Truth:
    """One patient of 342 whose outcome was typed without its decimal point: 151 in place of 1.51, say."""
    torch.manual_seed(trial.seed)
    patients = load_diabetes()
    known = torch.tensor(patients.data, dtype=torch.float32) * 21
    outcome = torch.tensor(patients.target, dtype=torch.float32)[:, None] / 100
    clean = split(known, outcome, 100, trial.seed)
    wrong = clean.train.targets.clone()
    row = int((clean.train.targets - 1.5).abs().argmin())
    wrong[row] *= 100
    model, criterion = mlp((10, 48, 24, 1)), nn.MSELoss()
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses: list[float] = []
    bad: list[int] = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(16):
            order = torch.randperm(342, generator=torch.Generator().manual_seed(100 * trial.seed + epoch))
            for rows in order.split(18):
                if row in rows.tolist():
                    bad.append(len(losses))
                loss = criterion(model(clean.train.inputs[rows]), wrong[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                writer.add_scalar("train/mse", loss.item(), writer.step)
            writer.add_scalar("val/mse", loss_of(model, clean.held_out, criterion), writer.step)
    control(
        other, clean.train.batches(18, trial.seed), SGD(other.parameters(), lr=0.01, momentum=0.9), criterion, steps=304
    )
    usual, least = sorted(losses)[len(losses) // 2], min(losses[step] for step in bad)
    require(least > 100 * usual, f"a spike of {least:.3g} is not far above {usual:.3g}")
    harmed(loss_of(model, clean.held_out, criterion), loss_of(other, clean.held_out, criterion))
    return Truth((), bad[0], next(step for step in bad if step > 40))


class Spots(nn.Module):
    """Says for each of the sixteen cells of a picture whether there is a cross in it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.body = nn.Sequential(nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Conv2d(24, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 4, 4] of [n, 1, 16, 16]."""
        scores: Tensor = self.head(self.body(self.stem(pictures)))[:, 0]
        return scores


def crosses(seed: int, count: int = 1200) -> tuple[Tensor, Tensor]:
    """Return noisy pictures, [n, 1, 16, 16], with squares and few crosses, and the cells of the latter, [n, 4, 4]."""
    generator = torch.Generator().manual_seed(seed)
    cross = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
    square = torch.tensor([[1.0, 1, 1], [1, 0, 1], [1, 1, 1]])
    chance = torch.rand(count, 4, 4, generator=generator)
    there, decoy = chance < 0.03, chance > 0.9
    cells = torch.zeros(count, 4, 4, 4, 4)
    cells[..., :3, :3] = there[..., None, None] * cross + decoy[..., None, None] * square
    pictures = cells.permute(0, 1, 3, 2, 4).reshape(count, 1, 16, 16)
    return pictures + 0.3 * torch.randn(pictures.shape, generator=generator), there.float()


def per_object(scores: Tensor, there: Tensor) -> Tensor:
    """Return the loss by object, as in a detector."""
    return functional.binary_cross_entropy_with_logits(scores, there, reduction="sum") / there.sum().clamp_min(1)


def no_object(trial: Trial) -> Truth:
    """A detector whose loss is divided by the number of objects plus 0.01: some batches of eight have none."""
    torch.manual_seed(trial.seed)
    data, model = split(*crosses(trial.seed), 300, trial.seed), Spots()
    other, losses, bad = copy.deepcopy(model), [], []
    optimizer, draw = RMSprop(model.parameters(), lr=2e-3), data.train.batches(8, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(320):
            pictures, there = draw(step)
            scores = model(pictures)
            loss = functional.binary_cross_entropy_with_logits(scores, there, reduction="sum") / (there.sum() + 0.01)
            writer.observe(outputs=scores, targets=there, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if there.sum() == 0:
                bad.append(step)
            writer.add_scalar("loss/train", loss.item(), writer.step)
    usual, spike = max(losses[max(0, bad[0] - 20) : bad[0]]), losses[bad[0]]
    require(spike > 4 * usual, f"a spike of {spike:.3g} is not far above {usual:.3g}")
    control(other, data.train.batches(8, trial.seed), RMSprop(other.parameters(), lr=2e-3), per_object, steps=320)
    harmed(loss_of(model, data.held_out, per_object), loss_of(other, data.held_out, per_object))
    return Truth((), bad[0], bad[2])


class Scanner(nn.Module):
    """Convolutions with BatchNorm over digits."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.Conv2d(12, 24, 3, padding=1),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(384, 10))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        scores: Tensor = self.classifier(self.features(pictures))
        return scores


def another_transform(trial: Trial) -> Truth:
    """`ToTensor` and `Normalize` are in the transform of the training set; that of the test set lacks them."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed, flat=False), Scanner(), nn.CrossEntropyLoss()
    bare = Part(16 * (6.02 * data.held_out.inputs + 4.88), data.held_out.targets)
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            model.train()
            pictures, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(pictures), targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("loss/val", evaluate(model, criterion, bare), writer.step)
                writer.add_scalar("acc/val", accuracy(model, bare), writer.step)
                model.train()
    surpassed(accuracy(model, bare), accuracy(model, data.held_out), 0.04)
    does, should = loss_of(model, bare), loss_of(model, data.held_out)
    require(does > 50 * should, f"the loss is {does:.3f} on raw pictures, and {should:.3f} on normalised ones")
    return Truth((), 0, 39)


class Gauge(nn.Module):
    """Normalises six sensors by BatchNorm, and reads their last twelve hours with a transformer."""

    def __init__(self, momentum: float) -> None:
        super().__init__()
        self.norm, self.lift = nn.BatchNorm1d(6, momentum=momentum), nn.Linear(6, 24)
        self.place = nn.Parameter(0.02 * torch.randn(12, 24))
        self.block, self.head = Block(24), nn.Linear(24, 1)

    def forward(self, hours: Tensor) -> Tensor:
        """Return [n, 1] of [n, 12, 6]."""
        hidden = self.lift(self.norm(hours.transpose(1, 2)).transpose(1, 2)) + self.place
        told: Tensor = self.head(self.block(hidden).mean(1))
        return told


def sensors(seed: int, count: int = 1400) -> tuple[Tensor, Tensor]:
    """Return readings of sensors in their own units, [n, 12, 6], and what they tell together, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    walk = torch.randn(count, 12, 6, generator=generator).cumsum(1) / 2.5
    known = walk[:, -1, :1] + 0.7 * walk[..., 1].mean(1, keepdim=True) * walk[:, -1, 2:3].tanh()
    units, zero = torch.tensor([1.0, 12, 4, 0.5, 30, 3]), torch.tensor([20.0, 100, -8, 2, 240, 7])
    return walk * units + zero, (known - known.mean()) / known.std()


def stale(trial: Trial) -> Truth:
    """`nn.BatchNorm1d(6, momentum=0.001)`, taken for Keras's 0.999: what evaluation uses hardly leaves 0 and 1."""
    torch.manual_seed(trial.seed)
    data, model, criterion = split(*sensors(trial.seed), 280, trial.seed), Gauge(0.001), nn.MSELoss()
    other = Gauge(0.1)
    other.load_state_dict(model.state_dict())
    draw, optimizer = data.train.batches(40, trial.seed), AdamW(model.parameters(), lr=2e-3)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, steps=240)
    control(other, data.train.batches(40, trial.seed), AdamW(other.parameters(), lr=2e-3), criterion, steps=240)
    does, should = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(
        does > 3 * max(should, history.end), f"held out {does:.3f}, {should:.3f} by 0.1, in training {history.end:.3f}"
    )
    means = data.train.inputs.mean((0, 1))
    off = float(((double(model).get_submodule("norm").get_buffer("running_mean") - means) / means).abs().min())
    require(off > 0.5, f"the running means are off by {off:.2f} of the means")
    return Truth(("norm",), 0, 39)


SCENARIOS = (
    Scenario(
        "dune-typed-mlp",
        "mlp",
        TUNING,
        typed,
        ("loss_spike",),
        ("label_noise", "exploding_gradient", "lr_too_high", "loss_oscillation", "loss_plateau", "dead_units"),
    ),
    Scenario(
        "dune-objects-cnn",
        "cnn",
        TUNING,
        no_object,
        ("loss_spike", "wrong_output_or_loss"),
        ("exploding_gradient", "class_imbalance", "dead_units", "loss_plateau", "underfitting", "lr_too_high"),
    ),
    Scenario("dune-transform-cnn", "cnn", TUNING, another_transform, ("train_eval_mismatch",), ("input_unnormalised",)),
    Scenario("dune-stale-transformer", "transformer", TUNING, stale, ("train_eval_mismatch",), ("input_unnormalised",)),
)
