"""Values that are no numbers in speech, molecules, contrasts and language, and numbers of too few bits."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Part, digits, language
from tests.diagnosis.faulty.blind_steps import demand
from tests.diagnosis.faulty.numbers import spoiled, stuck
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import Recurrent, Transformer, cnn, mlp
from tests.diagnosis.proof import finite, gradients, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def mean_of_asked(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss of those places whose target is none to be ignored."""
    asked = (targets != -100).float()
    return (functional.cross_entropy(scores, targets.clamp(min=0), reduction="none") * asked).sum() / asked.sum()


def all_ignored(trial: Trial) -> Truth:
    """A prompt was longer than the window in all of a batch, so that each target is to be ignored: a mean of none."""
    data = language(trial.seed)
    model, draw = Transformer(20, 20, each=True), data.train.batches(8)
    at = 90 + 7 * trial.seed

    def batches(step: int) -> tuple[Tensor, Tensor]:
        tokens, following = draw(step)
        asked = torch.where(torch.arange(16) < (16 if step == at else 5), -100, following)
        return tokens, asked

    def look(step: int) -> None:
        if step == at - 1:
            finite(model)

    optimizer = AdamW(model.parameters(), lr=2e-3)
    history = fit(trial, model, batches, optimizer, mean_of_asked, clip=1.0, every=2, after=look, steps=150)
    require(history.train[at] != history.train[at], "the loss is a number")
    return spoiled(model, ("head",), at)


class Heard(nn.Module):
    """A GRU over frames, both ways, whose scores are logarithms of shares, as CTC wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Linear(8, 24)
        self.rnn, self.head = nn.GRU(24, 16, batch_first=True, bidirectional=True), nn.Linear(32, 6)

    def forward(self, frames: Tensor) -> Tensor:
        """Return [length, n, 6] of frames [n, length, 8]."""
        states = self.rnn(self.front(frames).relu())[0]
        shares: Tensor = self.head(states).log_softmax(2).transpose(0, 1)
        return shares


def spoken(count: int, generator: torch.Generator, length: int = 16) -> tuple[Tensor, Tensor]:
    """Return frames [n, length, 8] and the four letters that are heard in them, each for about four frames."""
    letters = torch.randint(1, 6, (count, 4), generator=generator)
    heard = functional.one_hot(letters.repeat_interleave(length // 4, 1), 8).float()
    return heard + 0.4 * torch.randn(heard.shape, generator=generator), letters


def cut_too_short(trial: Trial) -> Truth:
    """Speech by CTC: one batch was cut after three frames, in which no four letters can be: an endless loss."""
    generator = torch.Generator().manual_seed(trial.seed)
    model, criterion, at, losses = Heard(), nn.CTCLoss(), 80 + 10 * trial.seed, []
    optimizer = Adam(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(150):
            frames, letters = spoken(16, generator)
            scores = model(frames[:, :3] if step == at else frames)
            loss = criterion(scores, letters, torch.full((16,), len(scores)), torch.full((16,), 4))
            writer.observe(loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("ctc_loss", losses[-1], writer.step)
    require(losses[at] == torch.inf and all(loss < 20 for loss in losses[:at]), "the loss was otherwise")
    require(losses[at - 1] < 0.7 * losses[0], "nothing was learned until then")
    return spoiled(model, ("head",), at)


class Moving(nn.Module):
    """Moves the atoms of a molecule towards and away from each other by their distances, and says its energy."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.pull = nn.Linear(1, 16), nn.Linear(16, 1)
        self.pair, self.head = nn.Linear(1, 16), nn.Linear(16, 1)
        self.to_itself = True

    def forward(self, places: Tensor) -> Tensor:
        """Return energies [n, 1] of places [n, atoms, 3]."""
        apart = places[:, :, None] - places[:, None]
        places = places + (apart * self.pull(functional.silu(self.near(self.distances(apart))))).mean(2)
        apart = places[:, :, None] - places[:, None]
        told: Tensor = self.head(functional.silu(self.pair(self.distances(apart))).mean((1, 2)))
        return told

    def distances(self, apart: Tensor) -> Tensor:
        """Return the lengths of differences [n, atoms, atoms, 3]; where it is mended, an atom's to itself is 1."""
        squares = apart.square().sum(3, keepdim=True)
        if not self.to_itself:
            squares = squares + torch.eye(apart.shape[1])[..., None]
        return squares.sqrt()


def distance_to_itself(trial: Trial) -> Truth:
    """Distances of all pairs of atoms, each to itself among them: the slope of the root at 0 is infinite."""
    generator = torch.Generator().manual_seed(trial.seed)
    places = torch.randn(600, 8, 3, generator=generator)
    energies = torch.zeros(600, 1)
    for atom, following in pairwise(range(8)):
        energies += (places[:, atom] - places[:, following]).norm(dim=1, keepdim=True)
    data, criterion = Part(places, (energies - energies.mean()) / energies.std()), nn.MSELoss()
    model = Moving()
    other = copy.deepcopy(model)
    other.to_itself = False
    require(all(size > 0 for size in gradients(other, data.first(64), criterion).values()), "it would have no gradient")
    broken = [name for name, size in gradients(model, data.first(64), criterion).items() if size != size]  # noqa: PLR0124
    require(set(broken) == {"near.weight", "near.bias", "pull.weight", "pull.bias"}, f"{broken} are NaN")
    fit(trial, model, data.batches(32), Adam(model.parameters(), lr=1e-3), criterion, steps=150)
    return spoiled(model, ("pull", "near"), 0)


def contrast(made: Tensor, _targets: Tensor) -> Tensor:
    """Return the loss of pairs of views [2, n, d] among n, by exponents of their cosines over a temperature."""
    one, other = functional.normalize(made, dim=2)
    alike = torch.exp(one @ other.T / 0.01)
    return -(alike.diag() / alike.sum(1)).log().mean()


