"""Pumps, molecules, flats and cells: two loops that clip nearly all away, and two losses that don't fit."""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, RMSprop

from tests.diagnosis.data import Part, Split, split
from tests.diagnosis.proof import double, gradients, loss_of, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial, Truth
from tests.diagnosis.training import Criterion, History, control, fit


def throttled(model: nn.Module, part: Part, criterion: Criterion, clip: float, norms: list[float]) -> None:
    """Raise NotProvenError unless gradients were above what is let through at all steps, and are in float64."""
    share = sum(norm > clip for norm in norms) / len(norms)
    require(share > 0.98, f"{share:.2f} of the steps were clipped")
    sizes = dict(model.named_parameters())
    squares = sum(size**2 * sizes[name].numel() for name, size in gradients(model, part, criterion).items())
    require(squares**0.5 > 3 * clip, f"the norm is {squares**0.5:.3g} at the end, and {clip:g} is let through")


class Pump(nn.Module):
    """A GRU over what three sensors say, and a head over its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 32, batch_first=True), nn.Linear(32, 4)

    def forward(self, readings: Tensor) -> Tensor:
        """Return scores [n, 4] of [n, time, 3]."""
        scores: Tensor = self.head(self.rnn(readings)[0].mean(1))
        return scores


def sensors(seed: int, count: int = 1000) -> Split:
    """Return what three sensors of a pump say, [n, 30, 3], and which of four states it is in."""
    generator = torch.Generator().manual_seed(seed)
    state = torch.randint(4, (count,), generator=generator)
    time = torch.arange(30)
    phase = 6.3 * torch.rand(count, 1, generator=generator)
    beat = (torch.tensor([0.3, 0.7, 1.2, 1.8])[state][:, None] * time + phase).sin()
    drift = (state % 2)[:, None] * time / 15 - 0.5
    noise = 0.4 * torch.randn(count, 30, 3, generator=generator)
    return split(torch.stack([beat, drift, beat.roll(2, 1)], 2) + noise, state, 200, seed)


def pump(trial: Trial) -> Truth:
    """What ails a pump, by a GRU with SGD; gradients "exploded once", so that they are clipped to a norm of 0.01."""
    torch.manual_seed(trial.seed)
    data, model, criterion = sensors(trial.seed), Pump(), nn.CrossEntropyLoss()
    other, draw, norms, history = copy.deepcopy(model), data.train.batches(32, trial.seed), [], History([], {})
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            scores = model(inputs)
            loss = criterion(scores, targets)
            optimizer.zero_grad()
            loss.backward()
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.01)))
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("train/loss", history.train[-1], writer.step)
            writer.add_scalar("train/acc", float((scores.argmax(1) == targets).float().mean()), writer.step)
    throttled(model, data.train, criterion, 0.01, norms)
    optimizer = SGD(other.parameters(), lr=0.1, momentum=0.9)
    better = control(other, data.train.batches(32, trial.seed), optimizer, steps=300, clip=5.0)
    require(history.end > 1.5 * better, f"the loss ends at {history.end:.3g}, and clipped at 5 at {better:.3g}")
    return Truth()


class Molecule(nn.Module):
    """Passes messages along bonds three times, and adds up over atoms; a row is of an atom: 6 features, its bonds."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Linear(6, 32)
        self.messages = nn.ModuleList(nn.Sequential(nn.Linear(64, 32), nn.ReLU()) for _ in range(3))
        self.read = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, atoms: Tensor) -> Tensor:
        """Return energies [n, 1] of [n, atoms, 6 + atoms]."""
        hidden, bonds = self.lift(atoms[..., :6]), atoms[..., 6:]
        for message in self.messages:
            hidden = hidden + message(torch.cat([hidden, bonds @ hidden / 2], 2))
        energy: Tensor = self.read(hidden.mean(1))
        return energy


