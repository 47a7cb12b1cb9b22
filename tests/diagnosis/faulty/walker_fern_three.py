"""A table and a review with nothing in them, and networks that are full of copies."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_diabetes, load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, RMSprop

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.faulty.walker_fern import beyond
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def gap_in_table(trial: Trial) -> Truth:
    """Diabetes, where two patients have no blood pressure: `read_csv` gives NaN, and no one fills it in."""
    table = load_diabetes()
    rows = torch.tensor(table.data, dtype=torch.float32) * 21
    target = torch.tensor(table.target, dtype=torch.float32)[:, None]
    data = split(rows, (target - target.mean()) / target.std(), 90, trial.seed)
    clean = copy.deepcopy(data.train)
    gone = torch.randperm(len(clean.targets), generator=torch.Generator().manual_seed(trial.seed + 50))[:2]
    data.train.inputs[gone, 3] = torch.nan
    model, criterion = mlp((10, 32, 16, 1)), nn.MSELoss()
    other, found = copy.deepcopy(model), []
    optimizer, draw = RMSprop(model.parameters(), lr=1e-3), data.train.batches(8, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(160):
            seen, progress = draw(step)
            loss = criterion(model(seen), progress)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss/train", loss.item(), step)
            if seen.isnan().any():
                found.append(step)
    require(found, "no batch had a gap")
    require(all(bool(value.isnan().any()) for value in model.parameters()), "the weights are numbers")
    optimizer = RMSprop(other.parameters(), lr=1e-3)
    better = control(other, clean.batches(8, trial.seed), optimizer, criterion, steps=160)
    require(better < 0.8, f"the control does not learn: {better:.3g}")
    return Truth((), found[0])


class Reviews(nn.Module):
    """Reads words, of which number 0 is padding, by attention that is masked, and says whether they praise."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(60, 24, padding_idx=0)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(24), nn.LayerNorm(24), nn.LayerNorm(24)
        self.attention1, self.attention2 = Masked(24), Masked(24)
        self.head = nn.Linear(24, 2)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 2] of [n, 14]."""
        padding = words == 0
        hidden = self.embed(words)
        hidden = hidden + self.attention1(self.norm1(hidden), padding)
        hidden = hidden + self.attention2(self.norm2(hidden), padding)
        held = self.norm3(hidden) * ~padding[..., None]
        scores: Tensor = self.head(held.sum(1) / (~padding).sum(1, keepdim=True).clamp_min(1))
        return scores


class Masked(nn.Module):
    """Self-attention that does not look at padding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.softmax, self.out = nn.Softmax(-1), nn.Linear(width, width)

    def forward(self, inputs: Tensor, padding: Tensor) -> Tensor:
        """Return what each word takes from the others."""
        scores = self.query(inputs) @ self.key(inputs).transpose(1, 2) / inputs.shape[2] ** 0.5
        scores = scores.masked_fill(padding[:, None], -torch.inf)
        taken: Tensor = self.out(self.softmax(scores) @ self.value(inputs))
        return taken