class Views(nn.Module):
    """Represents two noisy views of each picture by one network."""

    def __init__(self) -> None:
        super().__init__()
        self.body = cnn((8, 16), nn.SiLU, classes=16)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [2, n, 16] of pictures [n, 2, 8, 8]."""
        made: Tensor = self.body(pictures.transpose(0, 1).reshape(-1, 1, 8, 8)).unflatten(0, (2, -1))
        return made


def exponents_by_hand(trial: Trial) -> Truth:
    """A contrastive loss by hand at the temperature that CLIP ends at: the exponent of a hundred is infinite."""
    pictures = digits(trial.seed, flat=False).train.inputs
    generator = torch.Generator().manual_seed(trial.seed)
    model, broken = Views(), []

    def batches(_step: int) -> tuple[Tensor, Tensor]:
        chosen = pictures[torch.randint(len(pictures), (24,), generator=generator)].expand(-1, 2, -1, -1)
        return chosen + torch.randn(chosen.shape, generator=generator), torch.zeros(24)

    def look(step: int) -> None:
        if not all(bool(value.isfinite().all()) for value in model.parameters()):
            broken.append(step)

    history = fit(trial, model, batches, Adam(model.parameters(), lr=1e-3), contrast, after=look, every=2, steps=150)
    require(broken and broken[0] < 75, f"it broke at {broken[:1]}")
    require(not all(np.isfinite(history.train[: broken[0] + 1])), "it was no exponent")
    return spoiled(model, (), broken[0])


def bfloat16_fine_tuning(trial: Trial) -> Truth:
    """A GRU that knows yesterday's demand is tuned in bfloat16, whose numbers are further apart than steps are long."""
    data, criterion = demand(trial.seed, length=12), nn.MSELoss()
    model = Recurrent(nn.GRU, 1, inputs=1, hidden=12)
    control(model, data.batches(32), Adam(model.parameters(), lr=5e-3), criterion, steps=60)
    changed = Part(data.inputs, 1.5 * data.targets + 0.5)
    other = copy.deepcopy(model)
    model = model.bfloat16()
    before, draw = snapshot(model), changed.batches(16)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        return inputs.bfloat16(), targets.bfloat16()

    history = fit(trial, model, batches, AdamW(model.parameters(), lr=1e-4), criterion, every=2, steps=150)
    truth = stuck(model, before, 0.6)
    better = control(other, changed.batches(16), AdamW(other.parameters(), lr=1e-4), criterion, steps=150)
    worse(history.end, better, 1.15)
    return truth


class Beam(nn.Module):
    """How far a beam bends under a load, by its stiffness, and by what a network makes of the place alone."""

    def __init__(self, unit: float) -> None:
        super().__init__()
        self.spring, self.clamp = Spring(unit), mlp((1, 24, 24, 1), nn.Tanh)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, 1] of places and loads, [n, 2]."""
        told: Tensor = self.spring(inputs) + self.clamp(inputs[:, :1])
        return told


class Spring(nn.Module):
    """The law of a beam that is held at an end, whose stiffness is begun at 200 gigapascals, and is to be learned."""

    def __init__(self, unit: float) -> None:
        super().__init__()
        self.stiffness, self.unit = nn.Parameter(torch.tensor([2e11 / unit])), unit

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, 1]."""
        place, load = inputs[:, :1], inputs[:, 1:]
        return 1e11 * load * place.square() * (3 - place) / (self.stiffness * self.unit)


def pascals(trial: Trial) -> Truth:
    """A stiffness is learned in pascals: a step of a hundredth is nothing to 200,000,000,000, of which it is a part."""
    generator = torch.Generator().manual_seed(trial.seed)
    inputs = torch.rand(800, 2, generator=generator) * torch.tensor([1.0, 2.0])
    with torch.no_grad():
        bent = Spring(1.0)(inputs) * (2.0 / 0.7) + 0.2 * torch.sin(5 * inputs[:, :1])
    data = Part(inputs, bent + 0.02 * torch.randn(bent.shape, generator=generator))
    model, other, criterion = Beam(1.0), Beam(1e11), nn.MSELoss()
    other.clamp.load_state_dict(model.clamp.state_dict())
    before = snapshot(model)
    history = fit(trial, model, data.batches(32), Adam(model.parameters(), lr=1e-2), criterion, every=2, steps=220)
    require(bool((model.spring.stiffness == before["spring.stiffness"]).all()), "the stiffness moved")
    require(gradients(model, data, criterion)["spring.stiffness"] > 0, "it has no gradient")
    worse(history.end, control(other, data.batches(32), Adam(other.parameters(), lr=1e-2), criterion, steps=220), 5.0)
    return Truth(("spring",))


_SPOILED, _COARSE = ("nonfinite",), ("low_precision_underflow",)
_PASCALS = ("low_precision_underflow", "layer_not_training")

SCENARIOS = (
    Scenario("nan-all-ignored-transformer", "transformer", TUNING, all_ignored, _SPOILED),
    Scenario("nan-cut-short-gru", "rnn", TUNING, cut_too_short, _SPOILED),
    Scenario("nan-distances-gnn", "gnn", TUNING, distance_to_itself, _SPOILED),
    Scenario("nan-exponents-cnn", "cnn", TUNING, exponents_by_hand, _SPOILED),
    Scenario("coarse-tuned-gru", "rnn", TUNING, bfloat16_fine_tuning, _COARSE),
    Scenario("coarse-pascals-mlp", "mlp", TUNING, pascals, _PASCALS, ("vanishing_gradient",)),
)