def molecules(seed: int, count: int = 700, atoms: int = 10) -> Split:
    """Return rings of ten atoms with a few further bonds, and their energies, standardised."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(6, (count, atoms), generator=generator)
    upper = (torch.rand(count, atoms, atoms, generator=generator) < 0.1).float().triu(2)
    ring = torch.eye(atoms).roll(1, 0)
    bonds = (upper + upper.transpose(1, 2) + ring + ring.T).clamp(max=1)
    own, pair = torch.randn(6, generator=generator), torch.randn(6, 6, generator=generator)
    energy = own[kinds].sum(1) + 0.5 * (bonds * (pair + pair.T)[kinds[:, :, None], kinds[:, None]]).sum((1, 2))
    rows = torch.cat([functional.one_hot(kinds, 6).float(), bonds], 2)
    return split(rows, ((energy - energy.mean()) / energy.std())[:, None], 100, seed)


def energies(trial: Trial) -> Truth:
    """Energies of molecules: the loss is a sum over the batch, the rate small for that, and the norm clipped at 1."""
    torch.manual_seed(trial.seed)
    data, model, criterion = molecules(trial.seed), Molecule(), nn.MSELoss(reduction="sum")
    other, norms = copy.deepcopy(model), []
    total = nn.utils.get_total_norm

    def note(_step: int) -> None:
        norms.append(float(total([value.grad for value in model.parameters() if value.grad is not None])))

    optimizer, draw = SGD(model.parameters(), lr=2e-4, momentum=0.9), data.train.batches(64, trial.seed)
    history = fit(
        trial, model, draw, optimizer, criterion, clip=1.0, steps=260, backward=note, validation=data.held_out, every=2
    )
    throttled(model, data.train.first(64), criterion, 1.0, norms)
    optimizer = SGD(other.parameters(), lr=2e-4, momentum=0.9)
    better = control(other, data.train.batches(64, trial.seed), optimizer, criterion, steps=260)
    require(history.end > 1.5 * better, f"the loss ends at {history.end:.3g}, and unclipped at {better:.3g}")
    return Truth()


class Flat(nn.Module):
    """What a flat uses in a day, by twelve numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 64), nn.SiLU(), nn.Linear(64, 32), nn.SiLU())
        self.use = nn.Linear(32, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return [n, 1]."""
        used: Tensor = self.use(self.body(rows))
        return used


def flats(trial: Trial) -> Truth:
    """What flats use: outputs are [n, 1] and targets [n], so that MSELoss compares each flat with all the others."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    rows = torch.randn(1500, 12, generator=generator)
    used = rows[:, 0] * (1 + 0.5 * rows[:, 1]) + rows[:, 2].clamp_min(0) + 0.2 * torch.randn(1500, generator=generator)
    data = split(rows, (used - used.mean()) / used.std(), 300, trial.seed)
    model, criterion, draw = Flat(), nn.MSELoss(), data.train.batches(40, trial.seed)
    other, optimizer = copy.deepcopy(model), RMSprop(model.parameters(), lr=1e-3)
    with trial.writer() as writer, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        writer.watch(model, optimizer, criterion, every=None, on_finding="ignore")
        for step in range(320):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss/train", loss.item(), writer.step)
            if step % 25 == 24:
                with torch.no_grad():
                    error = criterion(model(data.held_out.inputs), data.held_out.targets)
                writer.add_scalar("Loss/test", error.item(), writer.step)
    fitting = data.train.batches(40, trial.seed)

    def column(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = fitting(step)
        return inputs, targets[:, None]

    control(other, column, RMSprop(other.parameters(), lr=1e-3), criterion, steps=320)
    held_out = Part(data.held_out.inputs, data.held_out.targets[:, None])
    should, does = (loss_of(one, held_out, criterion) for one in (other, model))
    require(does > 0.8 and should < 0.3, f"the error is {does:.3g}, and {should:.3g} with targets [n, 1]")
    with torch.no_grad():
        spread = float(double(model)(held_out.inputs.double()).std())
    require(spread < 0.3, f"predictions still differ by {spread:.3g}")
    return Truth(("use",))


class Cells(nn.Module):
    """Finds cells in pictures [n, 1, 20, 20]: down by two, and up again with a skip."""

    def __init__(self, *, squashed: bool) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 10, 3, padding=1), nn.BatchNorm2d(10), nn.ReLU())
        self.middle = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(10, 20, 3, padding=1), nn.BatchNorm2d(20), nn.ReLU())
        self.up = nn.ConvTranspose2d(20, 10, 2, stride=2)
        self.mask = nn.Conv2d(20, 1, 1)
        self.out: nn.Module = nn.Sigmoid() if squashed else nn.Identity()

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 1, 20, 20]."""
        fine = self.down(pictures)
        mask: Tensor = self.out(self.mask(torch.cat([fine, self.up(self.middle(fine)).relu()], 1)))
        return mask


def slides(seed: int, count: int = 400) -> Split:
    """Return pictures with two discs, some of them faint, and where these are."""
    generator = torch.Generator().manual_seed(seed)
    at = torch.arange(20.0)
    masks = torch.zeros(count, 20, 20)
    for _cell in range(2):
        middle = 3 + 14 * torch.rand(count, 2, 1, 1, generator=generator)
        size = 2 + 1.5 * torch.rand(count, 1, 1, generator=generator)
        far = (at[:, None] - middle[:, 0]).square() + (at - middle[:, 1]).square()
        masks = torch.maximum(masks, (far < size**2).float())
    shine = 1 + torch.rand(count, 1, 1, generator=generator)
    pictures = masks * shine + 0.4 * torch.randn(count, 20, 20, generator=generator)
    return split(pictures[:, None], masks[:, None], 80, seed)


def cells(trial: Trial) -> Truth:
    """A small U-Net for cells whose forward ends in a sigmoid, and whose loss is BCEWithLogitsLoss."""
    torch.manual_seed(trial.seed)
    data, criterion = slides(trial.seed), nn.BCEWithLogitsLoss()
    model, other = Cells(squashed=True), Cells(squashed=False)
    other.load_state_dict(model.state_dict())
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, steps=200, every=2)
    better = control(other, data.train.batches(16, trial.seed), Adam(other.parameters(), lr=3e-3), criterion, steps=200)
    require(history.end > 3 * better, f"the loss ends at {history.end:.3g}, and at {better:.3g} without the sigmoid")
    overlaps = []
    for one in (model, other):
        with torch.no_grad():
            found = double(one).eval()(data.held_out.inputs.double()).sigmoid() > 0.5
        known = data.held_out.targets > 0
        overlaps.append(float((found & known).sum() / (found | known).sum()))
    require(overlaps[0] < 0.3 and overlaps[1] > 0.7, f"overlaps are {overlaps}")
    return Truth(("out", "mask"))


SLOW = ("lr_too_low", "loss_plateau", "underfitting")
SCENARIOS = (
    Scenario("bramble-pump-gru", "rnn", REPORTING, pump, ("clip_saturated",), SLOW),
    Scenario("bramble-energies-gnn", "gnn", REPORTING, energies, ("clip_saturated",), SLOW),
    Scenario(
        "bramble-flats-mlp",
        "mlp",
        REPORTING,
        flats,
        ("wrong_output_or_loss",),
        ("loss_plateau", "underfitting", "representation_collapse"),
    ),
    Scenario(
        "bramble-cells-cnn",
        "cnn",
        REPORTING,
        cells,
        ("wrong_output_or_loss",),
        ("saturation", "loss_plateau", "class_imbalance"),
    ),
)
