"""Meters, molecules, cultivars and tongues: states that add up, sums over neighbours, rates that never get going."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR

from tests.diagnosis.data import Part, language, split
from tests.diagnosis.proof import accuracy, double, loss_of, require, widened
from tests.diagnosis.scenario import REPORTING, Scenario, Trial, Truth
from tests.diagnosis.training import Criterion, control, evaluate, fit


def growth(model: nn.Module, modules: Sequence[str], part: Part, criterion: Criterion) -> float:
    """Return how much larger the gradient is at the first output of these modules than at the last, in float64."""
    precise, made = double(model), list[Tensor]()

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        output.retain_grad()
        made.append(output)

    for name in modules:
        precise.get_submodule(name).register_forward_hook(keep)
    criterion(precise(widened(part.inputs)), widened(part.targets)).backward()
    sizes = [float(0 if output.grad is None else output.grad.norm()) for output in (made[0], made[-1])]
    return sizes[0] / max(sizes[1], 1e-300)


class Meter(nn.Module):
    """Reads a load curve with a cell of its own, whose state is leaky or only ever adds up."""

    def __init__(self, *, leaky: bool) -> None:
        super().__init__()
        self.cell, self.head, self.leaky = nn.Linear(3 + 32, 32), nn.Linear(32, 1), leaky

    def forward(self, curve: Tensor) -> Tensor:
        """Return what comes next, [n, 1], of [n, hours, 3]."""
        state = curve.new_zeros(len(curve), 32)
        for hour in range(curve.shape[1]):
            made = self.cell(torch.cat([curve[:, hour], state], 1))
            state = 0.7 * state + 0.3 * torch.tanh(made) if self.leaky else state + functional.relu(made)
        told: Tensor = self.head(state)
        return told


def loads(seed: int, hours: int = 48) -> Part:
    """Return what houses drew in so many hours, with the time of the day, [n, hours, 3], and what they draw next."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(hours + 1) * torch.pi / 12
    habit = torch.randn(600, 4, generator=generator)
    phase = time + habit[:, 3:]
    drawn = habit[:, :1] * phase.sin() + 0.5 * habit[:, 1:2] * (2 * phase).cos() + 0.5 * habit[:, 2:3]
    drawn = drawn + 0.1 * torch.randn(600, hours + 1, generator=generator)
    clock = torch.stack([time.sin(), time.cos()], 1).expand(600, -1, -1)
    rows = torch.cat([drawn[..., None], clock], 2)
    return Part(rows[:, :hours], drawn[:, hours:])


def meters(trial: Trial) -> Truth:
    """A residual connection through time, `h = h + relu(cell([x, h]))`, over two days of hours."""
    torch.manual_seed(trial.seed)
    data, criterion, model = loads(trial.seed), nn.MSELoss(), Meter(leaky=False)
    other = Meter(leaky=True)
    other.load_state_dict(model.state_dict())
    first = growth(model, ["cell"], data.first(64), criterion)
    optimizer = RMSprop(model.parameters(), lr=1e-3)
    draw, losses = data.batches(32, trial.seed), list[float]()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(160):
            curve, following = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(curve), following)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], step)
    better = control(other, data.batches(32, trial.seed), RMSprop(other.parameters(), lr=1e-3), criterion, steps=160)
    end = sum(losses[-16:]) / 16
    require(first > 1e3, f"gradients grow only {first:.3g}-fold through time")
    require(end > 3 * better, f"{end:.3g} is not above {better:.3g}")
    return Truth(("cell",))


class Molecules(nn.Module):
    """Seven layers that add up what neighbours say, or take the mean of it; then the atoms' mean is read out."""

    def __init__(self, *, mean: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Linear(8 if layer == 0 else 32, 32) for layer in range(7))
        self.readout, self.mean = nn.Linear(32, 1), mean

    def forward(self, graphs: Tensor) -> Tensor:
        """Return a property [n, 1] of graphs [n, atoms, 8 + atoms], features and edges side by side."""
        atoms, edges = graphs[..., :8], graphs[..., 8:]
        if self.mean:
            edges = edges / edges.sum(2, keepdim=True)
        for conv in self.convs:
            atoms = functional.relu(conv(edges @ atoms))
        told: Tensor = self.readout(atoms.mean(1))
        return told


