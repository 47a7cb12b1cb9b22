"""Losses that jump - wrong units, a last batch of two, words numbered anew - and rates that are far too small."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR

from tests.diagnosis.data import Part, digits, language, split
from tests.diagnosis.faulty.pilot_clover import clearly
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import double, loss_of, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def jumps(losses: list[float], at: int, ratio: float) -> None:
    """Raise NotProvenError unless the loss at a step, or just after it, is so many times that of the ten before."""
    usual, top = sum(losses[at - 10 : at]) / 10, max(losses[at : at + 3])
    require(top > ratio * usual, f"{top:.3g} at {at} is not {ratio:g} times {usual:.3g}")


def strength(seed: int) -> Part:
    """Return eight amounts of what is in a mixture, [n, 8], and how strong it gets, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    amounts = torch.randn(1500, 8, generator=generator)
    strong = amounts[:, 0] * amounts[:, 1] + amounts[:, 2].abs() - (2 * amounts[:, 3]).sin() + 0.5 * amounts[:, 4]
    return Part(amounts, strong[:, None] + 0.1 * torch.randn(1500, 1, generator=generator))


def milligrams(trial: Trial) -> Truth:
    """Rows of one laboratory, read at steps 130 and 190, give milligrams for grams in a column: the loss leaps."""
    data, held_out, criterion = strength(trial.seed), strength(trial.seed + 100), nn.MSELoss()
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    other, draw, losses = copy.deepcopy(model), data.batches(32, trial.seed), []
    optimizer = Adam(model.parameters(), lr=5e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(260):
            amounts, strong = draw(step)
            if step in (130, 190):
                amounts[:4, 2] *= 300
            optimizer.zero_grad()
            loss = criterion(model(amounts), strong)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], step)
    jumps(losses, 130, 10)
    control(other, data.batches(32, trial.seed), Adam(other.parameters(), lr=5e-3), criterion, steps=260)
    clearly(loss_of(model, held_out, criterion), loss_of(other, held_out, criterion))
    return Truth((), 130, 132)


class Glyphs(nn.Module):
    """Two convolutions and a hidden layer, each normalised over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.conv2, self.bn2 = nn.Conv2d(12, 24, 3, padding=1, stride=2), nn.BatchNorm2d(24)
        self.fc1, self.bn3, self.fc2 = nn.Linear(384, 48), nn.BatchNorm1d(48), nn.Linear(48, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.relu(self.bn1(self.conv1(pictures)))
        hidden = functional.relu(self.bn2(self.conv2(hidden)))
        hidden = functional.relu(self.bn3(self.fc1(hidden.flatten(1))))
        scores: Tensor = self.fc2(hidden)
        return scores


def last_batch(trial: Trial) -> Truth:
    """`DataLoader(batch_size=35)` of 1437 pictures without `drop_last`: each epoch ends in a BatchNorm over two."""
    data, model, criterion = digits(trial.seed, flat=False), Glyphs(), nn.CrossEntropyLoss()
    other = copy.deepcopy(model)
    optimizer, losses, usual = SGD(model.parameters(), lr=0.05, momentum=0.9), [], []
    generator = torch.Generator().manual_seed(trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(6):
            for chosen in torch.randperm(len(data.train.targets), generator=generator).split(35):
                optimizer.zero_grad()
                loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    ends = losses[83::42]
    for epoch in range(1, 6):
        usual += losses[42 * epoch + 20 : 42 * epoch + 41]
    clearly(sum(ends) / len(ends), max(sum(usual) / len(usual), 0.05), 5)
    whole = SGD(other.parameters(), lr=0.05, momentum=0.9)
    clearly(sum(losses[-84:]) / 84, control(other, data.train.batches(35, trial.seed), whole, steps=252))
    precise = double(model).train()
    with torch.no_grad():
        pairs = [criterion(precise(part.double()), told) for part, told in pairs_of(data.train, 2)]
        many = [criterion(precise(part.double()), told) for part, told in pairs_of(data.train, 35)]
    clearly(float(torch.stack(pairs).mean()), float(torch.stack(many).mean()), 5)
    return Truth((), 41, 83)


def pairs_of(data: Part, size: int) -> list[tuple[Tensor, Tensor]]:
    """Return twenty batches of a size."""
    return [data.batches(size, number)(0) for number in range(20)]


class Words(nn.Module):
    """Two encoder layers that look back alone, and the next word."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(30, 32), nn.Parameter(0.02 * torch.randn(16, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 30)
        self.register_buffer("later", torch.ones(16, 16, dtype=torch.bool).triu(1))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 30, 16]."""
        hidden = self.encoder(self.embed(tokens) + self.place, mask=self.later)
        scores: Tensor = self.head(hidden).transpose(1, 2)
        return scores


def resumed(trial: Trial) -> Truth:
    """A job goes on at step 180, and `list(set(words))` numbers its words anew: the weights know other numbers."""
    data, model, criterion = language(trial.seed, states=30), Words(), nn.CrossEntropyLoss()
    anew = torch.randperm(30, generator=torch.Generator().manual_seed(trial.seed))
    other, optimizer, losses = copy.deepcopy(model), AdamW(model.parameters(), lr=3e-3), []
    draw = data.train.batches(48, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(205):
            inputs, targets = draw(step)
            if step >= 180:
                inputs, targets = anew[inputs], anew[targets]
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], writer.step)
    jumps(losses, 180, 2.5)
    control(other, data.train.batches(48, trial.seed), AdamW(other.parameters(), lr=3e-3), steps=205)
    held_out = Part(anew[data.held_out.inputs], anew[data.held_out.targets])
    clearly(loss_of(model, held_out), loss_of(other, data.held_out), 1.2)
    return Truth((), 180, 182)


def tuned_rate(trial: Trial) -> Truth:
    """Wines, and a rate of 2e-5 that was copied from a guide to fine-tuning BERT; here everything is new."""
    rows, sort = load_wine(return_X_y=True)
    inputs = torch.tensor((rows - rows.mean(0)) / rows.std(0), dtype=torch.float32)
    data, criterion = split(inputs, torch.tensor(sort), 50, trial.seed), nn.CrossEntropyLoss()
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
    other, before = copy.deepcopy(model), snapshot(model)
    optimizer, draw = AdamW(model.parameters(), lr=2e-5), data.train.batches(16, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            scores = model(inputs)
            loss = criterion(scores, targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss/train", loss.item(), step)
            writer.add_scalar("Accuracy/train", (scores.argmax(1) == targets).float().mean().item(), step)
            if step % 25 == 24:
                writer.add_scalar("Loss/val", evaluate(model, criterion, data.held_out), step)
    apart = sum(float((value.detach() - before[name]).square().sum()) for name, value in model.named_parameters())
    share = (apart / sum(float(value.square().sum()) for value in before.values())) ** 0.5
    require(share < 0.05, f"the weights moved by {share:.3f} of themselves")
    control(other, data.train.batches(16, trial.seed), AdamW(other.parameters(), lr=2e-3), criterion, steps=300)
    clearly(loss_of(model, data.held_out), loss_of(other, data.held_out), 3)
    return Truth()


class Motion(nn.Module):
    """Two GRU layers over an accelerometer, and what the wearer does."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.norm, self.head = nn.GRU(3, 24, 2, batch_first=True), nn.LayerNorm(24), nn.Linear(24, 5)

    def forward(self, signal: Tensor) -> Tensor:
        """Return scores [n, 5] of [n, 24, 3]."""
        scores: Tensor = self.head(self.norm(self.gru(signal)[0].mean(1)))
        return scores