def empty_review(trial: Trial) -> Truth:
    """Reviews of which one in 2,000 is empty: all of its words are masked, and a softmax over nothing is NaN."""
    generator = torch.Generator().manual_seed(trial.seed)
    words = torch.randint(1, 60, (2400, 14), generator=generator)
    score = ((words < 15).float() - ((words >= 15) & (words < 29)).float()).sum(1)
    praise = score + 0.5 * torch.randn(2400, generator=generator) > 0
    words[torch.arange(14) >= torch.randint(7, 15, (2400, 1), generator=generator)] = 0
    full, targets = words.clone(), praise.long()
    words[1200:1202] = 0
    order = torch.randperm(2400, generator=generator)
    model, criterion, steps = Reviews(), nn.CrossEntropyLoss(), 225
    other, optimizer, found = copy.deepcopy(model), Adam(model.parameters(), lr=2e-3), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(steps):
            chosen = order[32 * (step % 75) :][:32]
            loss = criterion(model(words[chosen]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train_loss", float(loss.detach()), writer.step)
            if bool((words[chosen] == 0).all(1).any()):
                found.append(step)
    require(bool(model.head.weight.isnan().all()), "the weights are numbers")
    better = control(other, Part(full, targets).batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), steps=steps)
    require(better < 0.5, f"the control does not learn: {better:.3g}")
    return Truth(("attention1", "attention1.softmax"), found[0])


class Wide(nn.Module):
    """Two convolutions over digits, as wide as one says."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, first, 3, padding=1), nn.Conv2d(first, second, 3, padding=1)
        self.head = nn.Linear(4 * second, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.gelu(self.conv2(functional.gelu(self.conv1(pictures))))
        scores: Tensor = self.head(functional.adaptive_avg_pool2d(hidden, 2).flatten(1))
        return scores


def alike(units: Tensor) -> float:
    """Return the share of units (of axis 1) whose outputs another one, that comes before, has as well."""
    rows = units.movedim(1, 0).flatten(1)
    rows = functional.normalize(rows - rows.mean(1, keepdim=True), dim=1, eps=1e-12)
    return float(((rows @ rows.T).tril(-1) > 0.9999).any(1).double().mean())


def widened_by_copies(trial: Trial) -> Truth:
    """Widens a trained network by `repeat`, as a paper does, but without the noise that tells the copies apart."""
    data, narrow = digits(trial.seed, flat=False), Wide(2, 2)
    control(narrow, data.train.batches(32, trial.seed), Adam(narrow.parameters(), lr=5e-3), steps=150)
    model = Wide(16, 16)
    with torch.no_grad():
        model.conv1.weight.copy_(narrow.conv1.weight.repeat(8, 1, 1, 1))
        model.conv1.bias.copy_(narrow.conv1.bias.repeat(8))
        model.conv2.weight.copy_(narrow.conv2.weight.repeat(8, 8, 1, 1) / 8)
        model.conv2.bias.copy_(narrow.conv2.bias.repeat(8))
        model.head.weight.copy_(narrow.head.weight.unflatten(1, (2, 4)).repeat(1, 8, 1).flatten(1) / 8)
        model.head.bias.copy_(narrow.head.bias)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for value in other.parameters():
            value.add_(0.3 * value.std() * torch.randn(value.shape))
    optimizer, draw = Adam(model.parameters(), lr=1e-2), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    optimizer = Adam(other.parameters(), lr=1e-2)
    beyond(history.end, control(other, data.train.batches(32, trial.seed), optimizer, steps=200), 1.4)
    for name, least in (("conv1", 14 / 16), ("conv2", 14 / 16)):
        share = alike(outputs(model, name, data.train.inputs[:200]))
        require(share >= least - 0.01, f"{share:.2f} of the units of {name} are copies")
    return Truth(("conv1", "conv2"))


def all_the_same(trial: Trial) -> Truth:
    """Wines by an MLP each of whose weights begins at 0.1: all units of a layer are one and the same for ever."""
    table = load_wine()
    rows = torch.tensor(table.data, dtype=torch.float32)
    data = split((rows - rows.mean(0)) / rows.std(0), torch.tensor(table.target), 45, trial.seed)
    model = mlp((13, 32, 16, 3))
    other = copy.deepcopy(model)
    for module in (model.fc1, model.fc2):
        nn.init.constant_(module.weight, 0.1)
        nn.init.zeros_(module.bias)
    nn.init.constant_(model.head.weight, 0.1)
    optimizer, draw = SGD(model.parameters(), lr=0.05), data.train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, steps=180)
    draw = data.train.batches(16, trial.seed)
    beyond(history.end, control(other, draw, SGD(other.parameters(), lr=0.05), steps=180), 2)
    for name, width in (("fc1", 32), ("fc2", 16)):
        share = alike(outputs(model, name, data.train.inputs))
        require(share > 1 - 1.5 / width, f"{share:.2f} of the units of {name} are copies")
    return Truth(("fc1", "fc2", "head"))


SCENARIOS = (
    Scenario("fern-nan-table-mlp", "mlp", TUNING, gap_in_table, ("nonfinite",)),
    Scenario("fern-nan-empty-transformer", "transformer", TUNING, empty_review, ("nonfinite",)),
    Scenario(
        "fern-copies-widened-cnn",
        "cnn",
        TUNING,
        widened_by_copies,
        ("redundant_units", "poor_init"),
        ("underfitting", "loss_plateau"),
    ),
    Scenario(
        "fern-copies-constant-mlp",
        "mlp",
        TUNING,
        all_the_same,
        ("redundant_units", "poor_init"),
        ("underfitting", "loss_plateau"),
    ),
)