def compounds(seed: int, atoms: int = 20) -> Part:
    """Return dense graphs with features, [n, atoms, 8 + atoms], and what their kinds of atoms make of them, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(8, (500, atoms), generator=generator)
    favoured = torch.rand(500, 1, generator=generator) < 0.5
    kinds = torch.where(favoured & (torch.rand(500, atoms, generator=generator) < 0.4), 0, kinds)
    upper = (torch.rand(500, atoms, atoms, generator=generator) < 0.5).float().triu(1)
    edges = upper + upper.transpose(1, 2) + torch.eye(atoms)
    worth = torch.randn(8, generator=generator)
    worth[0] = 2.0
    total = worth[kinds].mean(1, keepdim=True)
    features = functional.one_hot(kinds, 8).float()
    return Part(torch.cat([features, edges], 2), (total - total.mean()) / total.std())


def sums(trial: Trial) -> Truth:
    """Seven layers of a graph network that add up over ten neighbours each, with nothing that divides."""
    torch.manual_seed(trial.seed)
    data, criterion, model = compounds(trial.seed), nn.SmoothL1Loss(), Molecules(mean=False)
    other = Molecules(mean=True)
    other.load_state_dict(model.state_dict())
    names = [f"convs.{layer}" for layer in range(7)]
    first = growth(model, names, data.first(100), criterion)
    optimizer = AdamW(model.parameters(), lr=3e-3)
    history = fit(trial, model, data.batches(25, trial.seed), optimizer, criterion, steps=200, every=2)
    better = control(other, data.batches(25, trial.seed), AdamW(other.parameters(), lr=3e-3), criterion, steps=200)
    require(first > 1e3, f"gradients grow only {first:.3g}-fold through depth")
    require(history.end > 1.5 * better, f"{history.end:.3g} is not above {better:.3g}")
    return Truth(tuple(names))


def cultivars(trial: Trial) -> Truth:
    """`scheduler.step()` after every batch with a factor that was meant for epochs: the rate is gone in fifty steps."""
    torch.manual_seed(trial.seed)
    raw = load_wine()
    rows = torch.tensor(raw.data, dtype=torch.float32)
    data = split((rows - rows.mean(0)) / rows.std(0), torch.tensor(raw.target), 40, trial.seed)
    model = nn.Sequential(nn.Linear(13, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))
    other, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    optimizer = SGD(model.parameters(), lr=0.005, momentum=0.9)
    schedule = ExponentialLR(optimizer, 0.9)
    draw, losses = data.train.batches(16, trial.seed), list[float]()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(260):
            rows, kinds = draw(step)
            loss = criterion(model(rows), kinds)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], step)
    optimizer = SGD(other.parameters(), lr=0.005, momentum=0.9)
    control(other, data.train.batches(16, trial.seed), optimizer, steps=260)
    found, better = loss_of(model, data.train), loss_of(other, data.train)
    require(found > 3 * better, f"{found:.3g} is not above {better:.3g}")
    held, known = loss_of(model, data.held_out), loss_of(other, data.held_out)
    require(held > 2 * known, f"{held:.3g} is not above {known:.3g} of what is held out")
    return Truth((), 15, 70)


class Speaker(nn.Module):
    """A small language model of PyTorch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(20, 32), nn.Embedding(16, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 20, length] of what follows each of [n, length]."""
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], dtype=self.head.weight.dtype)
        hidden = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        scores: Tensor = self.head(self.body(hidden, mask=mask, is_causal=True)).transpose(1, 2)
        return scores


def warming(trial: Trial) -> Truth:
    """The schedule of the paper with its warm-up of thousands of steps, for a run of three hundred."""
    torch.manual_seed(trial.seed)
    data, model, criterion = language(trial.seed), Speaker(), nn.CrossEntropyLoss()
    other = copy.deepcopy(model)
    optimizer = Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    schedule = LambdaLR(optimizer, lambda step: 32**-0.5 * min((step + 1) ** -0.5, (step + 1) * 16000**-1.5))
    draw = data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(280):
            tokens, following = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(tokens), following)
            loss.backward()
            optimizer.step()
            schedule.step()
            writer.add_scalar("loss/train", loss.item(), step)
            if step % 40 == 39:
                writer.add_scalar("loss/val", evaluate(model, criterion, data.held_out), step)
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), steps=280)
    found, better = loss_of(model, data.held_out), loss_of(other, data.held_out)
    require(found > 1.4 * better, f"{found:.3g} is not above {better:.3g}")
    right, could = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(right < could - 0.15, f"{right:.3g} is not below {could:.3g}")
    return Truth()


SCENARIOS = (
    Scenario(
        "cress-meters-rnn",
        "rnn",
        REPORTING,
        meters,
        ("exploding_gradient",),
        ("loss_spike", "loss_oscillation", "poor_init", "loss_plateau", "lr_too_high", "dead_units", "redundant_units"),
    ),
    Scenario(
        "cress-sums-gnn",
        "gnn",
        REPORTING,
        sums,
        ("exploding_gradient",),
        (
            *("poor_init", "loss_spike", "loss_oscillation", "lr_too_high", "oversmoothing", "dead_units"),
            *("loss_plateau", "redundant_units", "representation_collapse"),
        ),
    ),
    Scenario(
        "cress-cultivars-mlp",
        "mlp",
        REPORTING,
        cultivars,
        ("lr_too_low",),
        ("loss_plateau", "underfitting", "layer_not_training"),
    ),
    Scenario(
        "cress-warming-transformer",
        "transformer",
        REPORTING,
        warming,
        ("lr_too_low",),
        ("loss_plateau", "underfitting", "layer_not_training"),
    ),
)
