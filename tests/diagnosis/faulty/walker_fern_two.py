"""Networks that are too small for a spiral or a language, and others that are held down too hard."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import digits, language, split
from tests.diagnosis.faulty.walker_fern import beyond
from tests.diagnosis.networks import cnn, mlp
from tests.diagnosis.proof import accuracy, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def few_units(trial: Trial) -> Truth:
    """Tells two spirals apart by one hidden layer of three units, as in a tutorial on data that a line divides."""
    generator = torch.Generator().manual_seed(trial.seed)
    side = torch.randint(2, (1600,), generator=generator)
    turn = 7.5 * torch.rand(1600, generator=generator).sqrt() + 0.5
    angle = turn + torch.pi * side
    points = torch.stack([turn * angle.cos(), turn * angle.sin()], 1) / 4
    points = points + 0.03 * torch.randn(1600, 2, generator=generator)
    data = split(points, side.float()[:, None], 300, trial.seed)
    model, large, criterion = mlp((2, 3, 1), nn.Tanh), mlp((2, 64, 64, 1), nn.Tanh), nn.BCEWithLogitsLoss()
    optimizer, draw = Adam(model.parameters(), lr=0.01), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=360)
    draw = data.train.batches(64, trial.seed)
    better = control(large, draw, Adam(large.parameters(), lr=0.01), criterion, steps=360)
    beyond(history.end, better, 2.5)
    beyond(loss_of(model, data.train, criterion), 0.35, 1)
    longer = control(model, data.train.batches(64, 1), Adam(model.parameters(), lr=0.01), criterion, steps=600)
    beyond(longer, better, 2)
    return Truth((), 0, 359)


class Speaker(nn.Module):
    """Says the next word of a text from a recurrent state."""

    def __init__(self, embedding: int, hidden: int) -> None:
        super().__init__()
        self.words, self.gru, self.head = nn.Embedding(20, embedding), nn.GRU(embedding, hidden), nn.Linear(hidden, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 20, length]."""
        scores: Tensor = self.head(self.gru(self.words(tokens.T))[0]).permute(1, 2, 0)
        return scores


def phone_sized(trial: Trial) -> Truth:
    """A model of a language for a phone: words of two numbers, a GRU of two, and the loss stays far too high."""
    data = language(trial.seed, length=24)
    model, large, losses = Speaker(2, 2), Speaker(24, 48), []
    optimizer, draw = AdamW(model.parameters(), lr=0.01), data.train.batches(32, trial.seed)
    criterion = nn.CrossEntropyLoss()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            tokens, following = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(tokens), following)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/nll", loss.item(), writer.step)
            if step % 25 == 24:
                writer.add_scalar("val/nll", loss_of(model, data.held_out), writer.step)
    better = control(large, data.train.batches(32, trial.seed), AdamW(large.parameters(), lr=0.01), steps=300)
    beyond(sum(losses[-30:]) / 30, better, 1.2)
    beyond(control(model, data.train.batches(32, 1), AdamW(model.parameters(), lr=0.01), steps=500), better, 1.2)
    return Truth((), 0, 299)


def much_decay(trial: Trial) -> Truth:
    """`Adam(weight_decay=0.5)`, since the validation loss was above that in training: the weights shrink to nothing."""
    data, model = digits(trial.seed, flat=False), cnn((8, 16), norm=False)
    other, weight = copy.deepcopy(model), model.get_parameter("conv2.weight")
    norms: list[float] = []

    def look(_step: int) -> None:
        norms.append(float(weight.detach().norm()))

    optimizer, draw = Adam(model.parameters(), lr=3e-3, weight_decay=0.5), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, after=look, every=2, steps=240)
    optimizer, draw = Adam(other.parameters(), lr=3e-3, weight_decay=1e-4), data.train.batches(32, trial.seed)
    beyond(history.end, control(other, draw, optimizer, steps=240), 3)
    require(accuracy(model, data.held_out) < accuracy(other, data.held_out) - 0.2, "the decay does no harm")
    require(norms[-1] < 0.3 * norms[0], f"the norm falls from {norms[0]:.3g} to {norms[-1]:.3g}")
    return Truth((), 0, next(step for step, norm in enumerate(norms) if norm < 0.5 * norms[0]) + 60)


class Molecules(nn.Module):
    """Three rounds of messages between atoms, their sum, and what a molecule's property is."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.lift = nn.Linear(5, 32)
        self.rounds = nn.ModuleList(nn.Linear(64, 32) for _ in range(3))
        self.drops = nn.ModuleList(nn.Dropout(drop) for _ in range(3))
        self.head = nn.Linear(32, 1)

    def forward(self, graphs: Tensor) -> Tensor:
        """Return [n, 1] of [n, atoms, 5 + atoms]: kinds, and which atoms are joined."""
        kinds, joined = graphs[..., :5], graphs[..., 5:]
        hidden = functional.relu(self.lift(kinds))
        for take, drop in zip(self.rounds, self.drops, strict=True):
            heard = joined @ hidden / joined.sum(2, keepdim=True).clamp_min(1)
            hidden = drop(functional.relu(take(torch.cat([hidden, heard], 2))))
        told: Tensor = self.head(hidden.mean(1))
        return told


def molecules(seed: int, count: int = 900, atoms: int = 10) -> tuple[Tensor, Tensor]:
    """Return small graphs, [n, atoms, 5 + atoms], and how often two kinds are neighbours, standardised, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    kinds = functional.one_hot(torch.randint(5, (count, atoms), generator=generator), 5).float()
    upper = (torch.rand(count, atoms, atoms, generator=generator) < 0.25).float().triu(1)
    joined = upper + upper.transpose(1, 2)
    pairs = ((kinds[..., :1] * (joined @ kinds[..., 1:2])) - 0.7 * kinds[..., 2:3] * (joined @ kinds[..., 3:4])).sum(1)
    weighed = pairs + 0.5 * kinds[..., 4].sum(1, keepdim=True)
    return torch.cat([kinds, joined], 2), (weighed - weighed.mean()) / weighed.std()


def kept(trial: Trial) -> Truth:
    """Takes the number of `nn.Dropout` for the share that is kept, and drops nine of ten after each round."""
    data, criterion = split(*molecules(trial.seed), 200, trial.seed), nn.MSELoss()
    model, other = Molecules(0.9), Molecules(0.1)
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=4e-3), data.train.batches(48, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=260)
    control(other, data.train.batches(48, trial.seed), AdamW(other.parameters(), lr=4e-3), criterion, steps=260)
    beyond(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 1.5)
    beyond(loss_of(model, data.train, criterion), loss_of(other, data.train, criterion), 1.5)
    return Truth((), 0, 120)


SCENARIOS = (
    Scenario("fern-underfit-spirals-mlp", "mlp", TUNING, few_units, ("underfitting",), ("loss_plateau",)),
    Scenario("fern-underfit-phone-gru", "rnn", TUNING, phone_sized, ("underfitting",), ("loss_plateau",)),
    Scenario(
        "fern-regularised-decay-cnn",
        "cnn",
        TUNING,
        much_decay,
        ("over_regularised",),
        ("loss_plateau", "underfitting", "vanishing_gradient", "dead_units", "redundant_units"),
    ),
    Scenario(
        "fern-regularised-kept-gnn",
        "gnn",
        TUNING,
        kept,
        ("over_regularised",),
        ("loss_plateau", "underfitting", "train_eval_mismatch"),
    ),
)