def motions(seed: int, count: int = 1200) -> Part:
    """Return signals [n, 24, 3] of five frequencies and shapes, and which it is."""
    generator = torch.Generator().manual_seed(seed)
    sort = torch.randint(5, (count,), generator=generator)
    pace = (0.3 + 0.25 * sort)[:, None, None] * torch.arange(24)[:, None]
    start = 6.3 * torch.rand(count, 1, 3, generator=generator)
    return Part((pace + start).sin() + 0.4 * torch.randn(count, 24, 3, generator=generator), sort)


def stepped_each_batch(trial: Trial) -> Truth:
    """`ExponentialLR(gamma=0.9)` is meant for epochs, but steps with each batch: after eighty nothing moves."""
    data, held_out, model, criterion = (
        motions(trial.seed),
        motions(trial.seed + 100, 300),
        Motion(),
        nn.CrossEntropyLoss(),
    )
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=5e-3)
    schedule, draw = ExponentialLR(optimizer, gamma=0.9), data.batches(48, trial.seed)
    kept: list[dict[str, Tensor]] = []

    def look(step: int) -> None:
        if step == 100:
            kept.append(snapshot(model))

    history = fit(
        trial, model, draw, optimizer, criterion, schedule=schedule, validation=held_out, after=look, every=2, steps=300
    )
    largest = max(float((value.detach() - kept[0][name]).abs().max()) for name, value in model.named_parameters())
    require(largest < 1e-5, f"a weight still moved by {largest:.3g} after step 100")
    better = control(other, data.batches(48, trial.seed), Adam(other.parameters(), lr=5e-3), criterion, steps=300)
    clearly(history.end, better, 2)
    return Truth((), 10, 150)


def long_warmup(trial: Trial) -> Truth:
    """A warm-up of 10,000 steps is taken over from the paper into a run of 240: the rate never gets to be one."""
    data, model = language(trial.seed), Transformer(20, 20, each=True, width=32)
    other, optimizer = copy.deepcopy(model), AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    schedule = LambdaLR(optimizer, lambda step: (step + 1) / 10_000)
    draw = data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, schedule=schedule, clip=1.0, validation=data.held_out, every=None, steps=240)
    control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=1e-3), steps=240, clip=1.0)
    clearly(loss_of(model, data.held_out), loss_of(other, data.held_out), 1.8)
    return Truth()


SLOW = ("loss_plateau", "underfitting", "layer_not_training")
SCENARIOS = (
    Scenario(
        "clover-spike-milligrams-mlp",
        "mlp",
        TUNING,
        milligrams,
        ("loss_spike", "input_unnormalised"),
        ("exploding_gradient", "dead_units"),
    ),
    Scenario("clover-spike-last-batch-cnn", "cnn", TUNING, last_batch, ("loss_spike",), ("loss_oscillation",)),
    Scenario(
        "clover-spike-resumed-transformer", "transformer", TUNING, resumed, ("loss_spike",), ("exploding_gradient",)
    ),
    Scenario("clover-slow-wine-mlp", "mlp", TUNING, tuned_rate, ("lr_too_low",), SLOW),
    Scenario("clover-slow-schedule-gru", "rnn", TUNING, stepped_each_batch, ("lr_too_low",), SLOW),
    Scenario("clover-slow-warmup-transformer", "transformer", TUNING, long_warmup, ("lr_too_low",), SLOW),
)
